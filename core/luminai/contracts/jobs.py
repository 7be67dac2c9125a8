"""Actions, the jobs that run them, and schedules: the only work that outlives a request."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, Protocol

from msgspec import Struct

from luminai.contracts.identity import Actor

if TYPE_CHECKING:
    from sqlalchemy.orm import Session


class Job(Protocol):
    """One job in the hands of its action's ``run``. ``attempt`` counts from 1; ``trigger`` says what asked for it (``http``, ``plugin:<id>`` …).

    ``actor`` is who asked, with the action's scope and no other. Database work is done in that one's name.
    """

    @property
    def id(self) -> str: ...

    @property
    def attempt(self) -> int: ...

    @property
    def trigger(self) -> str: ...

    @property
    def actor(self) -> Actor: ...

    def finish(self, session: Session, output: Struct, /) -> None:
        """Mark the job as done in the plugin's own unit of work: effect and mark are committed together, so the effect happens once.

        Raises:
            Conflict: another worker has the job by now, or it was cancelled (code ``lease-lost``); let it pass, so that the unit is rolled back.
        """
        ...

    async def progress(self, done: int, total: int, note: str = "") -> None:
        """Say how far it is: ``done`` of ``total``, and a note of at most 200 characters. Kept at most once a second."""
        ...


class Action(Struct, frozen=True, kw_only=True):
    """The only thing that runs in the background. Full name ``<plugin id>.<name>``; ``input`` and ``output`` are Struct types.

    Attributes:
        run: ``async (job, input) -> output``, at least once for each job. With ``job.finish(session, output)`` in its unit of work the effect
            happens exactly once. ``InvalidInput``, ``Forbidden``, ``NotFound`` and their like (status below 500) are not tried again.
        scope: What an actor needs to ask for it and to see it; one of the manifest's scopes.
        timeout: Seconds for one attempt, at most an hour.
        key: ``(input) -> str``: jobs with the same key are the same for ``concurrency``; None: all jobs of the action are.
        concurrency: What happens to a job while another of the same key waits or runs: ``allow`` both, ``skip`` the new one, ``queue`` it behind,
            or ``replace`` the old one by it.
        retries: Attempts after the first that failed, at most 50.
        backoff: Seconds before the second attempt; they double, up to an hour.
        at_once: Jobs of it that run at the same time in one process; 0: as many as the plugin may.
        compute: The part that needs a core for itself: a plain function at the top of a module, ``(input) -> result``, both annotated, the result a
            Struct. It is called in a process of its own, with bounded memory, that imports that module alone and is killed when the job is cancelled
            or its time is over; one that dies is a failed attempt. ``run`` is then ``async (job, input, result) -> output``.
    """

    name: str
    summary: str
    input: type[Struct]
    output: type[Struct]
    run: Callable[..., Awaitable[Struct]]
    scope: str
    timeout: float = 60.0
    key: Callable[[Any], str] | None = None
    concurrency: Literal["allow", "skip", "queue", "replace"] = "allow"
    retries: int = 0
    backoff: float = 10.0
    at_once: int = 0
    compute: Callable[[Any], Struct] | None = None


class Schedule(Struct, frozen=True, kw_only=True):
    """Runs one of the plugin's own actions by the clock, in the hub's name. Operators may pause it and change when it runs; that stays theirs.

    Attributes:
        action: Name of the action, without the plugin's id.
        trigger: One line: ``cron: 0 8 * * mon-fri``, ``every: 15m``, ``calendar: 1 month 08:00`` or ``at: 2026-12-24T08:00``.
        zone: Time zone of the trigger's times of day.
        input: The action's input, as plain values.
        start: Nothing runs before, and ``every`` and ``calendar`` count from here; None: from when the schedule is first known.
        misfire: What becomes of moments that were missed, because no hub ran or the plugin was off: ``skip`` them, run ``once`` for the newest
            alone, or ``all`` of them (the 100 oldest).
        grace: Seconds after which a moment counts as missed.
        overlap: What happens while an earlier run of this schedule waits or runs: ``allow``, ``skip``, ``queue`` or ``replace``; ``action``: what
            the action's own ``concurrency`` says. Only an action that allows all leaves the choice.
        jitter: Each run begins less than so many seconds later, always by the same amount for the same moment.
    """

    name: str
    action: str
    trigger: str
    zone: str = "UTC"
    input: dict[str, Any] = {}
    start: datetime | None = None
    misfire: Literal["skip", "once", "all"] = "once"
    grace: int = 60
    overlap: Literal["action", "allow", "skip", "queue", "replace"] = "action"
    jitter: int = 0


class Actions(Protocol):
    """Asks for the plugin's own actions, and those of plugins that it requires."""

    def put(
        self, session: Session, action: str, given: Mapping[str, Any], /, *, at: datetime | None = None, once: str = "", priority: int = 5
    ) -> str:
        """Put a job into the unit's own transaction, in the name of whoever acts, and return its id: there with the unit's rows, or not at all.

        Args:
            action: Full name.
            given: Its input, as plain values.
            at: Not before; None: now.
            once: Two jobs of one action with the same text (at most 200 characters) are one; the second call returns the first one's id.
            priority: 0 to 9, 9 is most urgent.

        Raises:
            NotFound: no such action, or its plugin is not in ``requires`` (code ``unknown-action``).
            InvalidInput: the input does not fit; ``errors`` lists every problem.
        """
        ...
