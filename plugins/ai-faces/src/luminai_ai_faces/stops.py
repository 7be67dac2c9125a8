"""Texts that end a reply."""

from __future__ import annotations

from collections.abc import Sequence


class StopScanner:
    """Lets a reply through up to the first of some texts, wherever its pieces break.

    Attributes:
        found: The text that ended the reply, "" while none did.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stops)
        self._longest = max(map(len, self._stops), default=0)
        self._held = ""
        self.found = ""

    def take(self, piece: str) -> str:
        """Return what of the text so far cannot belong to a stop any more and was not returned before."""
        if not self._stops:
            return piece
        self._held += piece
        places = [(place, -len(stop), stop) for stop in self._stops if (place := self._held.find(stop)) >= 0]
        if places:
            place, _, self.found = min(places)
            passed, self._held = self._held[:place], ""
            return passed
        keep = next((size for size in range(min(self._longest - 1, len(self._held)), 0, -1) if self._may_begin(self._held[-size:])), 0)
        passed, self._held = self._held[: len(self._held) - keep], self._held[len(self._held) - keep :]
        return passed

    def rest(self) -> str:
        """Return what was held back, once no more comes."""
        passed, self._held = self._held, ""
        return passed

    def _may_begin(self, end: str) -> bool:
        return any(stop.startswith(end) for stop in self._stops)
