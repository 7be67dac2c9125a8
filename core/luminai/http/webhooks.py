"""The request side of webhooks: the raw body within its bound, headers that stand once, and the plugin's ``verify`` kept from doing harm."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final

from luminai.contracts.errors import HubError, InvalidInput, ProblemItem, TooLarge, Unavailable
from luminai.contracts.runtime import Verified, Webhook
from luminai.http.problems import UnsupportedMediaType

_log = logging.getLogger("luminai.webhooks")
MAX_BYTES: Final = 25 * 1024 * 1024
"""No webhook may ask for a larger body (GitHub sends none that is larger)."""
IN_THREAD_BYTES: Final = 64 * 1024
"""Larger bodies are verified and decoded in a thread, so that the event loop does not stall."""
_NAME: Final = re.compile(r"^([a-z][a-z0-9]*(-[a-z0-9]+)*)?\Z")


class SingleHeaders(Mapping[str, str]):
    """Request headers by lower-case name. One that came twice is refused when it is read: two readers could pick different ones."""

    def __init__(self, raw: Iterable[tuple[bytes, bytes]]) -> None:
        self._values: dict[str, list[str]] = {}
        for name, value in raw:
            self._values.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1").strip())

    def __getitem__(self, name: str) -> str:
        values = self._values[name.lower()]
        if len(values) > 1:
            raise InvalidInput(f"The header {name} came {len(values)} times.", code="duplicate-header", hint="Send it once.")
        return values[0]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


def check_webhooks(webhooks: Sequence[Webhook]) -> list[ProblemItem]:
    """Return what is wrong with a plugin's declarations: names, bounds, the same name twice."""
    problems: list[ProblemItem] = []
    names = [one.name for one in webhooks]
    for one in webhooks:
        where = f"webhook {one.name!r}"
        if not _NAME.match(one.name) or len(one.name) > 40:
            problems.append(ProblemItem(detail=f"{where} has no plain name", pointer="webhooks", hint="Lower-case words with dashes, or none."))
        if not 1 <= one.max_bytes <= MAX_BYTES:
            problems.append(ProblemItem(detail=f"{where} takes {one.max_bytes} bytes", pointer="webhooks", hint=f"1 to {MAX_BYTES}."))
        if not 0 < one.timeout <= 600:
            problems.append(ProblemItem(detail=f"{where} has a timeout of {one.timeout} s", pointer="webhooks", hint="Up to 600 s."))
    twice = sorted({name for name in names if names.count(name) > 1})
    return problems + [ProblemItem(detail=f"webhook {name!r} is given twice", pointer="webhooks", hint="Rename one.") for name in twice]


async def read_body(headers: Mapping[str, str], chunks: AsyncIterator[bytes], most: int) -> bytes:
    """Return the raw body.

    Raises:
        UnsupportedMediaType: it is compressed; signatures are made over what is sent, and a bomb is not unpacked (code
            ``content-encoding-refused``).
        TooLarge: it has more than ``most`` bytes; no more than that is read (code ``body-too-large``).
        InvalidInput: it is empty (code ``empty-body``).
    """
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise UnsupportedMediaType("A webhook's body must not be compressed.", code="content-encoding-refused", hint="Send it as it is.")
    declared = headers.get("content-length", "0")
    if declared.isdecimal() and int(declared[:20]) > most:
        raise _too_large(most)
    body = bytearray()
    async for chunk in chunks:
        body += chunk
        if len(body) > most:
            raise _too_large(most)
    if not body:
        raise InvalidInput("The body is empty.", code="empty-body", hint="Send the event.")
    return bytes(body)


async def verified(plugin: str, webhook: Webhook, body: bytes, headers: Mapping[str, str], now: datetime) -> Verified:
    """Return what the plugin's ``verify`` found.

    Raises:
        HubError: the plugin's refusal; or ``Unavailable`` (code ``webhook-broken``) when its code failed: the sender should try again.
    """
    try:
        if len(body) > IN_THREAD_BYTES:
            found = await asyncio.to_thread(webhook.verify, body, headers, now)
        else:
            found = webhook.verify(body, headers, now)
        _check(found, webhook)
    except HubError as refused:
        if refused.status != 500:
            raise
        raise _broken(plugin, webhook, refused) from refused
    except Exception as error:
        raise _broken(plugin, webhook, error) from error
    return found


def _check(found: Verified, webhook: Webhook) -> None:
    """Hold ``verify`` to its contract."""
    if not isinstance(found, Verified):
        raise TypeError(f"verify returned {type(found).__name__}, expected Verified")
    if not (1 <= len(found.id) <= 200 and found.id.isascii() and found.id.isprintable()):
        raise InvalidInput("The delivery id must have 1 to 200 printable ASCII characters.", code="bad-delivery-id")
    if found.event is not None and not isinstance(found.event, webhook.event):
        raise TypeError(f"verify returned an event of type {type(found.event).__name__}, expected {webhook.event.__name__}")


def _broken(plugin: str, webhook: Webhook, error: Exception) -> Unavailable:
    _log.error("webhook.verify.crashed", exc_info=error, extra={"plugin": plugin, "webhook": webhook.name})
    detail = "The plugin's code failed on this delivery; nothing was taken in."
    return Unavailable(detail, code="webhook-broken", hint="The log of the hub says why.", retry_after=60, plugin=plugin)


def _too_large(most: int) -> TooLarge:
    return TooLarge(f"The body is larger than the {most} bytes that this webhook takes.", code="body-too-large")
