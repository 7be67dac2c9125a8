"""The table of dated prices: what a call costs at its moment, and how new prices come in.

Rows are only ever added, and for a model that has prices only from now on: what a call of the past cost does not change.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from msgspec import Struct
from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from luminai import Clock, ProblemItem, Unprocessable, Usage
from luminai_ai_gateway.price_schemas import ModelPrices, PriceAsk, PriceChange, PriceImport
from luminai_ai_gateway.price_table import prices
from luminai_ai_gateway.pricing import Cost, Rate, cost, dearest, quantities_of

KEPT_SECONDS: Final = 30.0
"""For so long another process of the hub may go on with the prices from before an import."""
ODD: Final = 1000
SHOWN: Final = 500
ALWAYS: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Key(NamedTuple):
    """What has one price at a time."""

    model: str
    unit: str
    above: int


class Dated(NamedTuple):
    """A price from ``start`` on."""

    start: datetime
    micro: int
    id: str


class Shelf:
    """All prices of one provider, as they were read at ``read_at``."""

    def __init__(self, rows: Iterable[Any], read_at: float) -> None:
        self.read_at = read_at
        self._rows: dict[Key, list[Dated]] = {}
        for row in rows:
            self._rows.setdefault(Key(row.model, row.unit, row.above), []).append(Dated(row.start, row.micro, row.id))
        self._starts = sorted({one.start for dated in self._rows.values() for one in dated})
        self._in_force: dict[int, Mapping[str, tuple[Rate, ...]]] = {}
        self._dearest: dict[int, tuple[Rate, ...]] = {}

    def timeline(self, key: Key) -> list[Dated]:
        """Return all prices of one thing, oldest first."""
        return list(self._rows.get(key, ()))

    def sizes(self, model: str, unit: str) -> list[int]:
        """Return the sizes of calls above which a model's unit has another price."""
        return [key.above for key in self._rows if key.model == model and key.unit == unit and key.above]

    def in_force(self, at: datetime) -> Mapping[str, tuple[Rate, ...]]:
        """Return the rates of each model at a moment; kept for each span in which nothing changes."""
        span = bisect_right(self._starts, at)
        if span not in self._in_force:
            found: dict[str, list[Rate]] = {}
            for key, dated in self._rows.items():
                if (one := _at(dated, at)) is not None:
                    found.setdefault(key.model, []).append(Rate(unit=key.unit, micro=one.micro, above=key.above, id=one.id))
            self._in_force[span] = {model: tuple(rates) for model, rates in found.items()}
            self._dearest[span] = dearest(self._in_force[span].values())
        return self._in_force[span]

    def dearest(self, at: datetime) -> tuple[Rate, ...]:
        """Return the dearest rate of each unit at a moment."""
        self.in_force(at)
        return self._dearest[bisect_right(self._starts, at)]


class Costed(Struct, frozen=True):
    """A model and what it would have cost."""

    model: str
    cost: Cost


class Prices:
    """Reads and adds prices; methods that take a session are plain functions of it."""

    def __init__(self, new_id: Callable[[str], str], clock: Clock) -> None:
        self._new_id = new_id
        self._clock = clock
        self._shelves: dict[str, Shelf] = {}

    def cost(self, session: Session, model: str, usage: Usage | Mapping[str, int], at: datetime) -> Cost:
        """Return what ``usage`` of ``<provider>/<model>`` cost at a moment.

        A unit for which the model has no price counts at the dearest known price of its provider, and the cost says so; where that is not known
        either, the cost is None.
        """
        provider, _, name = model.partition("/")
        shelf = self._shelf(session, provider)
        quantities = quantities_of(usage) if isinstance(usage, Usage) else usage
        return cost(shelf.in_force(at).get(name, ()), quantities, shelf.dearest(at))

    def elsewhere(self, session: Session, models: Iterable[str], quantities: Mapping[str, int], at: datetime) -> list[Costed]:
        """Return what the same would have cost by the own prices of other models, cheapest first."""
        found = [Costed(model, self.cost(session, model, quantities, at)) for model in dict.fromkeys(models)]
        return sorted((one for one in found if one.cost.basis == "priced"), key=lambda one: (one.cost.micro or 0, one.model))

    def rates(self, session: Session, model: str, at: datetime) -> tuple[Rate, ...]:
        """Return a model's own prices in force at a moment."""
        provider, _, name = model.partition("/")
        return self._shelf(session, provider).in_force(at).get(name, ())

    def of_provider(self, session: Session, provider: str, at: datetime) -> Mapping[str, tuple[Rate, ...]]:
        """Return the prices in force at a moment by model."""
        return self._shelf(session, provider).in_force(at)

    def forget(self) -> None:
        """Read anew what is asked next: called after an import is committed."""
        self._shelves.clear()

    def compare(self, session: Session, ask: PriceAsk, now: datetime) -> PriceImport:
        """Tell what ``store`` would do. Raises as it does."""
        return _report(self._changes(session, ask, now), stored=False)

    def store(self, session: Session, ask: PriceAsk, now: datetime) -> PriceImport:
        """Add the rows that change something, all or none.

        Raises:
            Unprocessable: ``start`` is in the past (code ``ai-gateway.price-past``); another price begins at the same moment, or one comes twice
                (``ai-gateway.price-refused``; ``errors`` lists each).
        """
        changes = self._changes(session, ask, now)
        rows = []
        for change in changes.rows:
            provider, _, model = change.model.partition("/")
            price = {"unit": change.unit, "above": change.above, "start": change.start, "micro": change.micro}
            rows.append({"id": self._new_id("prc"), "provider": provider, "model": model, "source": ask.source, "imported_at": now, **price})
        if rows:
            session.execute(insert(prices), rows)
        return _report(changes, stored=True)

    def _changes(self, session: Session, ask: PriceAsk, now: datetime) -> _Changes:
        """Return the rows to add.

        What has no price yet gets all that is told, its history included. What has one gets what holds from ``start`` on, and what begins later.
        """
        start = ask.start or now
        if start < now:
            hint = "Leave the start out to have the prices hold from now on."
            raise Unprocessable("Prices cannot begin in the past: calls were paid by others.", code="ai-gateway.price-past", hint=hint)
        found = _Changes()
        shelves: dict[str, Shelf] = {}
        timelines: dict[tuple[str, Key], list[Dated]] = {}
        for one in ask.models:
            if one.provider not in shelves:
                shelves[one.provider] = self._read(session, one.provider)
            wanted = _by_key(one)
            for key in [key for key in wanted if not key.above]:  # a price for long calls that is no longer told has ended: the plain one takes over
                for above in shelves[one.provider].sizes(key.model, key.unit):
                    wanted.setdefault(key._replace(above=above), wanted[key])
            for key, dated in wanted.items():
                timeline = timelines.setdefault((one.provider, key), shelves[one.provider].timeline(key))
                for moment, micro in _effective(dated, start, keep_history=not timeline):
                    found.take(timeline, f"{one.provider}/{one.model}", key, Dated(moment, micro, ""))
        if found.problems:
            hint = "Choose another start; a row that is there is never changed."
            detail = f"{len(found.problems)} prices contradict each other or what is there."
            raise Unprocessable(detail, code="ai-gateway.price-refused", hint=hint, errors=found.problems[:50])
        return found

    def _shelf(self, session: Session, provider: str) -> Shelf:
        shelf = self._shelves.get(provider)
        if shelf is None or self._clock.monotonic() - shelf.read_at > KEPT_SECONDS:
            shelf = self._shelves[provider] = self._read(session, provider)
        return shelf

    def _read(self, session: Session, provider: str) -> Shelf:
        columns = prices.c.model, prices.c.unit, prices.c.above, prices.c.start, prices.c.micro, prices.c.id
        rows = session.execute(select(*columns).where(prices.c.provider == provider).order_by(prices.c.start))
        return Shelf(rows, self._clock.monotonic())


