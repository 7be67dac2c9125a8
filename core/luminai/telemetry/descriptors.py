"""How many files, sockets and pipes this process holds open, of how many that it may."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Final

from msgspec import Struct

_OPEN: Final = Path("/proc/self/fd")
_NEARLY: Final = 0.8
MAX_KINDS: Final = 20
ENOUGH: Final = 131_072
"""Files and connections that a process asks the system for."""


class Descriptors(Struct, frozen=True, kw_only=True):
    """What is open, and the limit of the process (0: none is known).

    Attributes:
        kinds: How many of each kind, most first: ``socket``, ``pipe``, ``anon_inode``, or the folder that files are in.
    """

    open: int
    limit: int
    kinds: dict[str, int]

    @property
    def nearly_spent(self) -> bool:
        """Whether four fifths are in use: the next connections may fail."""
        return bool(self.limit) and self.open >= self.limit * _NEARLY


def open_descriptors() -> Descriptors | None:
    """Return what is open now; None where the system has no ``/proc``."""
    try:
        links = list(_OPEN.iterdir())
    except OSError:
        return None
    kinds: Counter[str] = Counter()
    for link in links:
        try:
            target = link.readlink()
        except OSError:  # the listing's own
            continue
        kinds[str(target.parent) if target.is_absolute() else str(target).partition(":")[0]] += 1
    return Descriptors(open=sum(kinds.values()), limit=_limit(), kinds=dict(kinds.most_common(MAX_KINDS)))


def _limit() -> int:
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 0 if soft == resource.RLIM_INFINITY else soft


def raise_limit() -> None:
    """Let this process open as many files and connections as it may at most: systems begin with 1024, for programs that cannot count further."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = ENOUGH if hard == resource.RLIM_INFINITY else min(hard, ENOUGH)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
