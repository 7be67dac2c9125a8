"""What a plugin's command gets: one way to the hub and one way to speak."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from msgspec import Struct


class ServerEvent(Struct, frozen=True):
    """One server-sent event: ``data`` is the decoded JSON."""

    event: str
    data: Any
    id: str = ""


class Terminal(Protocol):
    """The command's ``click`` object (``@click.pass_obj``). stdout is data, stderr is talk.

    ``request``, ``events`` and ``lines`` go to the hub at ``--url`` with the key of ``LUMINAI_API_KEY`` or ``~/.luminai/config.toml``. When no hub
    answers and ``offline`` is True, the same request runs on a hub inside this process, which is said once on stderr.
    """

    is_tty: bool

    def request(self, method: str, path: str, *, body: Any = None, query: dict[str, Any] | None = None, offline: bool = False) -> Any:
        """Return the decoded JSON answer (None for 204).

        Raises:
            HubError: the problem that the hub answered, or ``Unavailable`` (``hub-unreachable``).
        """
        ...

    def events(
        self, method: str, path: str, *, body: Any = None, query: dict[str, Any] | None = None, offline: bool = False
    ) -> Iterator[ServerEvent]:
        """Yield the events of a stream as they come. Raises as ``request``."""
        ...

    def lines(self, method: str, path: str, *, query: dict[str, Any] | None = None) -> Iterator[bytes]:
        """Yield the lines of a long answer that is text, with their ends, as they come. Raises as ``request``; Unavailable (``answer-cut``) where it
        breaks off.
        """
        ...

    def emit(self, data: Any, *, columns: Sequence[str] = ()) -> None:
        """Print the result: JSON when piped, else a table of ``columns`` for a list of dicts, or readable ``key: value`` lines."""
        ...

    def emit_line(self, data: dict[str, Any]) -> None:
        """Print one JSON line of a stream."""
        ...

    def write(self, text: str) -> None:
        """Print text for people to stdout, as it is, at once."""
        ...

    def say(self, text: str) -> None:
        """Print a remark to stderr (not with ``--quiet``)."""
        ...
