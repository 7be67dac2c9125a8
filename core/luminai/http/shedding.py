"""Refuse early what cannot be served in time: a short no is worth more than a late answer, and operators always get in."""

from __future__ import annotations

from typing import Final

from luminai.contracts.errors import HubError, Unavailable
from luminai.http.client_address import network_of
from luminai.http.requests import RequestState

LANE: Final = ("/api/status", "/api/health", "/health", "/api/admin", "/metrics")
"""Always let in: whoever must see what is wrong, and repair it."""
RETRY_SECONDS: Final = 1.0


class LaneOnly:
    """In a process that only works in the background: health, metrics and what operators look at, nothing else."""

    def refusal(self, state: RequestState) -> HubError | None:
        """Return why a request is not taken up, None when it is."""
        if state.path.startswith(LANE):
            return None
        return Unavailable("This process works in the background.", code="worker-only", hint="Ask one that serves requests: its role is web.")

    def enter(self, state: RequestState) -> None:
        """Take a request up."""

    def leave(self, state: RequestState) -> None:
        """It ended."""


class Shedding:
    """Knows the requests that are worked on; open streams do not count. While places are scarce, one client gets at most half of them.

    Args:
        places: Requests at once.
    """

    def __init__(self, places: int) -> None:
        self._places = places
        self._busy: set[RequestState] = set()
        self.enter = self._busy.add
        self.leave = self._busy.discard

    def refusal(self, state: RequestState) -> HubError | None:
        """Return why a request is not taken up now, None when it is."""
        busy = len(self._busy)
        if busy * 2 < self._places or state.path.startswith(LANE):
            return None
        if busy >= self._places:
            return Unavailable("The hub has too much to do.", code="overloaded", hint="Try again in a moment.", retry_after=RETRY_SECONDS)
        client = network_of(state.client)
        if sum(network_of(one.client) == client for one in self._busy) * 2 >= self._places:
            return Unavailable("You have too many requests open.", code="too-many-at-once", hint="Wait for their answers.", retry_after=RETRY_SECONDS)
        return None
