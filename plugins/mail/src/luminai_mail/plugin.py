"""Hook implementations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from luminai import MAIL_POINT, Extension, HealthCheck, PluginContext, ProblemItem, Unavailable, hookimpl
from luminai_mail.config import MailConfig, check_settings
from luminai_mail.transport import SmtpTransport


def _transport(ctx: PluginContext) -> SmtpTransport:
    return SmtpTransport(check_settings(ctx.config), folder=ctx.base_dir, clock=ctx.clock, run_sync=ctx.run_sync)


class Plugin:
    """Letters through a mail server."""

    config: ClassVar = MailConfig

    @hookimpl
    def extensions(self, ctx: PluginContext) -> Sequence[Extension]:
        """Carry the hub's mail."""
        return [Extension(MAIL_POINT, _transport(ctx))]

    @hookimpl
    def health_checks(self, ctx: PluginContext) -> Sequence[HealthCheck]:
        """Look whether the server answers, at most once a minute."""
        return [HealthCheck(name="server", check=_transport(ctx).health, interval=60.0, timeout=5.0)]

    @hookimpl
    async def test_config(self, ctx: PluginContext) -> Sequence[ProblemItem]:
        """Connect, sign in, say NOOP; no letter is sent."""
        try:
            await _transport(ctx).look(login=True)
        except Unavailable as error:
            return [ProblemItem(detail=error.detail, pointer=_POINTERS.get(error.code, "host"), code=error.code, hint=error.hint)]
        return []


_POINTERS = {
    "mail.login-refused": "password",
    "mail.bad-ca-file": "ca-file",
    "mail.tls-failed": "security",
    "mail.not-offered": "security",
}
"""Setting that an error is most likely about."""
