"""A secret in configuration: a reference, never a literal."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

SECRET_PATTERN: Final = r"^(env:[A-Za-z_][A-Za-z0-9_]*|file:.+|[a-z][a-z0-9-]*:.+)\Z"  # noqa: S105 - of references
NO_OR_SECRET_PATTERN: Final = rf"^(|{SECRET_PATTERN[1:-2]})\Z"
SECRET_REFERENCE: Final = re.compile(SECRET_PATTERN)


class Secret:
    """Holds a reference such as ``env:OPENAI_API_KEY`` or ``file:/run/secrets/key``; shows only the reference.

    msgspec refuses to encode it, so a secret cannot leave through a response, an event or a log by accident.
    """

    __slots__ = ("_resolve", "reference")

    def __init__(self, reference: str, resolve: Callable[[str], str]) -> None:
        self.reference = reference
        self._resolve = resolve

    def reveal(self) -> str:
        """Return the secret's value, read now.

        Raises:
            ConfigRejected: the reference points to nothing.
        """
        return self._resolve(self.reference)

    def __repr__(self) -> str:
        return f"Secret({self.reference})"

    __str__ = __repr__
