"""The actions of one generation: what may be asked for, of which shape, and by whom."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, Final

import msgspec
from msgspec import Struct
from sqlalchemy.orm import Session

from luminai.contracts.context import Clock
from luminai.contracts.errors import Conflict, HubError, InvalidInput, NotFound, ProblemItem, TooLarge
from luminai.contracts.identity import Actor
from luminai.contracts.jobs import Action
from luminai.contracts.vault import HUB_SUBJECT, Vault
from luminai.data.after_commit import Word, after_commit
from luminai.data.owners import Acting, unit_acts_for
from luminai.host.computation import Computation, fault_of
from luminai.work.jobs import NewJob, put

MAX_INPUT: Final = 64 * 1024
MAX_KEY: Final = 200
MAX_TIMEOUT: Final = 3600.0
MAX_RETRIES: Final = 50
MAX_PROBLEMS: Final = 50
_NAME: Final = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


class DeclaredAction:
    """An action, ready to check what it is given."""

    __slots__ = ("_decoder", "action", "computation", "owner")

    def __init__(self, owner: str, action: Action) -> None:
        self.owner = owner
        self.action = action
        self.computation = Computation(owner, action.compute) if action.compute is not None else None
        self._decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(action.input)

    @property
    def name(self) -> str:
        """The full name."""
        return f"{self.owner}.{self.action.name}"

    def decode(self, raw: bytes) -> Any:
        """Return the input as its Struct.

        Raises:
            InvalidInput: it does not fit; ``errors`` lists every problem (code ``bad-action-input``).
            TooLarge: it has more than 64 KiB (code ``action-input-too-large``).
        """
        if len(raw) > MAX_INPUT:
            hint = "Put ids or a storage key there."
            raise TooLarge(f"The input of {self.name} is above {MAX_INPUT // 1024} KiB.", code="action-input-too-large", hint=hint, plugin=self.owner)
        try:
            return self._decoder.decode(raw)
        except msgspec.DecodeError as error:
            found = _problems(self.action.input, raw) or [ProblemItem(detail=str(error)[:300])]
            raise InvalidInput(
                f"The input of {self.name} does not fit.", code="bad-action-input", hint=found[0].detail, errors=found, plugin=self.owner
            ) from error

    def key(self, given: Any) -> str | None:
        """Return what its concurrency rule compares, None where jobs run side by side.

        Raises:
            InvalidInput: the plugin's own function fails, or returns no short text (code ``bad-action-key``).
        """
        if self.action.concurrency == "allow":
            return None
        try:
            found: Any = self.action.key(given) if self.action.key is not None else ""
        except Exception as error:
            raise InvalidInput(f"{self.name} cannot tell its key.", code="bad-action-key", plugin=self.owner) from error
        if not isinstance(found, str) or len(found) > MAX_KEY:
            raise InvalidInput(f"The key of {self.name} is no text of at most {MAX_KEY} characters.", code="bad-action-key", plugin=self.owner)
        return found


class ActionTable:
    """Actions by full name."""

    def __init__(self) -> None:
        self._declared: dict[str, DeclaredAction] = {}
        self._internal: dict[str, DeclaredAction] = {}

    def add(self, owner: str, actions: Iterable[Action]) -> None:
        """Enter a plugin's actions.

        Raises:
            Conflict: a name that is no plain name or is given twice, an input or output that is no Struct, a bound that is broken (``bad-action``).
        """
        for action in actions:
            fault = _fault(action)
            name = f"{owner}.{action.name}"
            if fault or name in self._declared or name in self._internal:
                raise Conflict(f"action {action.name[:80]!r}: {fault or 'it is there twice'}", code="bad-action", hint="See Action in the reference.")
            self._declared[name] = DeclaredAction(owner, action)

    def add_internal(self, actions: Iterable[DeclaredAction]) -> None:
        """Enter what only the hub itself puts jobs for: deliveries of events, and its own work. Nobody can ask for it by name.

        Raises:
            Conflict: a plugin has an action of that name (code ``bad-action``).
        """
        for one in actions:
            if one.name in self._declared:
                raise Conflict(f"action {one.name} is also what jobs of a subscription are called", code="bad-action", hint="Rename the action.")
            self._internal[one.name] = one

    def remove(self, owner: str) -> None:
        """Take out a plugin's actions."""
        self._declared = {name: one for name, one in self._declared.items() if one.owner != owner}
        self._internal = {name: one for name, one in self._internal.items() if one.owner != owner}

    def find(self, name: str) -> DeclaredAction:
        """Return an action of a running plugin.

        Raises:
            NotFound: there is none (code ``unknown-action``).
        """
        found = self._declared.get(name)
        if found is None:
            raise unknown(name, self._declared)
        return found

    def known(self, name: str) -> DeclaredAction | None:
        """Return what jobs of that name run, None if no running plugin has it."""
        return self._declared.get(name) or self._internal.get(name)

    @property
    def owners(self) -> list[str]:
        """Those whose jobs can be run, by name."""
        return sorted({one.owner for one in (*self._declared.values(), *self._internal.values())})

    @property
    def all(self) -> list[DeclaredAction]:
        """Every action, by name."""
        return [self._declared[name] for name in sorted(self._declared)]


