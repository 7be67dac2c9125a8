"""The core's own settings."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from msgspec import Meta, Struct

from luminai.contracts.cache import CacheClass
from luminai.contracts.manifest import MAX_GRANTS, PluginId
from luminai.contracts.secret import NO_OR_SECRET_PATTERN, SECRET_PATTERN
from luminai.telemetry.alert_rules import RuleSettings
from luminai.telemetry.breaker import BreakerSettings

MAX_KEY_DAYS: Final = 365
KeyDays = Annotated[int, Meta(ge=1, le=MAX_KEY_DAYS)] | Literal["none"]
"""How long an API key lasts."""


class _Table(Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True):
    """A table of config.toml."""


class HubSettings(_Table, frozen=True):
    """``[hub]``."""

    environment: Annotated[Literal["development", "staging", "production"], Meta(description="Which rules of caution hold.")] = "development"
    data: Annotated[str, Meta(min_length=1, max_length=4096, description="Folder for database and files, relative to config.toml.")] = "data"
    roles: Annotated[
        tuple[Literal["web", "worker"], ...],
        Meta(min_length=1, max_length=2, description="web answers requests; worker runs jobs, schedules, letters and deliveries. PostgreSQL only."),
    ] = ("web", "worker")
    strict: Annotated[bool, Meta(description="Any plugin failure stops the start (for CI).")] = False
    safe_plugins: Annotated[tuple[PluginId, ...], Meta(max_length=32, description="Plugins that run in safe mode too.")] = ()
    plugin_seconds: Annotated[float, Meta(ge=0.1, le=300, description="Deadline in seconds for each phase of each plugin.")] = 30.0


class ServerSettings(_Table, frozen=True):
    """``[server]``."""

    host: Annotated[str, Meta(min_length=1, max_length=255, description="Address to listen on.")] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535, description="Port to listen on; 0 takes a free one.")] = 8000
    public_url: Annotated[str, Meta(pattern=r"^(https?://[^\s]+)?\Z", max_length=255, description="Address that people use, if another.")] = ""
    hosts: Annotated[
        tuple[Annotated[str, Meta(min_length=1, max_length=255)], ...], Meta(max_length=64, description="Further names of this hub.")
    ] = ()
    cors_origins: Annotated[
        tuple[Annotated[str, Meta(pattern=r"^https?://[^\s/]+\Z", max_length=255)], ...],
        Meta(max_length=64, description="Pages of other origins that may call the API."),
    ] = ()
    tls_certificate: Annotated[str, Meta(max_length=4096, description="PEM file; with tls-key the hub speaks HTTPS itself.")] = ""
    tls_key: Annotated[str, Meta(max_length=4096, description="PEM file of the certificate's key; only its owner may read it.")] = ""
    plain_http: Annotated[bool, Meta(description="Listen beyond this machine without TLS or a proxy: whoever is on the network reads along.")] = False
    proxies: Annotated[int, Meta(ge=0, le=8, description="How many proxies of your own stand before the hub.")] = 0
    max_body_bytes: Annotated[int, Meta(ge=1024, le=1_048_576, description="Largest JSON body in bytes.")] = 262_144
    drain_seconds: Annotated[float, Meta(ge=0, le=300, description="How long stopping waits for running requests, in seconds.")] = 5.0


class ConnectionSettings(_Table, frozen=True):
    """``[connections]``: what one client may take of the server."""

    head_seconds: Annotated[float, Meta(gt=0, le=300, description="From the first byte of a request to the end of its headers.")] = 10.0
    idle_seconds: Annotated[float, Meta(gt=0, le=3600, description="How long a connection may stay open without a request.")] = 10.0
    body_seconds: Annotated[float, Meta(gt=0, le=3600, description="For a body; it must also come at 1 KiB a second after 10 s.")] = 60.0
    upload_seconds: Annotated[float, Meta(gt=0, le=86_400, description="The same for a body of more than 1 MiB.")] = 600.0
    unread_seconds: Annotated[float, Meta(gt=0, le=3600, description="How long an answer may wait for a client that does not read it.")] = 60.0
    total: Annotated[int, Meta(ge=1, le=100_000, description="Open at once.")] = 2000
    per_address: Annotated[int, Meta(ge=0, le=100_000, description="Open at once from one address; 0 for no limit, as behind proxies.")] = 100
    streams_per_person: Annotated[
        int, Meta(ge=0, le=100_000, description="Sockets and event streams of one person or service open at once in a process; 0 for no limit.")
    ] = 10
    anonymous_streams: Annotated[
        int, Meta(ge=0, le=100_000, description="The same without a credential, of one network address; 0 for no limit.")
    ] = 20
    requests: Annotated[int, Meta(ge=1, le=100_000, description="Requests worked on at once; more are answered 503. Open streams do not count.")] = (
        256
    )


class Rate(_Table, frozen=True):
    """So many requests in so many seconds; all at once or spread. 0 requests: no limit."""

    requests: Annotated[int, Meta(ge=0, le=1_000_000, description="How many; 0 for no limit.")]
    seconds: Annotated[float, Meta(gt=0, le=86_400, description="In how many seconds.")] = 60.0
    per: Annotated[
        Literal["caller", "address", "anonymous"],
        Meta(
            description="Whose. caller: who is signed in, else the network address; address: always the address; "
            "anonymous: the address of those without a credential, the others count in their own class."
        ),
    ] = "caller"
    each_route: Annotated[bool, Meta(description="Count each route for itself, so that one that is used up leaves the others.")] = False


class LimitSettings(_Table, frozen=True):
    """``[limits]``: how often. A caller's class is ``person``, ``api-key`` or ``anonymous``, unless the route names another that there is."""

    enabled: Annotated[bool, Meta(description="Whether requests are counted.")] = True
    redis_url: Annotated[
        str, Meta(pattern=r"^(rediss?://\S+)?\Z", max_length=1024, description="Count in Redis; empty: in the database's server.")
    ] = ""
    address: Annotated[Rate, Meta(description="Everything from one address, before anybody is known.")] = Rate(requests=1000, per="address")
    person: Annotated[Rate, Meta(description="A signed-in person.")] = Rate(requests=60)
    api_key: Annotated[Rate, Meta(description="An API key.")] = Rate(requests=300)
    anonymous: Annotated[Rate, Meta(description="Callers without a credential.")] = Rate(requests=100, per="address")
    website: Annotated[Rate, Meta(description="Pages for people.")] = Rate(requests=100)
    playground: Annotated[Rate, Meta(description="The public playground.")] = Rate(requests=100, per="anonymous")
    sign_in: Annotated[Rate, Meta(description="Signing in, registering, resetting.")] = Rate(requests=20, per="address")
    key_creation: Annotated[Rate, Meta(description="Making API keys.")] = Rate(requests=20, per="address")
    export: Annotated[Rate, Meta(description="Exports in batches.")] = Rate(requests=1000)
    classes: Annotated[dict[Annotated[str, Meta(pattern=r"^[a-z][a-z0-9-]{0,31}\Z")], Rate], Meta(max_length=64, description="Further classes.")] = {}


