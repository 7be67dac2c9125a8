"""Exit codes, the same for every command."""

from __future__ import annotations

from typing import Final

from luminai.contracts.errors import HubError

FAILED: Final = 1
USAGE: Final = 2
NOT_FOUND: Final = 3
NOT_ALLOWED: Final = 4
CONFLICT: Final = 5
UNREACHABLE: Final = 6
INVALID: Final = 7
FOUND_PROBLEMS: Final = 8
AHEAD: Final = 9
INTERRUPTED: Final = 130

_BY_CODE: Final = {"hub-unreachable": UNREACHABLE, "database-ahead": AHEAD}
_BY_STATUS: Final = {
    400: INVALID,
    401: NOT_ALLOWED,
    403: NOT_ALLOWED,
    404: NOT_FOUND,
    409: CONFLICT,
    412: CONFLICT,
    413: INVALID,
    415: INVALID,
    422: INVALID,
    502: UNREACHABLE,
}


def exit_code(error: HubError) -> int:
    """Return the exit code of an error.

    0 ok, 1 failed, 2 usage, 3 not found, 4 not allowed, 5 conflict, 6 unreachable, 7 invalid, 8 problems found, 9 tables newer than the code.
    """
    if error.code in _BY_CODE:
        return _BY_CODE[error.code]
    return _BY_STATUS.get(error.status, FAILED)
