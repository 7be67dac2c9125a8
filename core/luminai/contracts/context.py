"""What the hub hands to a plugin: one context a plugin and generation, no globals."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, TypeVar

from luminai.contracts.ai import AIProvider
from luminai.contracts.audit import AuditEntry
from luminai.contracts.cache import Cache
from luminai.contracts.identity import Actor
from luminai.contracts.jobs import Actions
from luminai.contracts.live import Live
from luminai.contracts.metering import Metering
from luminai.contracts.metrics import Metrics
from luminai.contracts.outbound import HttpClient
from luminai.contracts.payment import PaymentProvider
from luminai.contracts.persona import Persona
from luminai.contracts.resonance import ResonanceCalculator
from luminai.contracts.runtime import Event
from luminai.contracts.storage import StorageBackend
from luminai.contracts.streams import Events
from luminai.contracts.vault import Vault

if TYPE_CHECKING:
    from sqlalchemy import Select
    from sqlalchemy.orm import Session

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
Isolation: TypeAlias = Literal["serializable", "read-committed"]
"""What a unit of work sees of others that run at the same time; ``Database.write`` tells when which is right."""


class Clock(Protocol):
    """Time, injected. ``now`` is an aware UTC datetime; ``monotonic`` is seconds that never go back."""

    def now(self) -> datetime: ...

    def monotonic(self) -> float: ...


class Once:
    """Makes a unit of work idempotent: a second unit with the same ``scope`` and ``key`` returns the first one's result.

    Args:
        scope: Who and what the key belongs to, e.g. ``"chat:key_01…"``.
        key: The client's ``Idempotency-Key``, 1 to 255 characters.
        fingerprint: Digest of the request; the same key with another one raises ``Unprocessable`` (``idempotency-mismatch``).
        result: Type of the unit's result, which msgspec must be able to encode and decode.
    """

    __slots__ = ("fingerprint", "key", "result", "scope")

    def __init__(self, scope: str, key: str, fingerprint: bytes, result: Any) -> None:
        self.scope = scope
        self.key = key
        self.fingerprint = fingerprint
        self.result = result


class Database(Protocol):
    """The plugin's way to its tables. A unit is a plain function of a ``Session`` with no await in it; it may run more than once
    (PostgreSQL retries serialization failures), so it must touch nothing but the session. The same function runs on SQLite and
    PostgreSQL.
    """

    @property
    def dialect(self) -> str:
        """``sqlite`` or ``postgresql``."""
        ...

    async def read(self, unit: Callable[[Session], T], /, *, timeout: float = 10.0) -> T:
        """Run ``unit`` in a read-only transaction; a write in it raises.

        Raises:
            DeadlineExceeded: it did not end within ``timeout`` seconds; a running SQLite query is interrupted.
        """
        ...

    async def write(
        self, unit: Callable[[Session], T], /, *, timeout: float = 10.0, once: Once | None = None, isolation: Isolation = "serializable"
    ) -> T:
        """Run ``unit`` in one transaction and return its result after the commit is durable.

        Args:
            isolation: ``read-committed`` is for units that many run at once on the same rows, such as holds of one purse, and that lock what they
                decide on before they read it (``with_for_update``). On PostgreSQL they wait for one another, those of one person in line before
                they take a connection, where serializable ones are run again and again. On SQLite the two are the same.

        Raises:
            DeadlineExceeded: as for ``read``.
            Unavailable: the write queue is full.
            Unprocessable: ``once`` was used before with another fingerprint.
        """
        ...

    def stream(self, select: Select[Any], /, *, batch: int = 500) -> AsyncIterator[Any]:
        """Walk a large result row by row without holding it; a consistent snapshot, no write lock."""
        ...

    def publish(self, session: Session, event: Event, /) -> str:
        """Write ``event``, and a job for each durable subscription to it, in the unit's own transaction; return its id (``evt_…``)."""
        ...


class OwnedDatabase(Database, Protocol):
    """A plugin's database. Rows of a table with an owner (``Table(…, info={"owner": "subject"})``) are there only for their owner: a statement that
    does not compare that column with the subject of the request raises ``OwnerFilterMissing``. Rows of a table with a tenant
    (``info={"tenant": "organisation"}``) are there only for the organisation that the request acts for; where it acts for none, ``Forbidden`` (code
    ``organisation-needed``) is raised. A task that a request spawns works in the same name; other background work says whose it is.
    """

    def as_subject(self, subject: str, /, *, organisation: str = "") -> Database:
        """Return the same database for work in the name of ``subject``, whoever acts, and for ``organisation`` ("" for none). Give no id here that a
        client sent.
        """
        ...

    def as_system(self) -> Database:
        """Return the same database with the rows of all, for work that belongs to nobody: statistics, upkeep."""
        ...