class DatabaseSettings(_Table, frozen=True):
    """``[database]``."""

    url: Annotated[str, Meta(max_length=1024, description="postgresql://…; empty for SQLite in the data folder.")] = ""
    migrate: Annotated[Literal["auto", "manual"], Meta(description="Whether a start applies waiting migrations.")] = "auto"
    slow_ms: Annotated[int, Meta(ge=1, le=60_000, description="Milliseconds after which a unit of work is told in the log.")] = 500


class LogSettings(_Table, frozen=True):
    """``[log]``."""

    level: Annotated[Literal["debug", "info", "warning", "error"], Meta(description="Least level that is written.")] = "info"
    format: Annotated[Literal["auto", "json", "text"], Meta(description="auto: text on a terminal, JSON lines elsewhere.")] = "auto"
    folder: Annotated[
        str, Meta(max_length=4096, description="Folder of a second copy, a file of JSON lines a day, relative to config.toml. Empty: none.")
    ] = ""
    keep_days: Annotated[int, Meta(ge=1, le=3650, description="Days of which the files there are kept.")] = 30


class AuditSettings(_Table, frozen=True):
    """``[audit]``."""

    checkpoints: Annotated[
        str,
        Meta(
            max_length=4096,
            description="File that signed checkpoints are appended to, relative to config.toml; lay it on another volume. "
            "Empty: audit.txt in <data>-checkpoints, beside the data folder.",
        ),
    ] = ""
    witness_url: Annotated[str, Meta(pattern=r"^(https?://[^\s]+)?\Z", max_length=1024, description="Address that checkpoints are POSTed to.")] = ""
    key_days: Annotated[int, Meta(ge=0, le=3650, description="Days after which the signing key is changed; 0 for never.")] = 365
    every_request: Annotated[
        bool,
        Meta(
            description="Record also each POST, PUT, PATCH and DELETE of whoever is signed in, equal ones of a round as one entry with their number: "
            "a trail of all that was done, whatever a plugin records by itself. It costs rows."
        ),
    ] = False


