"""What must never be in the repository, and what must always be fresh."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HOSTS = re.compile(r"https?://[^\s\"')>]*(?:pypi\.org|pythonhosted|npmjs|debian\.org|/simple/|/packages/)")
ABSOLUTE = re.compile(r"(?<![\w.:/])/(?:home|root|Users|work|tmp/[a-z])[/\w.-]+")
SECRETS = re.compile(
    r"(?:AKIA[0-9A-Z]{16}|sk-[A-Za-z0-9]{32,}|ghp_[A-Za-z0-9]{36}|-----BEGIN (?:RSA |EC )?PRIVATE KEY"
    r"|lum_(?:(?:live|test)_[a-z]+_)?[0-9a-f]{32}_[\w-]{40})"
)
SIZES = {"py": 500, "js": 350, "css": 300}
EXCEPTIONS: dict[str, tuple[int, str]] = {}
"""Path: (limit, reason); at most five."""


def tracked() -> list[Path]:
    """Return the files that git tracks or would track."""
    listed = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [ROOT / line for line in listed.stdout.splitlines() if (ROOT / line).is_file()]


def texts() -> list[tuple[str, str]]:
    """Return name and text of every tracked text file but this one."""
    found = []
    for path in tracked():
        if path == Path(__file__) or path.suffix in (".png", ".ico"):
            continue
        found.append((path.relative_to(ROOT).as_posix(), path.read_text()))
    return found


@pytest.mark.parametrize(("what", "pattern"), [("registry host", HOSTS), ("absolute machine path", ABSOLUTE), ("secret", SECRETS)])
def test_repository__forbidden_text__is_nowhere(what: str, pattern: re.Pattern[str]) -> None:
    found = [
        f"{name}:{number}: {line.strip()[:100]}" for name, text in texts() for number, line in enumerate(text.splitlines(), 1) if pattern.search(line)
    ]

    assert not found, f"{what}: {found[:10]}"


def test_repository__lock_files__record_no_address() -> None:
    names = [path.name for path in tracked()]

    assert not {"uv.lock", "pylock.toml"} & set(names)
    assert "://" not in (ROOT / "requirements/lock.txt").read_text()
    assert "pydantic" not in (ROOT / "requirements/lock.txt").read_text(), "it slows every `import litestar`"


def test_modules__sizes__are_within_bounds() -> None:
    assert len(EXCEPTIONS) <= 5
    too_long = []
    for path in tracked():
        limit = EXCEPTIONS.get(path.relative_to(ROOT).as_posix(), (SIZES.get(path.suffix[1:], 10**9), ""))[0]
        lines = path.read_text().count("\n") if path.suffix[1:] in SIZES else 0
        if lines > limit:
            too_long.append(f"{path.relative_to(ROOT)}: {lines} > {limit}")

    assert not too_long


def test_changelog__fragments__are_named_well() -> None:
    pattern = re.compile(r"^[a-z0-9-]+\.(feature|fix|change|deprecation|removal|security)\.md$")

    assert [path.name for path in (ROOT / "changelog.d").iterdir() if not pattern.match(path.name)] == []


def test_decisions__records__are_numbered_without_a_gap() -> None:
    numbers = sorted(int(path.name[:4]) for path in (ROOT / "docs/decisions").glob("[0-9]*.md"))

    assert numbers == list(range(1, len(numbers) + 1))


@pytest.mark.parametrize("script", ["generate.py", "shows.py"])
def test_generated_files__are_fresh(script: str) -> None:
    done = subprocess.run([sys.executable, ROOT / "scripts" / script, "--check"], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
