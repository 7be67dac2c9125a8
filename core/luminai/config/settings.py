"""The core's own settings."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from luminai.contracts.manifest import PluginId
from luminai.telemetry.breaker import BreakerSettings


class _Table(Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True):
    """A table of config.toml."""


class HubSettings(_Table, frozen=True):
    """``[hub]``."""

    environment: Annotated[Literal["development", "staging", "production"], Meta(description="Which rules of caution hold.")] = "development"
    data: Annotated[str, Meta(min_length=1, max_length=4096, description="Folder for database and files, relative to config.toml.")] = "data"
    strict: Annotated[bool, Meta(description="Any plugin failure stops the start (for CI).")] = False
    safe_plugins: Annotated[tuple[PluginId, ...], Meta(max_length=32, description="Plugins that run in safe mode too.")] = ()
    plugin_seconds: Annotated[float, Meta(ge=0.1, le=300, description="Deadline in seconds for each phase of each plugin.")] = 30.0


class ServerSettings(_Table, frozen=True):
    """``[server]``."""

    host: Annotated[str, Meta(min_length=1, max_length=255, description="Address to listen on.")] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535, description="Port to listen on; 0 takes a free one.")] = 8000
    public_url: Annotated[str, Meta(pattern=r"^(https?://[^\s]+)?$", max_length=255, description="Address that people use, if another.")] = ""
    max_body_bytes: Annotated[int, Meta(ge=1024, le=1_048_576, description="Largest JSON body in bytes.")] = 262_144
    drain_seconds: Annotated[float, Meta(ge=0, le=300, description="How long stopping waits for running requests, in seconds.")] = 5.0


class DatabaseSettings(_Table, frozen=True):
    """``[database]``."""

    url: Annotated[str, Meta(max_length=1024, description="postgresql://…; empty for SQLite in the data folder.")] = ""
    migrate: Annotated[Literal["auto", "manual"], Meta(description="Whether a start applies waiting migrations.")] = "auto"


class LogSettings(_Table, frozen=True):
    """``[log]``."""

    level: Annotated[Literal["debug", "info", "warning", "error"], Meta(description="Least level that is written.")] = "info"
    format: Annotated[Literal["auto", "json", "text"], Meta(description="auto: text on a terminal, JSON lines elsewhere.")] = "auto"


class PluginSettings(_Table, frozen=True):
    """``[plugins.<id>]``."""

    enabled: Annotated[bool, Meta(description="Whether the plugin runs.")] = False
    on_failure: Annotated[
        Literal["required", "optional", "quarantine"],
        Meta(description="required: the hub does not start without it; optional: the hub goes on; quarantine: it also stays off until released."),
    ] = "optional"
    approve: Annotated[tuple[str, ...], Meta(max_length=16, description="Grants that the operator gives the plugin.")] = ()
    accept_untested: Annotated[bool, Meta(description="Run it although it was made for another plugin API.")] = False
    config: Annotated[dict[str, Any], Meta(description="The plugin's own settings.")] = {}


class Settings(_Table, frozen=True):
    """The whole of config.toml."""

    hub: HubSettings = HubSettings()
    server: ServerSettings = ServerSettings()
    database: DatabaseSettings = DatabaseSettings()
    log: LogSettings = LogSettings()
    breaker: BreakerSettings = BreakerSettings()
    plugins: dict[PluginId, PluginSettings] = {}
