"""Gold rules: whole contracts, whole types, a swap under load."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import msgspec

from luminai.testing.conformance.rules import CannotTell, RuleBroken
from luminai.testing.conformance.subject import Subject

SUITES: Final = {
    "personas": ("PersonaContract",),
    "resonance_calculators": ("CalculatorContract",),
    "ai_providers": ("AIProviderContract", "MediaProviderContract"),
    "payment_providers": ("PaymentContract",),
    "storage_backends": ("StorageContract",),
}
"""By what is provided; one of the suites at least, which of them depends on its kind."""
_NOT_FOUND: Final = re.compile(r'module named "([\w.]+)"')
_NONE_COLLECTED: Final = 5
"""Exit code of pytest."""
SUBJECT_VARIABLE: Final = "LUMINAI_CONFORMANCE_SUBJECT"
"""Names the file that tells the process of the suites what to test."""


def contracts_are_kept(subject: Subject) -> str:
    """G01."""
    families = [family for family in SUITES if family in subject.manifest.provides]
    if not families:
        return "It provides nothing that has a suite."
    if find_spec("pytest") is None or find_spec("hypothesis") is None:
        raise CannotTell("pytest and hypothesis are not installed")
    if subject.manifest.network and {"ai_providers", "payment_providers", "storage_backends"} & set(families):
        return _own_tests(subject, [SUITES[family] for family in families])
    with subject.folder() as folder:
        told = {"plugin": subject.plugin, "installed": subject.installed, "settings": subject.settings}
        (folder / "subject.json").write_bytes(msgspec.json.encode(told))
        module = Path(__file__).with_name("contract_tests.py")
        options = ["-q", "--tb=line", "-rfE", "-p", "no:cacheprovider", "-c", os.devnull, f"--rootdir={folder}", "--import-mode=importlib"]
        env = os.environ | {SUBJECT_VARIABLE: str(folder / "subject.json"), "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        said = _pytest([str(module), *options], folder, env)
    if "passed" not in said:
        raise CannotTell(f"what it runs is not on this machine: {said}")
    return f"{_names([SUITES[family] for family in families])}: {said}"


def _names(suites: Sequence[Sequence[str]]) -> str:
    return ", ".join(" or ".join(either) for either in suites)


def _own_tests(subject: Subject, suites: Sequence[Sequence[str]]) -> str:
    """Run what the plugin's own tests make of the suites: it calls a service, and they bring one."""
    package = Path(subject.plugin.package_dir)
    home = next((place for place in (package, *package.parents[:2]) if (place / "pyproject.toml").is_file()), package)
    paths = sorted(home.glob("tests/**/test_*.py"))
    found = [(either, [f"{path}::{name}" for path in paths for name in _subclasses(path, either)]) for either in suites]
    if missing := [either for either, tests in found if not tests]:
        raise CannotTell(f"it calls {', '.join(subject.manifest.network)}: subclass {_names(missing)} in the plugin's own tests, beside its source")
    tests = [test for _, named in found for test in named]
    env = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    said = _pytest([*tests, "-q", "--tb=line", "-rfE", "-p", "no:cacheprovider"], home, env)
    return f"{_names(suites)} in its own tests: {said}"


def _subclasses(path: Path, suites: Sequence[str]) -> list[str]:
    classes = [node for node in ast.parse(path.read_text(encoding="utf-8")).body if isinstance(node, ast.ClassDef)]
    return [one.name for one in classes if any(ast.unparse(base).rpartition(".")[2] in suites for base in one.bases)]


def _pytest(options: Sequence[str], folder: Path, env: Mapping[str, str]) -> str:
    command = [sys.executable, "-m", "pytest", *options]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)  # noqa: S603 - suites, and the plugin's tests
    lines = done.stdout.strip().splitlines()
    if done.returncode == _NONE_COLLECTED:
        raise CannotTell("with these settings it offers nothing that its suite can ask; name more with --settings")
    if done.returncode:
        failed = [line.partition("::")[2] or line for line in lines if line.startswith(("FAILED", "ERROR"))]
        raise RuleBroken("; ".join(failed[:6]) or (done.stdout + done.stderr).strip()[-500:])
    return lines[-1].strip("= ") if lines else ""


def types_are_strict(subject: Subject) -> str:
    """G02."""
    folder = Path(subject.plugin.package_dir)
    if not (folder / "py.typed").exists():
        raise RuleBroken("py.typed is not there")
    if find_spec("mypy") is None:
        raise CannotTell("mypy is not installed")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "luminai" / "mypy"
    options = ["--strict", "--config-file=", f"--cache-dir={cache}", "--no-error-summary", "--disable-error-code=import-untyped"]
    # version files have names that are no module's, and Alembic alone reads them
    command = [sys.executable, "-m", "mypy", *options, "--exclude", "/migrations/versions/", folder.name]
    env = os.environ | {"MYPYPATH": str(folder.parent)}
    done = subprocess.run(command, cwd=folder.parent, env=env, capture_output=True, text=True, check=False)  # noqa: S603 - mypy on the plugin
    if done.returncode:
        found = [line for line in (done.stdout + done.stderr).splitlines() if ": error:" in line] or [done.stderr.strip()[-300:]]
        if all("[import-not-found]" in line for line in found):
            modules = sorted({named[1] for line in found if (named := _NOT_FOUND.search(line))})
            raise CannotTell(f"mypy finds no {', '.join(modules)}: install the plugin with its extras")
        raise RuleBroken(f"{len(found)} errors, first: {found[0]}")
    return "mypy --strict finds nothing"
