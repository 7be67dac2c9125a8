"""Passwords: argon2id in a few threads, and which ones are refused.

Parameters are the floor of OWASP ASVS 5.0 (11.4.2): 19 MiB, two passes, one lane, about 20 ms each. The library's own default would let four sign-ins
a second fill the machine.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Callable, Iterable
from functools import cache
from typing import TYPE_CHECKING, Final, TypeVar

from luminai.contracts.errors import Unavailable, Unprocessable

if TYPE_CHECKING:
    from argon2 import PasswordHasher

T = TypeVar("T")
MIN_ALONE: Final = 15
"""Characters of a password that stands alone (ASVS 5.0, 6.2.9; NIST SP 800-63B-4, 3.1.1.2)."""
MIN_WITH_SECOND_FACTOR: Final = 8
MAX_LENGTH: Final = 128
WAITING: Final = 32
MEMORY_KIB: Final = 19_456
_PRODUCT: Final = ("luminai", "lumin", "hub")
_MIN_REST: Final = 8


class Passwords:
    """Hashes and verifies, at most one a core at a time; ``WAITING`` more may queue."""

    def __init__(self) -> None:
        self._cores = os.cpu_count() or 1
        self._free = asyncio.Semaphore(self._cores)
        self._inside = 0

    async def hash(self, password: str) -> str:
        """Return the encoded hash with its own salt.

        Raises:
            Unavailable: too many wait already (code ``sign-in-busy``).
        """
        return await self._in_thread(lambda: _hasher().hash(password))

    async def verify(self, stored: str | None, password: str) -> bool:
        """Tell whether the password is the stored one. Without a stored hash (nobody of that name, no password yet) it is False after as much work.

        Raises:
            Unavailable: as for ``hash``.
        """
        return await self._in_thread(lambda: _matches(stored or _nobody(), password) and stored is not None)

    async def check_new(self, password: str, *, minimum: int, words: Iterable[str]) -> None:
        """Refuse a password that is too short or that many people use.

        Args:
            minimum: ``MIN_ALONE`` or ``MIN_WITH_SECOND_FACTOR``.
            words: What belongs to the person: address, name.

        Raises:
            Unprocessable: code ``weak-password``.
        """
        if not minimum <= len(password) <= MAX_LENGTH:
            hint = "A second factor allows 8." if minimum == MIN_ALONE else ""
            raise Unprocessable(f"A password has {minimum} to {MAX_LENGTH} characters.", code="weak-password", hint=hint)
        if reason := await asyncio.to_thread(why_weak, password, [*_PRODUCT, *words]):
            raise Unprocessable(reason, code="weak-password", hint="Take a few unrelated words, or let a password manager make one.")

    async def _in_thread(self, work: Callable[[], T]) -> T:
        if self._inside >= self._cores + WAITING:
            raise Unavailable("Too many people sign in at this moment.", code="sign-in-busy", hint="Try again in a moment.", retry_after=1)
        self._inside += 1
        try:
            async with self._free:
                return await asyncio.to_thread(work)
        finally:
            self._inside -= 1


def needs_rehash(stored: str) -> bool:
    """Tell whether a hash was made with other parameters than today's."""
    return _hasher().check_needs_rehash(stored)


def why_weak(password: str, words: Iterable[str]) -> str:
    """Return why a password is easily guessed, "" if nothing is known against it.

    Beside the list of common ones this finds one that is a shorter text repeated, and one that hides little behind the person's own words.
    """
    plain = password.casefold()
    if plain in _common() or _unit(plain) in _common() or len(set(_unit(plain))) < 4:
        return "This password is one of those that are tried first."
    rest = plain
    parts = {part for word in words for part in re.split(r"[^\w]+", word.casefold()) if len(part) >= 3}
    for part in sorted(parts, key=len, reverse=True):
        rest = rest.replace(part, "")
    if rest != plain and len(re.sub(r"[\W\d_]", "", rest)) < _MIN_REST:
        return "This password is made of your own name, your address or the product's name."
    return ""


def _unit(text: str) -> str:
    """Return the shortest text that repeated gives this one."""
    return text[: (text + text).find(text, 1)]


@cache
def _common() -> frozenset[str]:
    """Return the 30,000 commonest passwords of the zxcvbn package, 11,600 of them with 8 characters or more."""
    from zxcvbn.frequency_lists import FREQUENCY_LISTS  # type: ignore[import-untyped]

    return frozenset(FREQUENCY_LISTS["passwords"])


@cache
def _hasher() -> PasswordHasher:
    from argon2 import PasswordHasher

    return PasswordHasher(time_cost=2, memory_cost=MEMORY_KIB, parallelism=1, hash_len=32, salt_len=16)


@cache
def _nobody() -> str:
    """Return the hash of a password that nobody has."""
    return _hasher().hash(os.urandom(32).hex())


def _matches(stored: str, password: str) -> bool:
    from argon2.exceptions import InvalidHashError, VerificationError

    try:
        return _hasher().verify(stored, password)
    except (VerificationError, InvalidHashError):
        return False
