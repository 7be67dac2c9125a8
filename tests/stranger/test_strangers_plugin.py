"""A plugin from outside the repository: generated from the template, built as a wheel, installed, enabled by two lines; then broken in every way."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
COPIER = Path(os.environ.get("LUMINAI_TEST_COPIER") or ROOT / ".venv-template" / "bin" / "copier")
LUMINAI = Path(sys.executable).parent / "luminai"
PACKAGE = "luminai_quiet_oracle"
TWO_LINES = "[plugins.quiet-oracle]\nenabled = true\n"
HOST = '[plugins.personas]\nenabled = true\napprove = ["anonymous-routes"]\n[plugins.resonance]\nenabled = true\napprove = ["anonymous-routes"]\n'

pytestmark = pytest.mark.skipif(
    not COPIER.exists() and not os.environ.get("LUMINAI_REQUIRE_SERVICES"), reason="copier is not installed: run the tests with `make test`"
)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Generate, build and install the plugin; return the folder it is installed in."""
    work = tmp_path_factory.mktemp("stranger")
    answers = ["--data", "plugin_id=quiet-oracle", "--data", "title=Quiet Oracle", "--data", "calculator=true"]
    run(COPIER, "copy", "--quiet", "--defaults", *answers, ROOT / "plugin_template", work / "source")
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet")
    run(*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", work, work / "source")
    wheel = next(work.glob("luminai_quiet_oracle-*.whl"))
    run(*pip, "install", "--no-deps", "--target", work / "site", wheel)
    return work / "site"


def run(*command: Any, **more: Any) -> subprocess.CompletedProcess[str]:
    """Run a command and return what it printed."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False, **more)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def environment(site: Path, home: Path) -> dict[str, str]:
    """Return the environment of a machine where the plugin is installed."""
    return {
        **os.environ,
        "PYTHONPATH": str(site),
        "LUMINAI_HOME": str(home / "user"),
        "XDG_CACHE_HOME": str(home / "cache"),
        "LUMINAI_SERVER__PORT": "0",
    }


class Served:
    """A running hub: what it printed while starting, and requests to it."""

    def __init__(self, port: int, said: str) -> None:
        self.port = port
        self.said = said

    def request(self, method: str, path: str, body: Any = None, key: str = "") -> tuple[int, Any]:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=20)
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        raw = answer.read()
        connection.close()
        return answer.status, json.loads(raw) if raw else None


@contextmanager
def served(site: Path, home: Path, config: str) -> Iterator[Served]:
    """Serve a hub with this configuration until the block ends."""
    (home / "config.toml").write_text(config)
    with subprocess.Popen([LUMINAI, "serve"], cwd=home, env=environment(site, home), stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        said = ""
        for line in process.stderr:
            said += line
            if "Press Ctrl-C" in line:
                break
        found = re.search(r"ready at http://127\.0\.0\.1:(\d+)", said)
        try:
            assert found, said
            yield Served(int(found[1]), said)
        finally:
            process.send_signal(signal.SIGTERM)
            process.stderr.read()
        assert process.wait(20) == 0


def test_strangers_plugin__two_lines__serve_its_persona_calculator_route_and_table(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(HOST + TWO_LINES)
    made = run(LUMINAI, "keys", "create", "--name", "test", cwd=tmp_path, env=environment(installed, tmp_path))
    key = json.loads(made.stdout)["key"]

    with served(installed, tmp_path, HOST + TWO_LINES) as hub:
        assert hub.request("GET", "/api/personas/quiet-oracle")[1]["title"] == "Quiet Oracle"
        calculators = hub.request("GET", "/api/resonance/calculators")[1]["items"]
        assert "quiet-oracle" in {item["name"] for item in calculators}
        explained = hub.request("POST", "/api/resonance/explain", {"message": "one two", "reply": "three", "calculator": "quiet-oracle"})
        assert explained[1]["R"] == 0.5
        assert hub.request("GET", "/api/quiet-oracle/notes")[0] == 401
        assert hub.request("POST", "/api/quiet-oracle/notes", {"text": "kept"}, key)[0] == 201
    with served(installed, tmp_path, HOST + TWO_LINES + '[plugins.quiet-oracle.config]\ngreeting = "Well"\n') as hub:
        hub.request("POST", "/api/quiet-oracle/notes", {"text": "met"}, key)
        notes = hub.request("GET", "/api/quiet-oracle/notes", key=key)[1]["items"]
        assert [note["text"] for note in notes] == ["Hello: kept", "Well: met"]
        status, document = hub.request("GET", "/openapi/quiet-oracle")
        assert (status, document["info"]["title"]) == (200, "Quiet Oracle")
    with served(installed, tmp_path, HOST) as hub:
        assert hub.request("GET", "/api/quiet-oracle/notes", key=key)[1]["code"] == "plugin-off"


def test_generated_plugin__its_own_tests__pass(installed: Path, tmp_path: Path) -> None:
    tests = installed.parent / "source" / "tests"
    env = environment(installed, tmp_path)

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-c", os.devnull, tests], cwd=tmp_path, env=env, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr


BREAKAGES = {
    "import error": ("plugin.py", "import nowhere_to_be_found\n", "", "import", "nowhere_to_be_found"),
    "bad config": ("", "", '[plugins.quiet-oracle.config]\ngreetings = "Hi"\n', "config", "Did you mean greeting?"),
    "missing dependency": ("luminai-plugin.toml", 'requires = { absent-plugin = "*" }\n', "", "order", "absent-plugin"),
    "route clash": ("luminai-plugin.toml", 'paths = ["/api/personas"]\n', "", "order", "belongs to plugin personas"),
    "hook that raises": ("models.py", "raise RuntimeError('models are broken')\n", "", "import", "models are broken"),
    "hook that hangs": ("plugin.py", "import threading; threading.Event().wait()\n", "", "import", "did not return within 1 s"),
    "start that hangs": (
        "plugin.py",
        "",
        "",
        "start",
        "did not return within 1 s",
    ),
    "migration error": ("versions", "raise RuntimeError('the step is broken')\n", "", "migrate", "the step is broken"),
}


@pytest.mark.parametrize("name", BREAKAGES)
def test_strangers_plugin__broken__the_hub_stays_up_and_says_whose_fault_it_is(installed: Path, tmp_path: Path, name: str) -> None:
    file, code, config, phase, said = BREAKAGES[name]
    site = tmp_path / "site"
    shutil.copytree(installed, site)
    package = site / PACKAGE
    if file == "versions":
        (package / "migrations" / "versions" / "0002_more.py").write_text(
            f"revision = '0002'\ndown_revision = '0001'\ndef upgrade() -> None:\n    {code}"
        )
    elif name == "start that hangs":
        with (package / file).open("a") as plugin:
            plugin.write("\n    @hookimpl\n    async def start(self) -> None:\n        import asyncio\n        await asyncio.Event().wait()\n")
    elif file:
        path = package / file
        text = path.read_text()
        path.write_text(
            text.replace("provides =", f"{code}provides =", 1)
            if file.endswith(".toml")
            else code + text.replace("from __future__", "# from __future__")
        )

    with served(site, tmp_path, "[hub]\nplugin-seconds = 1.0\n" + HOST + TWO_LINES + config) as hub:
        assert hub.request("GET", "/api/personas/ely")[0] == 200, "the others serve"
        status = hub.request("GET", "/api/status")[1]
        assert status["platform_status"] == "degraded"
        assert re.search(rf"! quiet-oracle\s+(failed|blocked) at {phase}", hub.said), hub.said
        assert said in hub.said
        assert "do: " in hub.said
        off = hub.request("GET", "/api/quiet-oracle/notes")
        assert off[0] in (404, 503)
        if name != "route clash":
            assert (off[1]["code"], off[1]["plugin"]) == ("plugin-off", "quiet-oracle")