class VaultSettings(_Table, frozen=True):
    """``[vault]``."""

    key_file: Annotated[
        str, Meta(max_length=4096, description="File of the master key, relative to config.toml; lay it outside the data folder. Empty: inside it.")
    ] = ""


class BackupSettings(_Table, frozen=True):
    """``[backup]``."""

    folder: Annotated[
        str, Meta(max_length=4096, description="Folder of `luminai backup create`, relative to config.toml; lay it on another disk. Empty: none.")
    ] = ""
    every_hours: Annotated[
        float,
        Meta(
            ge=0,
            le=168,
            description="Hours between the backups that a serving hub makes there by itself and reads whole again, 0.25 for 15 minutes; 0: none.",
        ),
    ] = 24
    keep: Annotated[
        int, Meta(ge=1, le=1000, description="Backups named by time that are kept there; after a good one of its own the hub deletes older ones.")
    ] = 14


_JobsEverywhere = Annotated[int, Meta(ge=1, le=10_000)]
_JobsOf = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9]*(-[a-z0-9]+)*(\.[a-z][a-z0-9]*(-[a-z0-9]+)*)?\Z", max_length=160)]


class JobRate(_Table, frozen=True):
    """So many jobs begin in so many seconds; all at once or spread. Each attempt counts."""

    starts: Annotated[int, Meta(ge=1, le=1_000_000, description="How many.")]
    seconds: Annotated[float, Meta(gt=0, le=86_400, description="In how many seconds.")] = 60.0


class JobSettings(_Table, frozen=True):
    """``[jobs]``: what plugins do beside requests."""

    slots: Annotated[int, Meta(ge=0, le=500, description="Jobs that run at the same time in this process; 0: it runs none.")] = 10
    plugin_slots: Annotated[int, Meta(ge=1, le=500, description="Those of one plugin among them, so that one cannot hold up the others.")] = 5
    everywhere: Annotated[
        dict[_JobsOf, _JobsEverywhere],
        Meta(
            max_length=200,
            description="Most jobs of a plugin, or of an action by its full name, that run at the same time in all processes together.",
        ),
    ] = {}
    rates: Annotated[
        dict[_JobsOf, JobRate],
        Meta(max_length=200, description="How often jobs of a plugin, or of an action by its full name, begin in all processes together."),
    ] = {}
    processes: Annotated[int, Meta(ge=1, le=64, description="Processes beside this one for what needs a core for itself.")] = 2
    process_megabytes: Annotated[int, Meta(ge=64, le=65_536, description="Most memory of each, as address space.")] = 1024
    lease_seconds: Annotated[
        float,
        Meta(ge=2, le=3600, description="After that another process takes up jobs of one that is gone; the same in all processes."),
    ] = 60.0
    engine: Annotated[
        str,
        Meta(
            pattern=r"^[a-z][a-z0-9-]{0,31}\Z",
            description="How word of due jobs reaches workers: embedded, or the name of an engine of a plugin, which every process then needs.",
        ),
    ] = "embedded"


