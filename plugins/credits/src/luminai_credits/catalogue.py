"""Products and prices as rows. Rows are only ever added, so what was read once by its id holds for good."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Struct, structs
from sqlalchemy import bindparam, func, insert, select
from sqlalchemy.orm import Session

from luminai import NotFound, Prepared, ProblemItem, Unprocessable
from luminai_credits.models import prices, products
from luminai_credits.products import Price, Product, moment

T = TypeVar("T")
KEPT: Final = 2000
_NEWEST: Final = Prepared(select(products.c.id).where(products.c.product == bindparam("of")).order_by(products.c.version.desc()).limit(1))
_ITS_NEWEST: Final = (
    select(products.c.id).where(products.c.product == prices.c.product).order_by(products.c.version.desc()).limit(1).scalar_subquery()
)
_PRICES: Final = Prepared(
    select(prices.c.id, prices.c.product, prices.c.model, prices.c.start, _ITS_NEWEST.label("newest"))
    .where(prices.c.action == bindparam("of"), prices.c.start <= bindparam("now"))
    .order_by(prices.c.start.desc())
)


class Priced(Struct, frozen=True):
    """A row of the price list."""

    id: str
    product: str
    start: datetime
    price: Price


class Imported(Struct, frozen=True, kw_only=True):
    """What an import did: ``version`` of the product that holds now, and how many rows of prices are new."""

    product: str
    version: int
    prices_added: int
    changed: bool


class Catalogue:
    """Reads and adds products and prices; all methods are plain functions of a session."""

    def __init__(self, new_id: Callable[[str], str]) -> None:
        self._new_id = new_id
        self._known: dict[str, Any] = {}

    def product(self, session: Session, name: str) -> Product:
        """Return a product as it stands.

        Raises:
            NotFound: there is none (code ``credits.unknown-product``).
        """
        found = _NEWEST.first(session, {"of": name})
        if found is None:
            hint = "GET /api/credits/products lists them."
            raise NotFound("There is no such product.", code="credits.unknown-product", hint=hint)
        return self._decoded(session, products, found.id, Product)

    def products(self, session: Session) -> list[Product]:
        """Return all products as they stand, by name; a hub has a handful."""
        names = session.execute(select(products.c.product).distinct().order_by(products.c.product).limit(100)).scalars().all()
        return [self.product(session, name) for name in names]

    def offer(self, session: Session, action: str, model: str, now: datetime) -> tuple[Priced, Product] | None:
        """Return the row that holds for an action (not an alias), and its product as it stands: the newest of those whose model fits, else the newest
        without one.
        """
        rows = _PRICES.rows(session, {"of": action, "now": now})
        fitting = [row for row in rows if row.model and model and fnmatchcase(model, row.model)] or [row for row in rows if not row.model]
        if not fitting:
            return None
        return self._priced(session, fitting[0]), self._decoded(session, products, fitting[0].newest, Product)

    def price_of(self, session: Session, price_id: str) -> Price:
        """Return a price by the id of its row."""
        return self._decoded(session, prices, price_id, Price)

    def named(self, session: Session, name: str) -> str:
        """Return the action that an alias stands for, the name itself where it is none."""
        for product in self.products(session):
            for price in product.prices:
                if name in price.aliases:
                    return price.action
        return name

    def price_list(self, session: Session, *, product: str, limit: int, after: str | None) -> list[Priced]:
        """Return rows of the price list, oldest import first."""
        query = select(prices.c.id, prices.c.product, prices.c.model, prices.c.start).order_by(prices.c.id).limit(limit)
        query = query.where(prices.c.product == product) if product else query
        query = query.where(prices.c.id > after) if after else query
        return [self._priced(session, row) for row in session.execute(query)]

    def add_price(self, session: Session, product: str, price: Price, now: datetime) -> Priced:
        """Add a row that holds from ``price.start`` on, at once where that is left out.

        Raises:
            NotFound: there is no such product.
            Unprocessable: another product has the action, or another row begins at the same moment (code ``credits.price-refused``).
        """
        self.product(session, product)
        dated = structs.replace(price, start=(moment(price.start) if price.start else now).isoformat())
        fresh, problems = self._fresh(session, product, [dated])
        if problems:
            raise Unprocessable(problems[0].detail, code="credits.price-refused", hint=problems[0].hint)
        self._add(session, product, fresh, now)
        found = self.price_row(session, dated)
        if found is None:
            raise LookupError("a row that was just added is not there")
        return found

    def price_row(self, session: Session, price: Price) -> Priced | None:
        """Return the row that begins when ``price`` does."""
        same = (prices.c.action == price.action) & (prices.c.model == price.model) & (prices.c.start == moment(price.start))
        row = session.execute(select(prices.c.id, prices.c.product, prices.c.model, prices.c.start).where(same)).first()
        return None if row is None else self._priced(session, row)

    def compare(self, session: Session, product: Product) -> Imported:
        """Tell what ``store`` would do; nothing is written. Raises as ``store``."""
        known = self._newest(session, product.product)
        problems = []
        if known is not None and known[1].unit != product.unit:
            detail = f"{product.product} is counted in {known[1].unit}, and people have some"
            problems.append(ProblemItem(detail=detail, pointer="/unit", hint="Take another name for the product."))
        fresh, wrong = self._fresh(session, product.product, self._dated(product))
        problems += wrong
        if problems:
            detail = f"{product.product} contradicts what is there."
            raise Unprocessable(detail, code="credits.product-refused", hint=problems[0].hint, errors=problems[:50])
        changed = known is None or known[1] != product
        version = (known[0] if known is not None else 0) + changed
        return Imported(product=product.product, version=version, prices_added=len(fresh), changed=changed)

    def store(self, session: Session, product: Product, now: datetime) -> Imported:
        """Add a product's version and its prices, or nothing where all of it is there.

        Raises:
            Unprocessable: it contradicts what is there; ``errors`` lists every point (code ``credits.product-refused``).
        """
        found = self.compare(session, product)
        if found.changed:
            values = {"id": self._new_id("prd"), "product": product.product, "version": found.version, "body": msgspec.to_builtins(product)}
            session.execute(insert(products).values(**values, imported_at=now))
        self._add(session, product.product, self._fresh(session, product.product, self._dated(product))[0], now)
        return found

    def _dated(self, product: Product) -> list[Price]:
        return [structs.replace(price, start=product.price_start(price).isoformat()) for price in product.prices]

    def _newest(self, session: Session, name: str) -> tuple[int, Product] | None:
        query = select(products.c.version, products.c.body).where(products.c.product == name).order_by(products.c.version.desc()).limit(1)
        row = session.execute(query).first()
        return None if row is None else (row.version, msgspec.convert(row.body, Product))

    def _fresh(self, session: Session, product: str, rows: Sequence[Price]) -> tuple[list[Price], list[ProblemItem]]:
        """Return the rows that are not there yet, and what contradicts those that are."""
        problems, fresh = [], []
        for price in rows:
            others = select(func.min(prices.c.product)).where(prices.c.action == price.action, prices.c.product != product)
            other, there = session.execute(others).scalar(), self.price_row(session, price)
            if other is not None:
                problems.append(ProblemItem(detail=f"{price.action} is priced by {other}", pointer="/prices", hint="Name it in one product."))
            elif there is None:
                fresh.append(price)
            elif there.price != price:
                hint = "Add another row with a later start; what was paid by this one must stay explainable."
                problems.append(ProblemItem(detail=f"{price.action} has another price from {price.start}", pointer="/prices", hint=hint))
        return fresh, problems

    def _add(self, session: Session, product: str, rows: Sequence[Price], now: datetime) -> None:
        for price in rows:
            values = {"id": self._new_id("prc"), "product": product, "action": price.action, "model": price.model, "start": moment(price.start)}
            session.execute(insert(prices).values(**values, body=msgspec.to_builtins(price), imported_at=now))

    def _priced(self, session: Session, row: Any) -> Priced:
        return Priced(row.id, row.product, row.start, self._decoded(session, prices, row.id, Price))

    def _decoded(self, session: Session, table: Any, row_id: str, kind: type[T]) -> T:
        found: T | None = self._known.get(row_id)
        if found is None:
            body = session.execute(select(table.c.body).where(table.c.id == row_id)).scalar_one()
            found = msgspec.convert(body, kind)
            if len(self._known) >= KEPT:
                self._known.clear()
            self._known[row_id] = found
        return found
