"""The plugin manifest, ``luminai-plugin.toml``: read without importing the plugin, so that the hub can judge it before any of its code runs."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

PLUGIN_API: Final = "1.0"
"""The plugin API number ``major.feature`` of this hub. A new hook or argument raises the feature, a changed meaning the major."""

MAX_GRANTS: Final = 64
"""What a manifest may ask for; an operator may approve as many more, for hosts that come from settings."""

ENTRY_POINT_GROUP: Final = "luminai.plugins"
MANIFEST_FILE: Final = "luminai-plugin.toml"
SCHEMA_FILE: Final = "config.schema.json"

PluginId = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9]*(-[a-z0-9]+)*\Z", min_length=2, max_length=32)]
_CLAUSE: Final = r" *(>=|<=|==|!=|~=|<|>) *[0-9]+(\.[0-9]+)* *"
_RANGE: Final = rf"{_CLAUSE}(,{_CLAUSE})*"  # commas stand between: where a space may belong to two clauses, a text that does not fit takes for ever
VersionRange = Annotated[str, Meta(pattern=rf"^{_RANGE}\Z", max_length=64)]
AnyOrRange = Annotated[str, Meta(pattern=rf"^(\*|{_RANGE})\Z", max_length=64)]
ClaimedPath = Annotated[str, Meta(pattern=r"^/([a-z0-9.][a-z0-9._-]*(/[a-z0-9._-]+)*)?\Z", max_length=64)]
ScopeName = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9-]*:[a-z][a-z0-9-]*\Z", max_length=64)]
RoleName = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9]*(-[a-z0-9]+)*\Z", max_length=32)]
RoleScope = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9-]*:(\*|[a-z][a-z0-9-]*)\Z", max_length=97)]
Line = Annotated[str, Meta(min_length=1, max_length=200)]

Kind = Literal[
    "personas",
    "resonance_calculators",
    "ai_providers",
    "payment_providers",
    "storage_backends",
    "routes",
    "models",
    "services",
    "decisions",
    "meters",
    "health_checks",
    "metrics",
    "alert_rules",
    "actions",
    "schedules",
    "job_engines",
    "event_types",
    "aggregates",
    "subscriptions",
    "channels",
    "webhooks",
    "authenticators",
    "secret_backends",
    "extension_points",
    "extensions",
    "commands",
]
Grant = Annotated[str, Meta(pattern=r"^(anonymous-routes|secrets|site-root|webhooks|outbound:[a-z0-9*.:_\[\]-]{1,260})\Z")]


class CommandClaim(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A command of ``luminai``: ``target`` is ``module:attribute`` of a click command, imported only when it is called."""

    target: Annotated[str, Meta(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*\Z", max_length=120)]
    summary: Line


class Manifest(Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True):
    """What a plugin says about itself.

    Attributes:
        manifest: Format number of this file.
        id: Plugin id: entry-point name, config section, URL segment.
        api: Range of plugin API numbers it works with, e.g. ``>=1.0,<2``.
        requires: Plugins that must run before it, with their version range (``"*"`` for any).
        after: Plugins that start before it when they are enabled.
        conflicts: Plugins that cannot run beside it.
        provides: Hook names that it implements (and ``commands``); the hub refuses a plugin that contributes anything else.
        paths: URL prefixes it claims; empty means ``/api/<id>`` if it provides routes. Outside ``/api/`` needs the grant ``site-root``.
        tables: Whether it owns tables ``<id>__…``.
        scopes: Scopes it defines with a title for people; each starts with ``<id>:``.
        roles: What people in a role may do with it: ``member`` is everybody who signed up, ``viewer`` only reads, another name makes a role. It holds
            until an operator writes the role.
        grants: What it asks of the operator: ``anonymous-routes``, ``secrets``, ``site-root``, ``webhooks``, ``outbound:<host>`` for each host that
            it calls.
        network: Hosts it calls.
        reload: ``restart`` when it cannot be swapped in a running hub.
        removal: What is left after purge, in one sentence.
        commands: Commands that it adds to ``luminai``.
    """

    manifest: Literal[1]
    id: PluginId
    title: Line
    summary: Line
    api: VersionRange
    requires: dict[PluginId, AnyOrRange] = {}
    after: tuple[PluginId, ...] = ()
    conflicts: tuple[PluginId, ...] = ()
    provides: tuple[Kind, ...] = ()
    paths: Annotated[tuple[ClaimedPath, ...], Meta(max_length=16)] = ()
    tables: bool = False
    scopes: dict[ScopeName, Line] = {}
    roles: Annotated[dict[RoleName, Annotated[tuple[RoleScope, ...], Meta(max_length=16)]], Meta(max_length=8)] = {}
    grants: Annotated[tuple[Grant, ...], Meta(max_length=MAX_GRANTS)] = ()
    network: tuple[str, ...] = ()
    reload: Literal["hot", "restart"] = "hot"
    removal: Line = "Nothing is left."
    commands: dict[PluginId, CommandClaim] = {}

    @property
    def table_prefix(self) -> str:
        """Prefix of its tables, e.g. ``storage_local__``."""
        return f"{self.id.replace('-', '_')}__"

    @property
    def claimed_paths(self) -> tuple[str, ...]:
        """URL prefixes it claims, the default filled in."""
        return self.paths or ((f"/api/{self.id}",) if "routes" in self.provides else ())