class Providers(Protocol):
    """Everything that running plugins contributed, by family, in plugin order. Names are unique in the hub; a clash refuses the later plugin."""

    @property
    def personas(self) -> Mapping[str, Persona]: ...

    @property
    def resonance_calculators(self) -> Mapping[str, ResonanceCalculator]: ...

    @property
    def ai_providers(self) -> Mapping[str, AIProvider]: ...

    @property
    def payment_providers(self) -> Mapping[str, PaymentProvider]: ...

    @property
    def storage_backends(self) -> Mapping[str, StorageBackend]: ...

    def owner(self, family: str, name: str) -> str:
        """Return the id of the plugin that contributed ``name`` to ``family`` (``personas`` …)."""
        ...


class Decisions(Protocol):
    """Runs decision chains; the combination rule comes from the point's prefix (``DecisionRule``)."""

    async def guard(self, point: str, subject: Any) -> None:
        """Raise ``Forbidden`` (with the step's code) unless every step allows; a failing or late step denies."""
        ...

    async def choose(self, point: str, subject: Any) -> Any | None:
        """Return the first answer that is not None."""
        ...

    async def filter(self, point: str, value: Any) -> Any:
        """Fold ``value`` through the steps; a failing step is skipped and counted."""
        ...

    async def price(self, point: str, subject: Any) -> int:
        """Return the sum of the steps' amounts; a failing step raises ``Unavailable``."""
        ...


class PluginContext(Protocol):
    """One plugin's access to the hub, valid for one generation."""

    @property
    def id(self) -> str: ...

    @property
    def version(self) -> str: ...

    @property
    def generation(self) -> int: ...

    @property
    def log(self) -> logging.Logger: ...

    @property
    def config(self) -> Any:
        """The plugin's typed config Struct (``None`` for a plugin without ``config``)."""
        ...

    @property
    def data_dir(self) -> Path:
        """The plugin's own folder below the hub's data folder; created on first use."""
        ...

    @property
    def base_dir(self) -> Path:
        """The folder of ``config.toml``: relative paths in the plugin's config start here."""
        ...

    @property
    def db(self) -> OwnedDatabase: ...

    @property
    def clock(self) -> Clock: ...

    def audit(self, session: Session, actor: Actor | str, entry: AuditEntry, /) -> str:
        """Write down what was done, in the unit's own transaction: what cannot be written down does not happen. Returns the entry's id.

        Raises:
            InvalidInput: the entry is larger than its bounds.
        """
        ...

    @property
    def cache(self) -> Cache:
        """Keeps what is dear to make, in the name of whoever acts."""
        ...

    @property
    def metrics(self) -> Metrics:
        """Counts what the plugin declared in its hook ``metrics``."""
        ...

    @property
    def metering(self) -> Metering:
        """Asks whether paid work may begin, and tells when it ended."""
        ...

    @property
    def http(self) -> HttpClient:
        """Calls to the hosts of the plugin's grants ``outbound:<host>``."""
        ...

    @property
    def vault(self) -> Vault:
        """Encryption at rest for the plugin's own tables: ``place`` begins with its table prefix."""
        ...

    @property
    def providers(self) -> Providers: ...

    @property
    def actions(self) -> Actions: ...

    @property
    def events(self) -> Events:
        """The plugin's own streams of events, and the states that follow from them."""
        ...

    @property
    def live(self) -> Live: ...

    @property
    def decisions(self) -> Decisions: ...

    def new_id(self, prefix: str) -> str:
        """Return a new UUIDv7 with a type prefix, e.g. ``ses_018f…``."""
        ...

    def service(self, type_: type[T]) -> T:
        """Return the object of that type from a plugin that the manifest ``requires``.

        Raises:
            LookupError: no running plugin offers it, or its plugin is not in ``requires``.
        """
        ...

    def extensions(self, point: str) -> Sequence[Any]:
        """Return what running plugins put into this plugin's extension point ``point``."""
        ...

    async def run_sync(self, function: Callable[..., T], /, *args: Any) -> T:
        """Run a blocking function in the plugin's own small thread pool."""
        ...

    def spawn(self, work: Coroutine[Any, Any, T_co], /, *, name: str) -> Awaitable[T_co]:
        """Start a supervised task that outlives a request; a crash is logged with the plugin as owner, stop cancels it after the drain."""
        ...

    def own(self, close: Callable[[], Awaitable[None] | None], /) -> None:
        """Have the host call ``close`` after ``stop``, last one first, whatever the plugin did."""
        ...
