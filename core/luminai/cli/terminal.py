"""The terminal that commands get: one way to the hub, one way to speak."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from luminai.cli.client import HubClient, parse_events, problem_error
from luminai.cli.output import lines_of, pick, table, to_json
from luminai.cli.profile import Profile, read_profile
from luminai.contracts.errors import Unavailable
from luminai.contracts.terminal import ServerEvent

if TYPE_CHECKING:
    from luminai.config.layers import Configuration
    from luminai.host.local import LocalHub


class Options(Struct, frozen=True, kw_only=True):
    """The global options."""

    config: str | None = None
    url: str | None = None
    output: str = "auto"
    pretty: bool = False
    fields: tuple[str, ...] = ()
    quiet: bool = False
    verbose: bool = False
    no_color: bool = False
    timeout: float = 60.0
    yes: bool = False


class HubTerminal:
    """Implements ``Terminal``."""

    def __init__(self, options: Options, stack: ExitStack) -> None:
        self.options = options
        self.is_tty = sys.stdout.isatty() if options.output == "auto" else options.output == "table"
        self._stack = stack
        self._local: LocalHub | None = None
        self._profile: Profile | None = None

    @property
    def profile(self) -> Profile:
        """Which hub, with which key."""
        if self._profile is None:
            self._profile = read_profile(self.options.url)
        return self._profile

    @property
    def client(self) -> HubClient:
        """Requests to the hub."""
        return HubClient(self.profile.url, self.profile.key, seconds=self.options.timeout)

    def configuration(self) -> Configuration:
        """Return the effective configuration of this machine's hub."""
        from luminai.config.layers import load

        path = self.options.config or os.environ.get("LUMINAI_CONFIG")
        return load(Path(path) if path else None, os.environ)

    def request(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        query: dict[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        offline: bool = False,
    ) -> Any:
        """Return the decoded answer of the hub, or of one in this process."""
        if self._local is None:
            try:
                return self.client.request(method, path, body=body, query=query, headers=headers)
            except Unavailable as error:
                if not offline or error.code != "hub-unreachable" or self._is_named():
                    raise
        status, raw = self._fall_back().request(method, path, body=body, query=query)
        if status >= 400:
            raise problem_error(status, raw)
        return msgspec.json.decode(raw) if raw else None

    def events(
        self, method: str, path: str, *, body: Any = None, query: dict[str, Any] | None = None, offline: bool = False
    ) -> Iterator[ServerEvent]:
        """Yield a stream's events; a problem event is raised."""
        if self._local is None:
            try:
                yield from _raise_problems(self.client.events(method, path, body=body, query=query))
            except Unavailable as error:
                if not offline or error.code != "hub-unreachable" or self._is_named():
                    raise
            else:
                return
        yield from _raise_problems(parse_events(_good(self._fall_back().events(method, path, body=body, query=query))))

    def lines(self, method: str, path: str, *, query: dict[str, Any] | None = None) -> Iterator[bytes]:
        """Yield the lines of a long answer as they come."""
        yield from self.client.lines(method, path, query=query)

    def emit(self, data: Any, *, columns: Sequence[str] = ()) -> None:
        """Print the result."""
        options = self.options
        if options.fields:
            data = pick(data, options.fields)
        if options.output == "jsonl" and isinstance(data, list):
            self.write("".join(to_json(item, pretty=False) + "\n" for item in data))
        elif options.output in ("json", "jsonl") or not self.is_tty:
            self.write(to_json(data, pretty=options.pretty) + "\n")
        elif isinstance(data, list):
            self.write((table(data, options.fields or columns) if data else "Nothing.") + "\n")
        else:
            self.write((lines_of(data) if isinstance(data, dict) else str(data)) + "\n")

    def emit_line(self, data: dict[str, Any]) -> None:
        """Print one line of JSON."""
        self.write(to_json(data, pretty=False) + "\n")

    def write(self, text: str) -> None:
        """Print text to stdout at once."""
        sys.stdout.write(text)
        sys.stdout.flush()

    def say(self, text: str) -> None:
        """Print a remark to stderr."""
        if not self.options.quiet:
            print(text, file=sys.stderr)

    def _is_named(self) -> bool:
        """A hub that was asked for by name is not silently replaced."""
        return bool(self.options.url or os.environ.get("LUMINAI_URL"))

    def _fall_back(self) -> LocalHub:
        if self._local is None:
            from luminai.host.local import LocalHub

            self._local = self._stack.enter_context(LocalHub(self.configuration()))
            where = "with a temporary data folder" if self._local.is_temporary else "in this process"
            self.say(f"No hub at {self.profile.url}; answering {where}.")
        return self._local


def _good(chunks: Iterator[tuple[int, bytes]]) -> Iterator[bytes]:
    for status, chunk in chunks:
        if status >= 400:
            raise problem_error(status, chunk)
        yield chunk


def _raise_problems(events: Iterator[ServerEvent]) -> Iterator[ServerEvent]:
    for event in events:
        if event.event == "problem":
            raise problem_error(int(event.data.get("status", 500)), msgspec.json.encode(event.data))
        yield event
