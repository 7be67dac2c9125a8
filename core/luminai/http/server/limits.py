"""Bounds of a request's bytes: those of OWASP ASVS 5.0 level 2. Bounds of time and number are settings (``[connections]``)."""

from typing import Final

MAX_HEAD: Final = 16 * 1024
MAX_LINE: Final = 8 * 1024
MAX_HEADERS: Final = 64
BODY_GRACE_SECONDS: Final = 10.0
BODY_RATE: Final = 1024
"""Bytes a second that a body must bring on the whole after its first seconds."""
MAX_HELD: Final = 32 * 1024 * 1024
"""Bytes of bodies that are still coming, or not yet answered, over all connections of a server; what comes in one packet does not count."""
CHUNK_COST: Final = 8
"""Bytes on the wire that a byte of a body may cost: a chunk of one byte costs six. Extensions and trailers are what else could come without end."""
LARGE_BODY: Final = 1024 * 1024