class CacheSettings(_Table, frozen=True):
    """``[cache]``: what plugins keep because it is dear to make."""

    redis_url: Annotated[
        str, Meta(pattern=r"^(rediss?://\S+)?\Z", max_length=1024, description="Keep it in Redis, for all processes; empty: in this process.")
    ] = ""
    megabytes: Annotated[int, Meta(ge=1, le=65_536, description="Most that it takes in this process.")] = 64
    near_seconds: Annotated[
        float,
        Meta(
            ge=0,
            le=60,
            description="With Redis: how long a process believes what it read there; so late it hears what another dropped. 0: not at all.",
        ),
    ] = 0.0
    alone_seconds: Annotated[
        float,
        Meta(ge=0, le=3600, description="Without Redis, on PostgreSQL: longest life of an entry, as processes do not hear of one another's changes."),
    ] = 5.0
    classes: Annotated[
        dict[Annotated[str, Meta(pattern=r"^[a-z][a-z0-9-]{0,31}\Z")], CacheClass],
        Meta(
            max_length=64,
            description="How long each kind is kept; session, preferences, resonance, knowledge, list, static … have the products' times.",
        ),
    ] = {}


class AlertChannelSettings(_Table, frozen=True):
    """``[alerts.channels.<name>]``: who is told. The log always is."""

    kind: Annotated[Literal["mail", "webhook"], Meta(description="mail: letters; webhook: a POST with JSON, as chat services take it.")]
    to: Annotated[tuple[Annotated[str, Meta(min_length=3, max_length=254)], ...], Meta(max_length=20, description="Addresses of letters.")] = ()
    url: Annotated[
        str,
        Meta(
            pattern=NO_OR_SECRET_PATTERN,
            max_length=1024,
            description="A reference to the webhook's address: env:NAME or file:PATH; whoever knows the address may write there.",
            extra_json_schema={"writeOnly": True, "x-luminai-secret": True},
        ),
    ] = ""
    least: Annotated[Literal["notice", "warning", "critical"], Meta(description="Nothing less is told.")] = "warning"


class AlertSettings(_Table, frozen=True):
    """``[alerts]``."""

    enabled: Annotated[bool, Meta(description="Whether the hub watches itself; Prometheus can do it with the same rules.")] = True
    interval_seconds: Annotated[float, Meta(ge=5, le=300, description="How often the figures are looked at.")] = 15.0
    repeat_minutes: Annotated[int, Meta(ge=5, le=10_080, description="How often one is told again while it goes on.")] = 240
    rules: Annotated[
        dict[Annotated[str, Meta(pattern=r"^[a-z][a-z0-9]*(-[a-z0-9]+)*(\.[a-z][a-z0-9]*(-[a-z0-9]+)*)?\Z", max_length=80)], RuleSettings],
        Meta(max_length=200, description="Rules of your own, and changes to those of the hub and of plugins."),
    ] = {}
    channels: Annotated[
        dict[Annotated[str, Meta(pattern=r"^[a-z][a-z0-9-]{0,31}\Z")], AlertChannelSettings], Meta(max_length=10, description="Who is told.")
    ] = {}


class ScheduleSettings(_Table, frozen=True):
    """``[schedules]``: what plugins and people have done by the clock."""

    min_interval: Annotated[int, Meta(ge=1, le=86_400, description="Seconds that must lie between two runs of one schedule.")] = 60
    per_owner: Annotated[int, Meta(ge=0, le=100_000, description="Schedules that one person or service may have.")] = 50


class EventSettings(_Table, frozen=True):
    """``[events]``: how long the log of events keeps what plugins publish, by the class of its type. ``lasting`` ones and streams stay."""

    short_days: Annotated[int, Meta(ge=1, le=3650, description="Days that events of the class `short` stay.")] = 7
    days: Annotated[int, Meta(ge=1, le=36_500, description="Days that events of the class `standard` stay.")] = 365


