"""The other side of ``work.processes``, run as a process: it calls plain functions, one after the other, until its input ends.

It imports what it is asked to call, and nothing else of the hub or the plugin.
"""

from __future__ import annotations

import os
import sys
import traceback
from importlib import import_module
from pathlib import Path
from typing import Any, Final, get_type_hints

import msgspec
from msgspec import Struct

HEADER: Final = 4
"""Bytes before each frame that tell its length."""
MAX_FRAME: Final = 16 * 1024 * 1024
_MAX_TEXT: Final = 4000
_GOOD: Final = b"\x01"
_BAD: Final = b"\x00"


class Asked(Struct, frozen=True, array_like=True):
    """What is to be called, ``module:name``, and its argument as MessagePack."""

    function: str
    given: bytes


class Failed(Struct, frozen=True, array_like=True):
    """What went wrong: ``kind`` is the exception's name. A ``HubError`` has a ``code``, and its words."""

    kind: str
    code: str = ""
    detail: str = ""
    hint: str = ""
    retry_after: float | None = None
    trace: str = ""


def decode_answer(frame: bytes) -> bytes | Failed:
    """Return a result, as MessagePack, or what went wrong."""
    return frame[1:] if frame[:1] == _GOOD else msgspec.msgpack.decode(frame[1:], type=Failed)


def main() -> None:
    """Answer until the input ends."""
    _confine(megabytes=int(sys.argv[1]), parent=int(sys.argv[2]))
    # functions of plugins may print, or read what is typed: neither may meet the frames
    frames, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1):
        os.dup2(nothing, descriptor)
    while len(header := frames.read(HEADER)) == HEADER:
        asked = msgspec.msgpack.decode(frames.read(int.from_bytes(header)), type=Asked)
        answer = _answer(asked)
        answers.write(len(answer).to_bytes(HEADER) + answer)
        answers.flush()


def _answer(asked: Asked) -> bytes:
    try:
        module, _, name = asked.function.partition(":")
        function = getattr(import_module(module), name)
        argument = next(iter(get_type_hints(function, include_extras=True).values()))
        result = msgspec.msgpack.encode(function(msgspec.msgpack.decode(asked.given, type=argument)))
        if len(result) >= MAX_FRAME:
            raise OverflowError(f"it returned more than {MAX_FRAME // 2**20} MiB")
    except BaseException as error:  # noqa: BLE001 - plugin code may raise anything, SystemExit too
        return _BAD + msgspec.msgpack.encode(_failed(error))
    return _GOOD + result


def _failed(error: BaseException) -> Failed:
    kind, code = type(error).__name__, getattr(error, "code", "")
    hub_errors: Any = sys.modules.get("luminai.contracts.errors")
    if hub_errors is not None and isinstance(error, hub_errors.HubError):
        return Failed(kind, code, error.detail[:_MAX_TEXT], error.hint[:_MAX_TEXT], error.retry_after)
    return Failed(kind, trace="".join(traceback.format_exception(error))[-_MAX_TEXT:])


def _confine(*, megabytes: int, parent: int) -> None:
    """Bound the memory, leave no core file, and end with the hub, where the system can do so."""
    try:
        import resource
    except ImportError:  # Windows
        return
    for what, most in ((resource.RLIMIT_AS, megabytes * 2**20), (resource.RLIMIT_CORE, 0)):
        resource.setrlimit(what, (most, most))
    if Path("/proc/self").exists():  # Linux: a hub that is killed takes its children along, even those that hold the interpreter
        import ctypes
        import signal

        ctypes.CDLL(None).prctl(1, signal.SIGKILL)
        if os.getppid() != parent:
            sys.exit(1)


if __name__ == "__main__":
    main()
