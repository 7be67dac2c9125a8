"""``luminai plugins new``: a plugin from the template that ships with the hub. Nothing is fetched."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import click

from luminai.cli.profile import user_file
from luminai.cli.terminal import HubTerminal
from luminai.contracts.errors import Conflict, HubError, InvalidInput, NotFound, Unavailable

KINDS: Final = ("persona", "calculator", "ai-provider", "payment", "storage", "actions", "events", "live", "routes")
LICENSES: Final = ("Apache-2.0", "MIT", "proprietary")
ANSWERS: Final = ".copier-answers.yml"
_ID: Final = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_REFUSED: Final = re.compile(r"Validation error for question '(\w+)': (.+)")
_GIT: Final = ("git", "-c", "user.name=luminai", "-c", "user.email=luminai@localhost", "-c", "core.autocrlf=false", "-c", "core.hooksPath=/dev/null")


@click.command(context_settings={"token_normalize_func": lambda token: token.replace("_", "-")})
@click.argument("destination", metavar="DEST", type=click.Path(path_type=Path))
@click.option("--kind", "kinds", multiple=True, type=click.Choice(KINDS), help="What it shall offer; give it several times for several.")
@click.option("--id", "plugin_id", metavar="ID", help="Plugin id (with --defaults the folder's name).")
@click.option("--title", help="Name for people.")
@click.option("--summary", help="What it does, in one sentence.")
@click.option("--license", "license_", type=click.Choice(LICENSES), help="Which LICENSE it gets.")
@click.option("--author", help="Who holds the copyright.")
@click.option("--defaults", is_flag=True, help="Ask nothing: what is not given takes its default.")
@click.option("--update", is_flag=True, help="Bring the template's changes into a plugin that was made before.")
@click.option("--template", metavar="PLACE", help="Another copier template, a folder or a git address.")
@click.pass_obj
def new(
    terminal: HubTerminal,
    destination: Path,
    kinds: tuple[str, ...],
    plugin_id: str | None,
    title: str | None,
    summary: str | None,
    license_: str | None,
    author: str | None,
    defaults: bool,
    update: bool,
    template: str | None,
) -> None:
    """Start a new plugin in the folder DEST: manifest, settings, hooks, tests, ready to install. Copier must be installed.

    On a terminal it asks what is not given.

    \b
    Examples:
      luminai plugins new quiet-oracle
      luminai plugins new quiet-oracle --kind persona --kind routes --defaults
      luminai plugins new quiet-oracle --update
      luminai plugins new quiet-oracle --update --kind actions
    """
    given = {"plugin_id": plugin_id, "title": title, "summary": summary, "license": license_, "author": author}
    answers: dict[str, str] = {name: value for name, value in given.items() if value is not None}
    if kinds:  # an update adds
        answers |= {kind.replace("-", "_"): str(kind in kinds).lower() for kind in (kinds if update else KINDS)}
    if defaults or update:
        answers |= {"plugin_id": _id_from(destination)} if not update and not plugin_id and not template else {}
    elif not sys.stdin.isatty():
        raise click.UsageError("Nobody can answer questions here: give --defaults, and --kind for what it shall offer.")
    if plugin_id and not _is_id(plugin_id):
        raise _bad_id(plugin_id)
    asks = not (defaults or update)
    command = _copier()
    source, tag = (template, "") if template else _source(terminal)
    options = ["--defaults"] * (not asks) + [part for name, value in answers.items() for part in ("--data", f"{name}={value}")]
    if update:
        _check_made(destination)
        ref = ["--vcs-ref", tag] if tag and f"_src_path: {source}\n" in (destination / ANSWERS).read_text() else []
        _run([*command, "update", *ref, "--skip-answered", *options, str(destination)], asks=False)
    else:
        if destination.exists() and (not destination.is_dir() or any(destination.iterdir())):
            raise Conflict(f"{destination} is not an empty folder.", code="folder-not-empty", hint="Name a new folder, or use --update.")
        ref = ["--vcs-ref", tag] if tag else []
        _run([*command, "copy", *ref, *options, source, str(destination)], asks=asks)
    made = _made(destination)
    if not update and made["id"]:
        lines = [f"[plugins.{made['id']}]", "enabled = true", *([f"approve = {json.dumps(made['grants'])}"] if made["grants"] else [])]
        terminal.say("\n  ".join([f"Next: pip install -e {destination}, and in config.toml:", *lines]))
    terminal.emit(made)


def shipped_template() -> Path:
    """Return the folder of the template: package data of an installed hub, or the one in the repository.

    Raises:
        NotFound: neither is there (code ``template-missing``).
    """
    import luminai

    package = Path(luminai.__file__).parent
    for folder in (package / "_template", package.parents[1] / "plugin_template"):
        if (folder / "copier.yml").is_file():
            return folder
    raise NotFound("The template is not part of this installation.", code="template-missing", hint="Install the hub again, or give --template.")


def _copier() -> list[str]:
    from importlib.util import find_spec

    on_path = shutil.which("copier")
    if on_path:
        return [on_path]
    if find_spec("copier"):
        return [sys.executable, "-m", "copier"]
    import luminai

    in_repository = Path(luminai.__file__).parents[2] / ".venv-template" / "bin" / "copier"
    if in_repository.exists():
        return [str(in_repository)]
    hint = "Install copier 9.4 or later apart from the hub, for example: pipx install copier."
    raise Unavailable("The template needs copier, which is not installed.", code="copier-missing", hint=hint)


def _source(terminal: HubTerminal) -> tuple[str, str]:
    """Return the shipped template as copier shall know it, and its tag.

    Copier updates a project only from a git repository, where it finds the state that the project was made from. So the template is kept as one in
    the user's folder, a tag a change; its name there is the same on every machine.
    """
    template = shipped_template()
    if not shutil.which("git"):
        terminal.say("git is not installed, so the template's later changes cannot be brought in with --update.")
        return str(template), ""
    kept = user_file().parent / "plugin-template"
    if not (kept / ".git").is_dir():
        kept.mkdir(mode=0o700, parents=True, exist_ok=True)
        _git(kept, "init", "--quiet")
    for old in kept.iterdir():
        if old.name != ".git":
            shutil.rmtree(old) if old.is_dir() else old.unlink()
    shutil.copytree(template, kept, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    _git(kept, "add", "--all", "--force")
    if _git(kept, "status", "--porcelain"):
        from luminai import __version__

        tags = _git(kept, "tag").split()
        after = (f"{__version__}.post{number}" for number in range(1, len(tags) + 2))
        tag = next(one for one in (__version__, *after) if one not in tags)
        _git(kept, "commit", "--quiet", "--no-gpg-sign", "--message", f"Template of luminai {tag}")
        _git(kept, "tag", "--no-sign", tag)
    place = f"~/{kept.relative_to(Path.home()).as_posix()}" if kept.is_relative_to(Path.home()) else kept.as_posix()
    return place, _git(kept, "describe", "--tags", "--abbrev=0").strip()


def _git(folder: Path, *command: str) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    done = subprocess.run([*_GIT, *command], cwd=folder, env=environment, capture_output=True, text=True, check=False)  # noqa: S603 - no shell
    if done.returncode:
        hint = f"Try again; if it stays, remove {folder}."
        raise HubError(f"git could not keep the template: {_last_line(done.stderr)}", code="template-not-kept", hint=hint)
    return done.stdout


def _run(command: list[str], *, asks: bool) -> None:
    """Run copier; when it asks, it talks to the person itself."""
    if asks:
        done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)  # noqa: S603 - no shell
    else:
        quiet = [*command[:-1], "--quiet", command[-1]]
        done = subprocess.run(quiet, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)  # noqa: S603 - no shell
    if not done.returncode:
        return
    refused = _REFUSED.search(done.stderr)
    if refused:
        raise InvalidInput(f"{refused[1]} is refused: {refused[2]}.", code="answer-refused", hint="Give another value.")
    hint = "Nothing was kept; try again."
    if "update" in command:
        hint = "The folder must be under git, all of it committed, and not from a newer template."
    raise HubError(f"copier failed: {_last_line(done.stderr)}", code="copier-failed", hint=hint)


def _check_made(destination: Path) -> None:
    if not (destination / ANSWERS).is_file():
        raise NotFound(f"{destination} was not made from a template.", code="not-from-template", hint=f"It has no {ANSWERS}.")


def _made(destination: Path) -> dict[str, Any]:
    """Return what the folder holds now."""
    import tomllib

    found = next(iter(sorted(destination.glob("src/*/luminai-plugin.toml"))), None)
    manifest = tomllib.loads(found.read_text()) if found else {}
    files = sorted(path.relative_to(destination).as_posix() for path in destination.rglob("*") if path.is_file() and ".git" not in path.parts)
    told = {"id": manifest.get("id", ""), "provides": manifest.get("provides", []), "grants": manifest.get("grants", [])}
    return {"folder": str(destination), **told, "files": files}


def _id_from(destination: Path) -> str:
    name = destination.resolve().name.removeprefix("luminai-").replace("_", "-")
    if not _is_id(name):
        raise _bad_id(name)
    return name


def _is_id(text: str) -> bool:
    return 2 <= len(text) <= 32 and _ID.fullmatch(text) is not None


def _bad_id(text: str) -> InvalidInput:
    return InvalidInput(
        f"{text!r} is no plugin id.", code="bad-plugin-id", hint="Lower-case words joined by dashes, 2 to 32 characters: --id quiet-oracle."
    )


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "it said nothing"