class EndpointSettings(_Table, frozen=True):
    """``[endpoints]``: where people may have events sent."""

    approve: Annotated[
        tuple[Annotated[str, Meta(pattern=r"^(outbound|private):.+\Z", max_length=300)], ...],
        Meta(max_length=64, description="Private addresses that endpoints may have, such as outbound:127.0.0.1:9000 or private:hooks.lan:443."),
    ] = ()


class LiveSettings(_Table, frozen=True):
    """``[live]``: rooms, which people watch by event stream, socket or poll."""

    redis_url: Annotated[
        str,
        Meta(pattern=r"^(rediss?://\S+)?\Z", max_length=1024, description="Carries messages between processes. Empty: the one of [limits], if any."),
    ] = ""
    heartbeat_seconds: Annotated[int, Meta(ge=1, le=120, description="How often an event stream shows that it stands.")] = 15
    backlog: Annotated[int, Meta(ge=1, le=10_000, description="Messages that wait for a reader who does not read; then it is sent away.")] = 64
    rooms_per_socket: Annotated[int, Meta(ge=1, le=1000, description="Rooms that one socket may be in.")] = 50
    readers_per_room: Annotated[int, Meta(ge=1, le=1_000_000, description="Readers of one room in a process.")] = 10_000
    requests: Annotated[int, Meta(ge=1, le=100_000, description="Rooms that one person or service may ask for by socket, a minute.")] = 240


class SignInSettings(_Table, frozen=True):
    """``[identity.providers.<name>]``: a service where people sign in instead."""

    kind: Annotated[Literal["oidc", "google", "linkedin", "github"], Meta(description="oidc: any OpenID provider, named by its issuer.")]
    client_id: Annotated[str, Meta(min_length=1, max_length=255, description="What the service calls this hub.")]
    client_secret: Annotated[
        str,
        Meta(
            pattern=SECRET_PATTERN,
            max_length=1024,
            description="A reference to the secret: env:NAME or file:PATH.",
            extra_json_schema={"writeOnly": True, "x-luminai-secret": True},
        ),
    ]
    issuer: Annotated[
        str, Meta(pattern=r"^(https?://[^\s?#]+)?\Z", max_length=255, description="Of oidc, or of a GitHub of your own; https but on this machine.")
    ] = ""
    title: Annotated[str, Meta(max_length=40, description="What people read; empty: the service's name.")] = ""
    scopes: Annotated[
        tuple[Annotated[str, Meta(pattern=r"^[\x21\x23-\x5b\x5d-\x7e]{1,64}\Z")], ...], Meta(max_length=16, description="Empty: name and address.")
    ] = ()
    hosts: Annotated[
        tuple[Annotated[str, Meta(min_length=1, max_length=255)], ...],
        Meta(max_length=8, description="Further hosts that the service answers at, beside its issuer's."),
    ] = ()


class IdentitySettings(_Table, frozen=True):
    """``[identity]``."""

    registration: Annotated[
        Literal["auto", "open", "invite", "closed"],
        Meta(description="Who may sign up. auto: open while only this machine can reach the hub, since nobody unknown can then; invite elsewhere."),
    ] = "auto"
    verify_email: Annotated[
        Literal["auto", "required", "off"],
        Meta(description="Whether an address must be confirmed before the first sign-in. auto: where letters can be sent."),
    ] = "auto"
    lock_minutes: Annotated[int, Meta(ge=0, le=720, description="Idle minutes after which a session asks for the password; 0 for never.")] = 30
    idle_hours: Annotated[int, Meta(ge=1, le=168, description="Idle hours after which a session ends.")] = 12
    session_days: Annotated[int, Meta(ge=1, le=90, description="Days after which a session ends whatever happens; 8 hours for administrators.")] = 30
    key_days: Annotated[KeyDays, Meta(description="Days after which a new API key ends, unless it asks for another time; none: never.")] = 90
    providers: Annotated[
        dict[Annotated[str, Meta(pattern=r"^[a-z][a-z0-9-]{0,31}\Z")], SignInSettings],
        Meta(max_length=16, description="Where people sign in instead."),
    ] = {}


