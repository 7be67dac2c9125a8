"""HTTP to a hub with nothing but the standard library, so that commands start quickly."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from luminai.contracts import errors
from luminai.contracts.errors import HubError, Problem, Unavailable
from luminai.contracts.terminal import ServerEvent

_KINDS = {
    kind.status: kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, HubError) and kind not in (HubError, errors.ConfigRejected)
}
MAX_BODY = 32 * 1024 * 1024


class HubClient:
    """Requests to the hub at ``url`` with ``key``."""

    def __init__(self, url: str, key: str, *, seconds: float) -> None:
        self.url = url.rstrip("/")
        self._key = key
        self._seconds = seconds

    def request(
        self, method: str, path: str, *, body: Any = None, query: dict[str, Any] | None = None, headers: Mapping[str, str] | None = None
    ) -> Any:
        """Return the decoded answer, None for an empty one.

        Raises:
            Unavailable: no hub answers there (code ``hub-unreachable``).
            HubError: the hub's own problem.
        """
        with self._send(method, path, body, query, {"Accept": "application/json", **(headers or {})}) as response:
            raw = response.read(MAX_BODY)
        if response.status >= 400:
            raise problem_error(response.status, raw)
        return msgspec.json.decode(raw) if raw else None

    def events(self, method: str, path: str, *, body: Any = None, query: dict[str, Any] | None = None) -> Iterator[ServerEvent]:
        """Yield server-sent events as they come. Raises as ``request``."""
        with self._send(method, path, body, query, {"Accept": "text/event-stream"}) as response:
            if response.status >= 400:
                raise problem_error(response.status, response.read(MAX_BODY))
            yield from parse_events(iter(lambda: response.read1(65536), b""))

    def lines(self, method: str, path: str, *, query: dict[str, Any] | None = None) -> Iterator[bytes]:
        """Yield the lines of a long answer as they come; one that breaks off is an error. Raises as ``request``."""
        with self._send(method, path, None, query, {"Accept": "application/x-ndjson, text/plain"}) as response:
            if response.status >= 400:
                raise problem_error(response.status, response.read(MAX_BODY))
            try:
                yield from response
            except (OSError, HTTPException) as error:
                raise Unavailable("The hub's answer broke off.", code="answer-cut", hint="Try again.") from error

    def _send(self, method: str, path: str, body: Any, query: dict[str, Any] | None, more: Mapping[str, str]) -> HTTPResponse:
        parts = urlsplit(self.url)
        kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        headers = {"User-Agent": "luminai-cli", "Connection": "close", **more}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        raw = None
        if body is not None:
            raw, headers["Content-Type"] = msgspec.json.encode(body), "application/json"
        target = parts.path + quote(path) + (f"?{urlencode(query)}" if query else "")
        try:
            connection = kind(parts.netloc, timeout=self._seconds)
            connection.request(method, target, body=raw, headers=headers)
            return connection.getresponse()
        except (OSError, HTTPException, ValueError) as error:
            hint = "Start one with `luminai serve`, or name another with --url."
            raise Unavailable(f"No hub answers at {self.url}.", code="hub-unreachable", hint=hint) from error


def problem_error(status: int, raw: bytes) -> HubError:
    """Return the hub's problem as the error that it was."""
    try:
        problem = msgspec.json.decode(raw, type=Problem)
    except msgspec.MsgspecError:
        problem = Problem(title="", status=status, code="bad-answer", detail=f"The hub answered {status} and nothing readable.")
    kind = _KINDS.get(problem.status, HubError)
    retry = None if isinstance(problem.retry_after, msgspec.UnsetType) else problem.retry_after
    return kind(
        problem.detail or problem.title,
        code=problem.code,
        hint=problem.hint,
        errors=problem.errors,
        facts=problem.facts,
        plugin=problem.plugin,
        state=problem.state,
        phase=problem.phase,
        retry_after=retry,
    )


def parse_events(chunks: Iterable[bytes]) -> Iterator[ServerEvent]:
    """Yield the events of a stream, wherever its chunks are cut; comments are skipped."""
    pending = b""
    for chunk in chunks:
        pending += chunk
        *blocks, pending = pending.replace(b"\r\n", b"\n").split(b"\n\n")
        for block in blocks:
            event = _parse(block)
            if event is not None:
                yield event


def _parse(block: bytes) -> ServerEvent | None:
    fields: dict[str, list[str]] = {}
    for line in block.decode().split("\n"):
        name, _, value = line.partition(":")
        if name:
            fields.setdefault(name, []).append(value.removeprefix(" "))
    if "data" not in fields:
        return None
    return ServerEvent(fields.get("event", ["message"])[0], msgspec.json.decode("\n".join(fields["data"])), fields.get("id", [""])[0])