class PluginActions:
    """Implements ``Actions`` for one plugin."""

    def __init__(
        self,
        plugin: str,
        table: Callable[[], ActionTable],
        requires: Callable[[], Mapping[str, str]],
        vault: Vault,
        clock: Clock,
        wake: Callable[[], None],
    ) -> None:
        self._plugin = plugin
        self._table = table
        self._requires = requires
        self._vault = vault
        self._clock = clock
        self._put: Word = lambda _: wake()

    def put(
        self, session: Session, action: str, given: Mapping[str, Any], /, *, at: datetime | None = None, once: str = "", priority: int = 5
    ) -> str:
        """Put a job into the unit's own transaction."""
        declared = self._table().find(action)
        if declared.owner != self._plugin and declared.owner not in self._requires():
            raise unknown(action, ())
        trigger = f"plugin:{self._plugin}"
        try:
            raw = msgspec.json.encode(given)
        except (TypeError, ValueError, OverflowError) as error:
            raise InvalidInput(f"The input of {action} is no JSON.", code="bad-action-input", hint=str(error)[:200]) from error
        job = new_job(declared, raw, whose=unit_acts_for(), actor=trigger, trigger=trigger, run_at=at, once=once or None, priority=priority)
        job_id = put(session, self._vault, job, self._clock.now())
        after_commit(session, self._put)
        return job_id


def new_job(
    declared: DeclaredAction,
    raw: bytes,
    *,
    whose: Acting,
    actor: str,
    trigger: str,
    run_at: datetime | None = None,
    expires_at: datetime | None = None,
    once: str | None = None,
    priority: int = 5,
) -> NewJob:
    """Return the job that runs an action with ``raw``, checked.

    Raises:
        InvalidInput, TooLarge: the input does not fit, or ``once`` or ``priority`` is out of its bounds.
    """
    if not 0 <= priority <= 9 or len(once or "") > MAX_KEY:
        raise InvalidInput("A priority is 0 to 9, and `once` has at most 200 characters.", code="bad-job")
    same = declared.key(declared.decode(raw))
    return NewJob(
        plugin=declared.owner,
        action=declared.action.name,
        subject=whose.subject or HUB_SUBJECT,
        organisation=whose.organisation,
        actor=actor,
        trigger=trigger,
        input=raw,
        priority=priority,
        run_at=run_at,
        expires_at=expires_at,
        rule=declared.action.concurrency,
        same=same,
        once=once,
    )


def require(declared: DeclaredAction, actor: Actor) -> None:
    """Refuse an actor who may not ask for an action: what one may not run is not there.

    Raises:
        NotFound: the scope is missing (code ``unknown-action``).
    """
    if not actor.may(declared.action.scope):
        raise unknown(declared.name, ())


def unknown(name: str, names: Iterable[str]) -> HubError:
    """Return the refusal of an action that is not there."""
    near = difflib.get_close_matches(name, list(names), n=1)
    hint = f"Did you mean {near[0]}?" if near else "`luminai actions list` shows those that you may run."
    return NotFound(f"There is no action {name[:120]}.", code="unknown-action", hint=hint)


def _fault(action: Any) -> str:
    if not _NAME.fullmatch(action.name) or len(action.name) > 80:
        return "its name is no plain name of lower-case words"
    if not all(isinstance(kind, type) and issubclass(kind, Struct) for kind in (action.input, action.output)):
        return "input and output must be Struct types"
    if not 0 < action.timeout <= MAX_TIMEOUT or not 0 <= action.retries <= MAX_RETRIES or action.backoff < 0 or action.at_once < 0:
        return f"timeout is above 0 and at most {MAX_TIMEOUT:g} s, retries 0 to {MAX_RETRIES}, backoff and at_once not below 0"
    if action.concurrency not in ("allow", "skip", "queue", "replace"):
        return "concurrency is allow, skip, queue or replace"
    return fault_of(action.compute, action.input) if action.compute is not None else ""


def _problems(kind: type[Struct], raw: bytes) -> list[ProblemItem]:
    """Return every problem, not the first one only; [] where the schema sees none."""
    import jsonschema

    try:
        given = msgspec.json.decode(raw)
    except msgspec.DecodeError as error:
        return [ProblemItem(detail=f"It is no JSON: {error}"[:300])]
    checker = jsonschema.Draft202012Validator(msgspec.json.schema(kind))
    found = sorted(checker.iter_errors(given), key=lambda error: [str(part) for part in error.absolute_path])
    return [
        ProblemItem(detail=error.message[:300], pointer="".join(f"/{part}" for part in error.absolute_path)[:200]) for error in found[:MAX_PROBLEMS]
    ]
