"""``luminai serve``: the hub behind uvicorn."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable
from types import FrameType

import uvicorn

from luminai.config.layers import Configuration
from luminai.contracts.errors import Conflict, HubError
from luminai.host.hub import Hub, StartRefused
from luminai.host.report import render
from luminai.telemetry.access import AccessLog
from luminai.telemetry.logs import set_up_logging

EXIT_REQUIRED = 3
_log = logging.getLogger("luminai.hub")


def serve(read: Callable[[], Configuration], *, only: frozenset[str] | None = None, safe: bool = False, announce: bool = True) -> int:
    """Serve until told to stop; return the exit code (3: a required plugin does not run).

    Args:
        read: Reads the configuration; called again when the process gets SIGHUP or is asked to reload.
        only: Ids that may run.
        safe: Run only the plugins of ``hub.safe-plugins``.
        announce: Say on stderr where the hub is.

    Raises:
        HubError: the hub cannot start.
    """
    config = read()
    settings = config.settings
    as_json = settings.log.format == "json" or (settings.log.format == "auto" and not sys.stderr.isatty())
    set_up_logging(settings.log.level, as_json=as_json)
    listener = _listen(settings.server.host, settings.server.port)
    hub = Hub(config, access_log=AccessLog(sys.stderr, as_json=as_json), only=only, safe=safe, start_log=True, reread=read)
    failure: list[Exception] = []
    server = _Server(hub, listener, failure, announce=announce)
    server.run(sockets=[listener])
    if failure and isinstance(failure[0], StartRefused):
        print(render(failure[0].report), file=sys.stderr)  # noqa: T201 - the report is for the operator
        return EXIT_REQUIRED
    if failure:
        raise failure[0]
    return 0


class _Server(uvicorn.Server):
    """uvicorn with the hub's own start, stop and announcement."""

    def __init__(self, hub: Hub, listener: socket.socket, failure: list[Exception], *, announce: bool) -> None:
        super().__init__(
            uvicorn.Config(
                hub.edge,
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=max(1, round(hub.settings.server.drain_seconds)),
                timeout_keep_alive=10,
                ws="none",
            )
        )
        self._hub = hub
        self._listener = listener
        self._failure = failure
        self._announce = announce
        self._reloads: set[asyncio.Task[None]] = set()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop in order; being told to stop is no failure, so the signal is not raised again and the exit code is 0."""
        super().handle_exit(sig, frame)
        self._captured_signals.clear()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the hub before the first request can come."""
        try:
            await self._hub.start()
        except Exception as error:  # noqa: BLE001 - told to the operator by serve()
            self._failure.append(error)
            self.should_exit = True
            self.lifespan = _NoLifespan()
            return
        await super().startup(sockets)
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._reload)
        if self._announce:
            await _announce(self._hub, self._listener)

    def _reload(self) -> None:
        task = asyncio.get_running_loop().create_task(_reload(self._hub), name="luminai:reload")
        self._reloads.add(task)
        task.add_done_callback(self._reloads.discard)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let requests end, then stop the hub."""
        await super().shutdown(sockets)
        await self._hub.stop()


class _NoLifespan:
    should_exit = True


async def _reload(hub: Hub) -> None:
    """Read the configuration again, as an operator's SIGHUP asks; there is nobody to answer, so the log says how it went."""
    try:
        outcome = await hub.reload()
    except HubError as refused:
        problems = [f"{item.pointer}: {item.detail}" for item in refused.errors]
        _log.error("reload.refused", extra={"code": refused.code, "reason": refused.detail, "problems": problems})
    else:
        _log.warning("reload.done", extra={"generation": outcome.generation, "built": outcome.built, "stopped": outcome.stopped})


async def _announce(hub: Hub, listener: socket.socket) -> None:
    address = hub.settings.server.public_url or _url(listener)
    lines = [f"LuminAI Hub is ready at {address}  ({hub.report.total_ms:.0f} ms, {len(hub.generation.plugins)} plugins)"]
    if hub.safe_mode:
        lines.append(f"SAFE MODE ({hub.safe_mode}): only hub.safe-plugins run. Correct the cause (`luminai repairs list`) and start again.")
    if hub.report.degraded:
        lines += ["Some plugins do not run:", render(hub.report)]
    token = await hub.keys.offer_setup()
    if token:
        lines.append(f"No key exists yet. To become the operator, run `luminai setup` within 15 minutes with this token: {token}")
    lines.append("Press Ctrl-C to stop.")
    print("\n".join(lines), file=sys.stderr, flush=True)  # noqa: T201 - the newcomer reads this


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://{'127.0.0.1' if host in ('0.0.0.0', '::') else host}:{port}"  # noqa: S104 - compared, not bound


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        hint = "Stop what listens there, or choose another port: LUMINAI_PORT=8001."
        raise Conflict(f"{host}:{port} cannot be used: {os.strerror(error.errno or 0)}.", code="port-in-use", hint=hint) from error
    listener.listen(1024)
    listener.set_inheritable(True)
    return listener