class Purpose(_Table, frozen=True):
    """``[privacy.purposes.<name>]``."""

    title: Annotated[str, Meta(min_length=1, max_length=200, description="What people are asked to agree to, in one line.")]
    version: Annotated[str, Meta(min_length=1, max_length=40, description="Version of the whole text; a new one asks everybody again.")]


class PrivacySettings(_Table, frozen=True):
    """``[privacy]``."""

    purposes: Annotated[
        dict[Annotated[str, Meta(pattern=r"^(?!do-not-sell\Z)[a-z][a-z0-9-]{0,39}\Z")], Purpose],
        Meta(max_length=64, description="What people can agree to, by a short name."),
    ] = {}


_Share = Annotated[float, Meta(ge=0, le=1)]


class PluginHealthSettings(_Table, frozen=True):
    """``[plugins.<id>.health]``: when the plugin counts as unwell; shares and times are of the last five minutes."""

    timeout_seconds: Annotated[
        Annotated[float, Meta(ge=0.1, le=60)] | None, Meta(description="Deadline of each of its checks, instead of its own.")
    ] = None
    degraded_errors: Annotated[_Share | None, Meta(description="Share of its requests that end in an error, above which it is degraded.")] = None
    failing_errors: Annotated[_Share | None, Meta(description="The same, above which it is failing.")] = None
    slow_seconds: Annotated[Annotated[float, Meta(gt=0, le=3600)] | None, Meta(description="p95 of its requests above which it is degraded.")] = None
    at_least: Annotated[int, Meta(ge=1, le=1_000_000, description="Fewer requests are not judged.")] = 20

    @property
    def judges_requests(self) -> bool:
        """Whether there is a limit for its requests."""
        return any(one is not None for one in (self.degraded_errors, self.failing_errors, self.slow_seconds))


class PluginSettings(_Table, frozen=True):
    """``[plugins.<id>]``."""

    enabled: Annotated[bool, Meta(description="Whether the plugin runs.")] = False
    on_failure: Annotated[
        Literal["required", "optional", "quarantine"],
        Meta(description="required: the hub does not start without it; optional: the hub goes on; quarantine: it also stays off until released."),
    ] = "optional"
    approve: Annotated[
        tuple[Annotated[str, Meta(min_length=1, max_length=300)], ...],
        Meta(max_length=2 * MAX_GRANTS, description="Grants that the operator gives the plugin."),
    ] = ()
    max_calls: Annotated[int, Meta(ge=1, le=64, description="Calls of the plugin to other services at once; further ones wait.")] = 8
    max_streams: Annotated[int, Meta(ge=1, le=1024, description="Streams from other services at once, such as answers of an AI provider.")] = 256
    accept_untested: Annotated[bool, Meta(description="Run it although it was made for another plugin API.")] = False
    health: Annotated[PluginHealthSettings, Meta(description="When it counts as unwell.")] = PluginHealthSettings()
    config: Annotated[dict[str, Any], Meta(description="The plugin's own settings.")] = {}


class Settings(_Table, frozen=True):
    """The whole of config.toml."""

    hub: HubSettings = HubSettings()
    server: ServerSettings = ServerSettings()
    connections: ConnectionSettings = ConnectionSettings()
    limits: LimitSettings = LimitSettings()
    database: DatabaseSettings = DatabaseSettings()
    log: LogSettings = LogSettings()
    breaker: BreakerSettings = BreakerSettings()
    audit: AuditSettings = AuditSettings()
    vault: VaultSettings = VaultSettings()
    backup: BackupSettings = BackupSettings()
    jobs: JobSettings = JobSettings()
    alerts: AlertSettings = AlertSettings()
    cache: CacheSettings = CacheSettings()
    schedules: ScheduleSettings = ScheduleSettings()
    events: EventSettings = EventSettings()
    endpoints: EndpointSettings = EndpointSettings()
    live: LiveSettings = LiveSettings()
    identity: IdentitySettings = IdentitySettings()
    privacy: PrivacySettings = PrivacySettings()
    plugins: dict[PluginId, PluginSettings] = {}
