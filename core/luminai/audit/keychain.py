"""The keys that a log had: one is trusted, the others follow from the notes in which a key hands over to the next."""

from __future__ import annotations

from collections.abc import Iterable

from luminai.audit.checkpoint import Checkpoint, check_verifier, named_succession, open_note
from luminai.contracts.errors import InvalidInput


class KeyChain:
    """Walks from a trusted public key to those before and behind it.

    A handing over counts when both keys signed it, and ends the old key: what that one signs for a larger log does not hold, so a key that was
    taken after it was rotated is of no use.

    Args:
        verifier: The public key that is trusted.
        notes: Notes among which successions are looked for.

    Raises:
        InvalidInput: ``verifier`` is no public key (code ``bad-audit-key``).
    """

    def __init__(self, verifier: str, notes: Iterable[str] = ()) -> None:
        self._keys = [verifier.strip()]
        self._ended: dict[str, tuple[int, str]] = {}
        check_verifier(verifier)
        self.learn(notes)

    def learn(self, notes: Iterable[str]) -> None:
        """Take in successions that the notes tell of.

        Raises:
            InvalidInput: one key handed over to two others (code ``bad-checkpoint``).
        """
        waiting = {note: pair for note in notes if (pair := named_succession(note))}
        while found := [note for note, pair in waiting.items() if not set(pair).isdisjoint(self._keys)]:
            for note in found:
                old, new = waiting.pop(note)
                try:
                    size = open_note(note, old).size
                    open_note(note, new)
                except InvalidInput:
                    continue
                if self._ended.setdefault(old, (size, new)) != (size, new):
                    raise InvalidInput("A checkpoint does not hold: one key was handed over twice.", code="bad-checkpoint")
                self._keys += [one for one in (old, new) if one not in self._keys]

    def successor(self, verifier: str) -> str:
        """Return the public key that a key was handed over to, "" while it is in use."""
        return self._ended.get(verifier, (0, ""))[1]

    def open(self, note: str) -> Checkpoint:
        """Return the checkpoint of a note that one of the keys signed while it was the log's.

        Raises:
            InvalidInput: none did (code ``bad-checkpoint``).
        """
        refused = InvalidInput("A checkpoint does not hold.", code="bad-checkpoint")
        for verifier in self._keys:
            try:
                found = open_note(note, verifier)
            except InvalidInput as error:
                refused = error
                continue
            if found.succession is not None and self._ended.get(found.succession[0]) != (found.size, found.succession[1]):
                refused = InvalidInput("A checkpoint does not hold: not both keys signed the handing over.", code="bad-checkpoint")
            elif verifier in self._ended and found.size > self._ended[verifier][0]:
                refused = InvalidInput("A checkpoint does not hold: its key was retired before.", code="bad-checkpoint")
            else:
                return found
        raise refused
