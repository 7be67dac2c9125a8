"""Processes for plain functions that need a core for themselves: bounded in number and memory, and really ended when a call is given up."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from luminai.contracts import errors
from luminai.contracts.errors import HubError
from luminai.work.computing import HEADER, MAX_FRAME, Asked, Failed, decode_answer

IDLE_SECONDS: Final = 60.0
_KEPT: Final = ("PATH", "HOME", "TMPDIR", "TZ", "LANG", "LC_", "LD_LIBRARY_PATH", "OMP_", "OPENBLAS_", "MKL_")
"""What a child sees of the environment; secrets of the hub stand in the rest."""


class ComputeFailed(Exception):
    """A function raised, or its process ended; the message may be shown to people."""


class ProcessPool:
    """Children that call functions of plugins, each of one plugin only.

    Args:
        most: Children at the same time; a call above waits.
        megabytes: Address space of each; what needs more meets ``MemoryError``.
    """

    def __init__(self, *, most: int, megabytes: int) -> None:
        self._most = most
        self._megabytes = megabytes
        self._places = asyncio.Semaphore(most)
        self._children: set[_Child] = set()
        self._idle: list[_Child] = []  # the one that rests longest first

    async def call(self, owner: str, function: str, given: bytes) -> bytes:
        """Return what ``function`` (``module:name``) makes of ``given``, both as MessagePack. When the caller is cancelled, the process is killed.

        Raises:
            HubError: it raised one.
            ComputeFailed: it raised something else, returned what cannot be sent, or its process ended.
        """
        async with self._places:
            child = await self._child(owner)
            is_sound = False
            try:
                answer = await child.ask(Asked(function, given))
                is_sound = not isinstance(answer, Failed) or bool(answer.code)
            finally:
                if is_sound:
                    self._rest(child)
                else:  # it works on, holds too much, or nobody knows what state it is in
                    await self._end(child)
        if isinstance(answer, Failed):
            raise _error(answer)
        return answer

    async def close(self) -> None:
        """End every child."""
        self._idle.clear()
        await asyncio.gather(*(self._end(child) for child in list(self._children)))

    @property
    def pids(self) -> set[int]:
        """Ids of the children."""
        return {child.pid for child in self._children}

    async def _child(self, owner: str) -> _Child:
        found = next((child for child in self._idle if child.owner == owner and child.is_alive), None)
        if found is not None:
            self._idle.remove(found)
            found.wake()
            return found
        while self._idle and len(self._children) >= self._most:
            await self._end(self._idle.pop(0))
        child = await _Child.start(owner, self._megabytes)
        self._children.add(child)
        return child

    def _rest(self, child: _Child) -> None:
        self._idle.append(child)
        child.rest(IDLE_SECONDS, self._retire)

    def _retire(self, child: _Child) -> None:
        self._idle.remove(child)
        self._children.discard(child)
        child.kill()

    async def _end(self, child: _Child) -> None:
        self._children.discard(child)
        child.kill()
        await asyncio.shield(child.gone())


class _Child:
    """One process, in a group of its own, so that what it started ends with it."""

    def __init__(self, owner: str, process: asyncio.subprocess.Process) -> None:
        self.owner = owner
        self.pid = process.pid
        self._process = process
        self._timer: asyncio.TimerHandle | None = None

    @classmethod
    async def start(cls, owner: str, megabytes: int) -> _Child:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "luminai.work.computing", str(megabytes), str(os.getpid())),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=_environment(),
            start_new_session=True,
        )
        return cls(owner, process)

    @property
    def is_alive(self) -> bool:
        return self._process.returncode is None

    async def ask(self, asked: Asked) -> bytes | Failed:
        """Return its answer; a process that ends instead has failed."""
        process = self._process
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("a child has pipes")
        raw = msgspec.msgpack.encode(asked)
        try:
            process.stdin.write(len(raw).to_bytes(HEADER) + raw)
            await process.stdin.drain()
            size = int.from_bytes(await process.stdout.readexactly(HEADER))
            if size > MAX_FRAME:
                return Failed("OverflowError")
            return decode_answer(await process.stdout.readexactly(size))
        except (asyncio.IncompleteReadError, ConnectionError, msgspec.DecodeError):
            self.kill()
            code = await process.wait()
            return Failed(f"Its process ended with {f'signal {-code}' if code < 0 else f'code {code}'}.")

    def rest(self, seconds: float, then: Callable[[_Child], None]) -> None:
        self._timer = asyncio.get_running_loop().call_later(seconds, then, self)

    def wake(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def kill(self) -> None:
        self.wake()
        if self.is_alive:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)

    async def gone(self) -> None:
        """Wait until it is reaped."""
        await self._process.wait()


def _environment() -> dict[str, str]:
    """Return the variables of a child, which finds modules where this process finds them."""
    kept = {name: value for name, value in os.environ.items() if name.startswith(_KEPT)}
    return {**kept, "PYTHONPATH": os.pathsep.join(str(Path(path).absolute()) for path in sys.path if path)}


def _error(failed: Failed) -> Exception:
    if not failed.code:
        error = ComputeFailed(failed.kind)
        if failed.trace:
            error.add_note(failed.trace)
        return error
    kind = getattr(errors, failed.kind, HubError)
    made: HubError = (kind if isinstance(kind, type) and issubclass(kind, HubError) else HubError)(
        failed.detail, code=failed.code, hint=failed.hint, retry_after=failed.retry_after
    )
    return made
