"""The installed plugins against another version of the hub, before it is installed: each step in a process of its own, on copies of the data."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

from msgspec import Struct
from packaging.requirements import InvalidRequirement, Requirement

from luminai.contracts.errors import InvalidInput
from luminai.host.api_snapshot import compare, snapshot

STEP_SECONDS: Final = 600
_RUN: Final = "import sys; from luminai.cli.main import main; sys.argv[0] = 'luminai'; main()"


class Step(Struct, frozen=True, kw_only=True):
    """One step of the rehearsal: what it found to be wrong, and what is worth knowing."""

    step: str
    ok: bool
    problems: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


def rehearse_upgrade(hub: Path, *, config: str | None, conformance: bool = True) -> Iterator[Step]:
    """Yield the steps as they are done: version, dependencies, plugin API, plugins, conformance, migrations.

    Args:
        hub: A wheel of ``luminai``, a folder that holds the package ``luminai``, or a source tree with ``core/luminai``.
        config: The configuration file, as ``--config`` names it.
        conformance: Whether to run the bronze rules, which takes seconds a plugin.

    Raises:
        InvalidInput: ``hub`` is no hub (code ``not-a-hub``).
    """
    with _unpacked(hub) as folder:
        other = _Other(folder, config)
        found = other.command("plugins", "api")
        if found is None:
            raise InvalidInput(f"{hub} does not run: {other.said}", code="not-a-hub", hint="Its dependencies must be installed here.")
        yield Step(step="version", ok=True, remarks=(f"plugin API {snapshot()['api']} here, {found['api']} there",))
        missing = tuple(_missing(folder))
        yield Step(step="dependencies", ok=not missing, problems=missing)
        changes = compare(snapshot(), found)
        breaking = tuple(f"{one.name}: {one.change} ({one.reason})" for one in changes if one.raises == "major")
        yield Step(step="plugin API", ok=True, remarks=breaking or (f"{len(changes)} changes, none of which takes anything away",))
        judged = other.command("plugins", "doctor") or []
        problems = tuple(f"{one['id']} at {one['phase']}: {one['reason']} {one['remedy']}".strip() for one in judged)
        yield Step(step="plugins", ok=not problems, problems=problems)
        if conformance:
            yield _conformance(other)
        yield _migrations(other)


def _conformance(other: _Other) -> Step:
    results = other.command("plugins", "check", "--level", "bronze")
    if results is None:
        return Step(step="conformance", ok=False, problems=(f"the rules cannot be run: {other.said}",))
    failed = [f"{one['plugin']} {rule['id']}: {rule['detail']}" for one in results for rule in one["rules"] if rule["outcome"] == "failed"]
    return Step(step="conformance", ok=not failed, problems=tuple(failed), remarks=(f"{len(results)} plugins",))


def _migrations(other: _Other) -> Step:
    rehearsed = other.command("db", "rehearse")
    if rehearsed is None:
        return Step(step="migrations", ok=False, problems=(other.said,))
    steps = rehearsed.get("steps", []) if isinstance(rehearsed, dict) else rehearsed
    remarks = tuple(f"{one['owner']} {one['step']}: {one['seconds']:.2f} s" for one in steps)
    return Step(step="migrations", ok=other.code == 0, problems=() if other.code == 0 else (json.dumps(rehearsed)[:2000],), remarks=remarks)


class _Other:
    """The other hub's command, in a process of its own."""

    def __init__(self, folder: Path, config: str | None) -> None:
        self._folder = folder
        self._options = ["--config", config] if config else []
        self.said = ""
        self.code = 0

    def command(self, *arguments: str) -> Any:
        """Return what the command printed as JSON, None when it printed none; ``said`` is then its last word."""
        paths = [str(self._folder), *filter(None, [os.environ.get("PYTHONPATH")])]
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "LUMINAI_URL": "http://127.0.0.1:1"}
        command = [sys.executable, "-c", _RUN, *self._options, "--output", "json", *arguments]
        try:
            done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=STEP_SECONDS, check=False)  # noqa: S603 - our own command
        except subprocess.TimeoutExpired:
            self.code, self.said = 1, f"`luminai {' '.join(arguments)}` took longer than {STEP_SECONDS} s"
            return None
        self.code = done.returncode
        self.said = (done.stderr.strip().splitlines() or ["no word"])[-1][:500]
        try:
            return json.loads(done.stdout)
        except ValueError:
            return None


@contextmanager
def _unpacked(hub: Path) -> Iterator[Path]:
    if hub.is_file() and zipfile.is_zipfile(hub):
        with tempfile.TemporaryDirectory(prefix="luminai-upgrade-") as folder, zipfile.ZipFile(hub) as wheel:
            wheel.extractall(folder)
            yield _checked(Path(folder), hub)
        return
    for place in (hub, hub / "core"):
        if (place / "luminai" / "_face.py").is_file():
            yield place
            return
    raise InvalidInput(f"{hub} holds no hub.", code="not-a-hub", hint="Give a wheel of luminai, or a folder with the package.")


def _checked(folder: Path, hub: Path) -> Path:
    if not (folder / "luminai" / "_face.py").is_file():
        raise InvalidInput(f"{hub} holds no hub.", code="not-a-hub", hint="Give a wheel of luminai.")
    return folder


def _missing(folder: Path) -> Iterator[str]:
    """Yield what the other hub's metadata requires and this environment does not have."""
    for metadata in folder.glob("luminai-*.dist-info/METADATA"):
        for line in metadata.read_text().splitlines():
            if line.startswith("Requires-Dist:") and "extra ==" not in line:
                yield from _unmet(line.partition(":")[2].strip())


def _unmet(text: str) -> Sequence[str]:
    try:
        wanted = Requirement(text)
        if wanted.marker is not None and not wanted.marker.evaluate():
            return ()
        found = version(wanted.name)
    except InvalidRequirement:
        return (f"{text} cannot be read",)
    except PackageNotFoundError:
        return (f"{text} is not installed",)
    return () if wanted.specifier.contains(found, prereleases=True) else (f"{text} is needed, {found} is installed",)