class _Changes:
    """What an import comes to."""

    def __init__(self) -> None:
        self.rows: list[PriceChange] = []
        self.unchanged = 0
        self.problems: list[ProblemItem] = []

    def take(self, timeline: list[Dated], model: str, key: Key, new: Dated) -> None:
        """Put a price where it belongs in the time of what it prices, if it changes anything there."""
        before = _at(timeline, new.start)
        if before is not None and before.micro == new.micro:
            self.unchanged += 1
        elif before is not None and before.start == new.start:
            detail = f"{key.unit} of {model} has another price from {new.start:%Y-%m-%dT%H:%M:%SZ}"
            self.problems.append(ProblemItem(detail=detail, pointer="/models"))
        else:
            was = None if before is None else before.micro
            insort(timeline, new)
            odd = is_odd(new.micro, was)
            self.rows.append(PriceChange(model=model, unit=key.unit, above=key.above, start=new.start, micro=new.micro, was=was, odd=odd))


def is_odd(micro: int, other: int | None) -> bool:
    """Tell whether two prices are so far apart that one was probably meant for another number of units."""
    return other is not None and micro > 0 and other > 0 and max(micro, other) >= ODD * min(micro, other)


def _at(timeline: Sequence[Dated], at: datetime) -> Dated | None:
    """Return the price in force at a moment."""
    place = bisect_right(timeline, at, key=lambda one: one.start)
    return timeline[place - 1] if place else None


def _by_key(one: ModelPrices) -> dict[Key, list[tuple[datetime | None, int]]]:
    found: dict[Key, list[tuple[datetime | None, int]]] = {}
    for price in one.prices:
        found.setdefault(Key(one.model, price.unit, price.above), []).append((price.start, price.micro))
    return found


def _effective(dated: list[tuple[datetime | None, int]], start: datetime, *, keep_history: bool) -> list[tuple[datetime, int]]:
    """Return the moments from which prices hold: an undated one from ``start`` on, or always where dated ones of the same list followed it.

    Without history, what began by ``start`` begins then.
    """
    known = sorted((moment, micro) for moment, micro in dated if moment is not None)
    first = ALWAYS if known and known[0][0] <= start else start
    timeline = sorted([*((first, micro) for moment, micro in dated if moment is None), *known])
    if keep_history:
        return timeline
    past = [micro for moment, micro in timeline if moment <= start]
    return [*((start, micro) for micro in past[-1:]), *((moment, micro) for moment, micro in timeline if moment > start)]


def _report(changes: _Changes, *, stored: bool) -> PriceImport:
    changed = [row for row in changes.rows if row.was is not None]
    added = [row for row in changes.rows if row.was is None]
    odd = sum(row.odd for row in changes.rows)
    shown = sorted(changed, key=lambda row: not row.odd) + added
    counts = {"added": len(added), "changed": len(changed), "unchanged": changes.unchanged, "odd": odd}
    return PriceImport(**counts, is_stored=stored, changes=shown[:SHOWN])
