"""Paged lists, the same shape everywhere."""

from __future__ import annotations

from typing import Annotated, Generic, TypeVar

from litestar.params import QueryParameter
from msgspec import Struct

T = TypeVar("T")

MAX_PAGE = 100


class Page(Struct, Generic[T], frozen=True):
    """One page of a list; ``next_cursor`` is None on the last page and opaque otherwise."""

    items: list[T]
    next_cursor: str | None = None


page_limit = Annotated[int, QueryParameter(ge=1, le=MAX_PAGE, description="Items a page.")]
page_cursor = Annotated[str | None, QueryParameter(max_length=200, description="Where the last page ended.")]
number_cursor = Annotated[str | None, QueryParameter(pattern=r"^[0-9]{1,15}\Z", description="Where the last page ended.")]
