"""Write everything that is generated from code; with ``--check`` only tell what is stale.

Generated are: each plugin's ``config.schema.json``, Grafana's dashboard, the stubs of the lazy packages ``luminai`` and ``luminai.testing``, and the reference pages of hooks,
manifest, settings, commands, error codes, scopes and events in ``docs/reference/``.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import reference

from luminai import testing
from luminai._face import FACE
from luminai.config.binding import render_schema
from luminai.contracts.manifest import SCHEMA_FILE
from luminai.host.api_snapshot import snapshot
from luminai.telemetry.dashboard import dashboard

ROOT = Path(__file__).parent.parent


def main() -> int:
    """Return 1 when something was stale and ``--check`` was given."""
    check = "--check" in sys.argv
    stale = []
    for path, text in wanted().items():
        if not path.exists() or path.read_text() != text:
            stale.append(path.relative_to(ROOT).as_posix())
            if not check:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
    if stale:
        print(("Stale, run `make docs`: " if check else "Written: ") + ", ".join(stale))
    return int(check and bool(stale))


def wanted() -> dict[Path, str]:
    """Return the text that each generated file must have."""
    files = {
        ROOT / "core/luminai/__init__.pyi": public_stub(),
        ROOT / "core/luminai/testing/__init__.pyi": testing_stub(),
    }
    for plugin in reference.own_plugins():
        struct = reference.settings_of(plugin)
        if struct is not None:
            files[Path(plugin.package_dir) / SCHEMA_FILE] = render_schema(reference.schema_of(struct))
    files[ROOT / "docs/reference/grafana.json"] = render_schema(dashboard())
    files[ROOT / "docs/reference/plugin-api.json"] = render_schema(snapshot())
    files |= {ROOT / "docs/reference" / name: text for name, text in reference.pages().items()}
    return files


def public_stub() -> str:
    """Return the stub that tells type checkers what ``luminai`` offers."""
    return _stub(FACE, "_face.py", extra=["__version__: str"])


def testing_stub() -> str:
    """Return the same for ``luminai.testing``, with its modules that are asked for by name."""
    tables = vars(testing)  # which the stub itself hides from type checkers
    return _stub(tables["FACE"] | {testing.__name__: tables["MODULES"]}, "__init__.py")


def _stub(face: Mapping[str, Sequence[str]], source: str, extra: Sequence[str] = ()) -> str:
    lines = [f"# Generated from {source} by `make docs`; do not edit."]
    lines += [f"from {module} import {name} as {name}" for module in sorted(face) for name in sorted(face[module])]
    names = sorted(name for names in face.values() for name in names)
    lines += ["", *extra, "__all__ = [", *(f'    "{name}",' for name in names), "]"]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
