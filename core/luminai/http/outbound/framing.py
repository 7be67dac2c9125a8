"""How a body that has no end is cut into what it says: server-sent events, and lines. On bytes, without decoding: that is the reader's."""

from __future__ import annotations

from typing import Final

from luminai.http.outbound.failures import too_large

_BOM: Final = b"\xef\xbb\xbf"


class Blocks:
    """Gathers pieces and gives what lies between separators; each byte is looked at once, however it is cut.

    Args:
        most: Largest block in bytes.
    """

    __slots__ = ("_most", "_rest", "_separator")

    def __init__(self, separator: bytes, most: int) -> None:
        self._separator = separator
        self._most = most
        self._rest = bytearray()

    def feed(self, piece: bytes) -> list[bytes]:
        """Return the blocks that ``piece`` completes.

        Raises:
            Upstream: one is larger than allowed (code ``outbound-too-large``).
        """
        rest, separator = self._rest, self._separator
        if rest:
            seen = max(0, len(rest) - len(separator) + 1)
            rest += piece
            if rest.find(separator, seen) < 0:
                if len(rest) > self._most:
                    raise self._refusal()
                return []
            piece = bytes(rest)
            rest.clear()
        *blocks, last = piece.split(separator)
        if last:
            rest += last
        if len(piece) > self._most and max(map(len, (*blocks, last))) > self._most:
            raise self._refusal()
        return blocks

    def _refusal(self) -> Exception:
        return too_large(f"The service sends more than {self._most} bytes as one event or line.")


class Events:
    """Splits server-sent events (WHATWG HTML, 9.2.6) and gives the data of each."""

    __slots__ = ("_after_return", "_blocks", "_is_first")

    def __init__(self, most: int) -> None:
        self._blocks = Blocks(b"\n\n", most)
        self._after_return = False
        self._is_first = True

    def feed(self, piece: bytes) -> list[bytes]:
        """Return the data of the events that ``piece`` completes; events without data are left out."""
        if self._after_return and piece.startswith(b"\n"):
            piece = piece[1:]
            self._after_return = False
        if b"\r" in piece:
            self._after_return = piece.endswith(b"\r")
            piece = piece.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        elif piece:
            self._after_return = False
        found = []
        for block in self._blocks.feed(piece):
            if self._is_first:
                self._is_first = False
                block = block.removeprefix(_BOM)  # noqa: PLW2901 - only the first may have one
            if block.startswith(b"data: ") and b"\n" not in block:  # nearly all of them
                found.append(block[6:])
            else:
                data = [line[5:].removeprefix(b" ") for line in block.split(b"\n") if line.startswith(b"data:")]
                if data:
                    found.append(b"\n".join(data))
        return found


class Lines:
    """Splits lines, which end with LF or CRLF; empty ones are left out."""

    __slots__ = ("_blocks",)

    def __init__(self, most: int) -> None:
        self._blocks = Blocks(b"\n", most)

    def feed(self, piece: bytes) -> list[bytes]:
        """Return the lines that ``piece`` completes."""
        return [line for block in self._blocks.feed(piece) if (line := block.strip())]
