"""``luminai privacy`` on a served hub; and people whom a plugin knows by a name elsewhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from home import Home, serving

OPEN = '\n[identity]\nregistration = "open"\nverify-email = "off"\n'


def register(home: Home, email: str) -> None:
    body = json.dumps({"email": email, "password": "nine wooden ladders"}).encode()
    with urlopen(Request(f"{home.env['LUMINAI_URL']}/api/auth/register", body, {"content-type": "application/json"})) as answer:  # noqa: S310
        assert answer.status == 202


def test_command__map_export_erase__work_on_a_served_hub(tmp_path: Path) -> None:
    with serving(tmp_path / "home", config=OPEN) as home:
        register(home, "ann@example.org")
        person = home.data("people", "show", "ann@example.org")["id"]

        found: Any = home.data("privacy", "map")
        assert {"core__people", "chat__messages"} <= {table["name"] for table in found["tables"]}
        export = home.data("privacy", "export", "ann@example.org")
        assert (export["subject"], export["complete"]) == (person, True)

        assert home.run("privacy", "erase", "ann@example.org").returncode == 2, "nobody is there to be asked"
        planned = home.data("privacy", "erase", "ann@example.org", "--dry-run")
        assert (planned["dry_run"], planned["erased"]["core__people"]) == (True, 1)
        hold = home.data("audit", "hold", "--subject", person, "--reason", "case 12/26")
        assert home.run("privacy", "erase", person, "--dry-run").returncode == 8
        assert home.refusal("privacy", "erase", person, "--yes") == (5, "legal-hold")
        assert home.run("audit", "release", hold["id"]).returncode == 0
        done = home.data("privacy", "erase", "ann@example.org", "--yes")
        assert (done["subject"], done["left"], done["is_log_emptied"]) == (person, {}, True)
        assert home.refusal("privacy", "export", "ann@example.org") == (3, "person-not-found")
        assert home.data("people", "show", person)["status"] == "erased"
        assert home.refusal("privacy", "erase", "nobody:somebody", "--yes") == (5, "subject-unknown-kind")
