"""The schema that is committed beside a plugin's settings class."""

from __future__ import annotations

from msgspec import Struct

from luminai.config.binding import render_schema, schema_of


def config_schema(settings: type[Struct]) -> str:
    """Return the text of ``config.schema.json`` for a settings class: the hub judges settings by that file before it imports the plugin."""
    return render_schema(schema_of(settings))
