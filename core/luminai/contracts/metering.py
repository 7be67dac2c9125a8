"""Metering: what paid work asks before it begins, and says when it ended. The core knows no prices; where no plugin meters, all work is free.

The life of a piece of work: ``hold`` in the unit of work that admits it, ``extend`` in slices while it grows, and then exactly one of ``settle`` and
``release`` in the unit that ends it. A hub that dies in between leaves a hold whose lease runs out; the meter then gives it back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Final, Protocol, runtime_checkable

from msgspec import Meta, Struct

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

MAX_QUANTITY: Final = 10**12
Quantity = Annotated[int, Meta(ge=0, le=MAX_QUANTITY)]
QuantityName = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]{0,39}\Z")]
Quantities = Annotated[Mapping[QuantityName, Quantity], Meta(max_length=16)]


class Work(Struct, frozen=True, kw_only=True):
    """A piece of work that may cost something.

    Attributes:
        action: Full name, ``<plugin id>.<name>``, of the plugin that does the work.
        key: Names this attempt for ever, derived from the caller's own row (``turn_…``, ``job_…:attempt:2``): the same key never pays twice, and an
            attempt that failed does not use up the key of the next.
        subject: Who pays.
        model: ``<provider>/<model>`` that does it, "" where none does.
        quantities: The most that it may use before it extends its hold, by name: ``output_tokens``, ``seconds``, ``slides``.
        options: Priced options that were chosen.
        lease: Seconds after which the work counts as lost unless it was settled, released or extended.
    """

    action: Annotated[str, Meta(pattern=r"^[a-z][a-z0-9-]*(\.[a-z][a-z0-9_-]*)+\Z", max_length=80)]
    key: Annotated[str, Meta(min_length=1, max_length=120)]
    subject: Annotated[str, Meta(min_length=1, max_length=120)]
    model: Annotated[str, Meta(max_length=200)] = ""
    quantities: Quantities = {}
    options: Annotated[tuple[Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_-]{0,39}\Z")], ...], Meta(max_length=16)] = ()
    lease: Annotated[float, Meta(ge=1, le=86_400)] = 300.0


class Quote(Struct, frozen=True, kw_only=True):
    """What work would cost: ``amount`` minor units of ``asset`` for all of its quantities, ``available`` of it is there.

    Attributes:
        price: Id of the row of the price list that was used, "" where the plan makes it free.
        funding: What would pay: ``quota``, ``credits`` or ``unlimited``; "" when nothing can.
        grows_by: Quantities on which the price depends; {} for a flat one.
    """

    action: str
    asset: str
    amount: int
    available: int
    price: str = ""
    funding: str = ""
    grows_by: frozenset[str] = frozenset()


class Held(Struct, frozen=True):
    """Work may begin. ``grows_by`` names the quantities that the price depends on: only these need ``extend``. Who ends the work elsewhere than where
    it was admitted, such as a job, makes it anew from the ``key`` and ``subject`` of its ``Work``.
    """

    key: str
    subject: str
    grows_by: frozenset[str] = frozenset()


class WorkFailure(StrEnum):
    """Why work gave no result; a meter decides by it whether that is free.

    ``refused`` is a safety rule before the work, ``aborted`` the person's own end of it, ``invalid-input`` what only the work could find out, and
    ``lost`` is said by the meter itself, of leases that ran out.
    """

    PROVIDER = "provider"
    TIMEOUT = "timeout"
    INVALID_ANSWER = "invalid-answer"
    REFUSED = "refused"
    ABORTED = "aborted"
    INVALID_INPUT = "invalid-input"
    CRASHED = "crashed"
    LOST = "lost"


class Metering(Protocol):
    """``ctx.metering``: the same calls, whether a plugin meters or none does. All are plain functions inside a unit of work."""

    @property
    def is_on(self) -> bool:
        """Whether anything meters; while False every call here returns at once."""
        ...

    def quote(self, session: Session, work: Work, /) -> Sequence[Quote]:
        """Tell what ``work`` would cost, without holding anything; empty when it is free. Raises as ``hold``, but not for want of balance."""
        ...

    def hold(self, session: Session, work: Work, /) -> Held | None:
        """Set aside the most that ``work`` may cost, in the unit that admits it; None when it is free.

        Raises:
            PaymentRequired: there is not enough; ``facts`` say what is needed and what is there.
            RateLimited: a quota is spent; ``retry_after`` says when it comes back.
            Forbidden: the plan does not allow it.
            Conflict: the key was used before.
            Unavailable: a plugin that meters is turned on and does not run (code ``metering-off``): nothing is given away meanwhile.
            ValueError: the action is another plugin's.
        """
        ...

    def extend(self, session: Session, held: Held, quantities: Mapping[str, int], /, *, lease: float = 300.0) -> None:
        """Set aside what the new totals ``quantities`` cost beyond what is held (those not named stay), and renew the lease. Raises as ``hold``; then
        the hold is as it was, and the work must end within it. Conflict (code ``hold-closed``): it ended already.
        """
        ...

    def settle(self, session: Session, held: Held, used: Mapping[str, int], /) -> None:
        """Charge for what was really used, at most what is held; the rest is free again. A second end of the same hold changes nothing."""
        ...

    def release(self, session: Session, held: Held, failure: WorkFailure, /) -> None:
        """End the hold of work that gave no result; the meter's rules tell whether it is free. A second end changes nothing."""
        ...


@runtime_checkable
class Meter(Protocol):
    """What a plugin contributes by the hook ``meters``. Each meter sees all work; keys begin with the working plugin's id and a colon.

    The methods do what ``Metering`` says, in a unit of the plugin that works: it is confined to the rows of the one who pays, and may be run again.
    They answer None to what they do not price; ``extend``, ``settle`` and ``release`` are also called for what this meter never held, and pass.
    """

    name: str

    def quote(self, session: Session, work: Work) -> Quote | None: ...

    def hold(self, session: Session, work: Work) -> Held | None: ...

    def extend(self, session: Session, held: Held, quantities: Mapping[str, int], lease: float) -> None: ...

    def settle(self, session: Session, held: Held, used: Mapping[str, int]) -> None: ...

    def release(self, session: Session, held: Held, failure: WorkFailure) -> None: ...
