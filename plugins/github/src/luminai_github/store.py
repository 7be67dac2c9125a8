"""The table of deliveries."""

from __future__ import annotations

import msgspec
from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from luminai import Delivery
from luminai_github.models import deliveries
from luminai_github.schemas import DeliveryView, Happening


def keep(session: Session, row_id: str, delivery: Delivery, happening: Happening) -> bool:
    """Keep a delivery; return False when it is there already (the hub forgets settled deliveries after 30 days, this table does not)."""
    if session.execute(select(deliveries.c.id).where(deliveries.c.delivery_id == delivery.id)).first() is not None:
        return False
    row = {"id": row_id, "delivery_id": delivery.id, "event": happening.event, "repository": happening.repository}
    session.execute(insert(deliveries).values(**row, happening=msgspec.to_builtins(happening), received_at=delivery.received_at))
    return True


def known(session: Session, guids: list[str]) -> set[str]:
    """Return those of GitHub's delivery ids that are kept here."""
    found: set[str] = set()
    for start in range(0, len(guids), 500):
        query = select(deliveries.c.delivery_id).where(deliveries.c.delivery_id.in_(guids[start : start + 500]))
        found.update(session.execute(query).scalars())
    return found


def page(session: Session, *, repository: str, limit: int, before: str | None) -> list[DeliveryView]:
    """Return deliveries, newest first; an empty ``repository`` stands for all."""
    query = select(deliveries).order_by(deliveries.c.id.desc()).limit(limit)
    query = query.where(deliveries.c.repository == repository) if repository else query
    query = query.where(deliveries.c.id < before) if before else query
    return [
        DeliveryView(id=row.id, delivery_id=row.delivery_id, received_at=row.received_at, happening=msgspec.convert(row.happening, Happening))
        for row in session.execute(query)
    ]
