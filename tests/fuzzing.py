"""Drives a served hub with every plugin of this repository by schemathesis, from the document that the hub itself gives out."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from home import Home, serving

HERE = Path(__file__).parent
CONFIG = """
[plugins.site]
enabled = true
approve = ["anonymous-routes", "site-root"]
[plugins.github]
enabled = true
approve = ["secrets", "webhooks"]
config = { secrets = ["env:HOOK_SECRET"] }
[plugins.storage-local]
enabled = true
[plugins.ledger]
enabled = true
[plugins.credits]
enabled = true
config = { products = ["phoenix", "lumiku"] }
[plugins.pay-sandbox]
enabled = true
approve = ["secrets"]
[plugins.payments]
enabled = true
approve = ["webhooks"]
[plugins.ai-gateway]
enabled = true
[plugins.ai-faces]
enabled = true
approve = ["site-root"]
[plugins.mail]
enabled = true
config = { host = "127.0.0.1", port = 9, from-address = "hub@example.org", security = "none" }
"""


@contextmanager
def full_hub(folder: Path) -> Iterator[Home]:
    """Serve a hub with all plugins; nobody is counted, so that nothing hides behind 429."""
    with serving(folder / "home", config=CONFIG, HOOK_SECRET="0123456789abcdef", LUMINAI_LIMITS__ENABLED="false") as home:
        yield home


def operator_key(home: Home) -> str:
    """Return a key that may do everything."""
    return str(home.data("keys", "create", "--name", "fuzz", "--scope", "*")["key"])


def fuzz(home: Home, folder: Path, *, key: str, examples: int, seed: int, sparse: bool = False) -> tuple[int, str]:
    """Return schemathesis' exit code and its report: all checks; coverage, fuzzing, stateful; anonymous without a key.

    ``sparse`` sends each operation some of the cases of the coverage phase only, few where nobody comes past the want of a credential.
    """
    command = [Path(sys.executable).parent / "st", "--config-file", HERE / "schemathesis.toml", "run", f"{home.env['LUMINAI_URL']}/openapi.json"]
    command += ["--phases", "coverage,fuzzing,stateful", "--max-examples", str(examples), "--seed", str(seed), "--workers", "1"]
    command += ["--continue-on-failure", "--warnings", "off", *(["--header", f"Authorization: Bearer {key}"] if key else [])]
    command += ["--suppress-health-check", "filter_too_much"]  # many drawn paths cannot be sent, and that is no fault of the hub's
    env = {**os.environ, "SCHEMATHESIS_HOOKS": "fuzz_hooks", "PYTHONPATH": str(HERE)}
    if sparse:
        env |= {"FUZZ_FIRST": "20", "FUZZ_REFUSED": "20" if key else "2", "FUZZ_EVERY": "8"}
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def cases(report: str) -> int:
    """Return how many requests a report speaks of."""
    found = re.search(r"(\d+) generated", report)
    return int(found[1]) if found else 0


def operations(report: str) -> tuple[int, int]:
    """Return how many operations a report was to ask, and how many it asked."""
    found = re.search(r"Selected: (\d+)/\d+\s+Tested: (\d+)", report)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def generated(home: Home, key: str) -> set[str]:
    """Return by which faces models answered a key, by the hub's own records of calls."""
    found: set[str] = set()
    query: dict[str, str] | None = {"limit": "100"}
    with httpx.Client(base_url=home.env["LUMINAI_URL"], headers={"Authorization": f"Bearer {key}"}) as client:
        while query is not None:
            page = client.get("/api/ai/calls", params=query).raise_for_status().json()
            found |= {one["origin"] for one in page["items"] if one["state"] == "finished"}
            query = {"limit": "100", "cursor": page["next_cursor"]} if page["next_cursor"] else None
    return found


def failed_requests(home: Home) -> list[str]:
    """Return the hub's own lines about requests that failed: an answer of 500 or more, or an error that was logged."""
    lines = [json.loads(line) for line in list(home.log) if line.startswith("{")]
    lines = [line for line in lines if not (line.get("status") == 502 and line["path"].startswith("/v1"))]  # a provider's, see schemathesis.toml
    return [json.dumps(line)[:6000] for line in lines if line.get("status", 0) >= 500 or line["event"] in ("request.failed", "request.crashed")]
