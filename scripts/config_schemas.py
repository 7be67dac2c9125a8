"""Write each plugin's ``config.schema.json`` from its settings Struct; with ``--check`` only tell which are stale."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

from luminai.config.binding import render_schema, schema_of
from luminai.contracts.manifest import SCHEMA_FILE
from luminai.host.discovery import installed_plugins

ROOT = Path(__file__).parent.parent


def main() -> int:
    """Return 1 when something was stale."""
    stale = []
    for plugin in installed_plugins():
        if not Path(plugin.package_dir).is_relative_to(ROOT):
            continue
        module, _, attribute = plugin.entry_point.partition(":")
        struct = getattr(getattr(import_module(module), attribute), "config", None)
        path = Path(plugin.package_dir) / SCHEMA_FILE
        text = render_schema(schema_of(struct)) if struct else None
        if text is not None and (not path.exists() or path.read_text() != text):
            stale.append(plugin.id)
            if "--check" not in sys.argv:
                path.write_text(text)
    if stale:
        print(f"config.schema.json {'is stale' if '--check' in sys.argv else 'written'}: {', '.join(stale)}")
    return int(bool(stale) and "--check" in sys.argv)


if __name__ == "__main__":
    sys.exit(main())
