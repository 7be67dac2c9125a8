"""Runs the program: bounded in time and output, and really ended when nobody waits for it any more."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
from collections.abc import Sequence
from typing import Final

from luminai import AIError, AIErrorKind

REPAIR: Final = "install it (Debian and Ubuntu: apt-get install espeak-ng; Fedora and Homebrew: espeak-ng), or name its path in `program`"
PIECE: Final = 65_536
_KEPT: Final = ("PATH", "LANG", "LC_ALL", "ESPEAK_DATA_PATH", "LD_LIBRARY_PATH")
"""What it sees of the environment; secrets of the hub stand in the rest."""


class Program:
    """The program ``name``, of which at most ``most`` run at the same time."""

    def __init__(self, name: str, most: int) -> None:
        self._name = name
        self._places = asyncio.Semaphore(most)

    @property
    def problem(self) -> str:
        """Why it cannot be run, with what to do; "" when it is there."""
        return "" if shutil.which(self._name) else f"the program {self._name} is not there: {REPAIR}"

    async def output(self, arguments: Sequence[str], given: bytes, *, most: int, timeout: float) -> bytes:
        """Return what it writes when it is given ``given``. It is killed when the time is over, when it writes more, or when the caller is cancelled.

        Args:
            most: Bytes that it may write.
            timeout: Seconds, the wait for a place among them.

        Raises:
            AIError: it is not there (UPSTREAM, code ``not-installed``), it failed (``failed``), it wrote too much (``too-large``), or it was not
                done in time (TIMEOUT).
        """
        try:
            async with asyncio.timeout(timeout), self._places:
                return await self._run(arguments, given, most)
        except TimeoutError as error:
            raise AIError(AIErrorKind.TIMEOUT, f"{self._name} was not done in time") from error

    async def _run(self, arguments: Sequence[str], given: bytes, most: int) -> bytes:
        path = shutil.which(self._name)
        if path is None:
            raise AIError(AIErrorKind.UPSTREAM, self.problem, code="not-installed")
        pipe, quiet = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
        env = {name: os.environ[name] for name in _KEPT if name in os.environ}
        try:
            process = await asyncio.create_subprocess_exec(  # conformance: it is what the plugin is for; the text goes in by its input
                path, *arguments, stdin=pipe, stdout=pipe, stderr=quiet, env=env, start_new_session=True
            )
        except OSError as error:
            raise AIError(AIErrorKind.UPSTREAM, f"{self._name} cannot be run ({error.strerror}): {REPAIR}", code="not-installed") from error
        writing = asyncio.create_task(_write(process, given))
        try:
            written = bytearray()
            assert process.stdout is not None  # noqa: S101 - it is a pipe
            while piece := await process.stdout.read(PIECE):
                written += piece
                if len(written) > most:
                    raise AIError(AIErrorKind.UPSTREAM, f"{self._name} writes more than {most} bytes", code="too-large")
            if status := await process.wait():
                raise AIError(AIErrorKind.UPSTREAM, f"{self._name} failed with status {status}", code="failed")
            return bytes(written)
        finally:
            writing.cancel()
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await asyncio.shield(process.wait())
            await asyncio.wait([writing])


async def _write(process: asyncio.subprocess.Process, given: bytes) -> None:
    """Give it its input; that it does not read all of it shows in its status."""
    assert process.stdin is not None  # noqa: S101 - it is a pipe
    with contextlib.suppress(OSError):
        process.stdin.write(given)
        await process.stdin.drain()
        process.stdin.close()
