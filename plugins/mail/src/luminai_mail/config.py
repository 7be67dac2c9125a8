"""Settings of the plugin."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from luminai import ConfigRejected, ProblemItem, Secret

_WORD: Final = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL: Final = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_ADDRESS: Final = rf"^{_WORD}(\.{_WORD})*@{_LABEL}(\.{_LABEL})*\Z"
_HOST: Final = r"^([A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?|[0-9A-Fa-f:]*:[0-9A-Fa-f:.]+)\Z"
_LINE: Final = r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*\Z"


class MailConfig(Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True):
    """``[plugins.mail.config]``."""

    host: Annotated[
        str,
        Meta(
            pattern=_HOST,
            max_length=253,
            examples=["mail.example.org"],
            description="Name or address of the mail server; its certificate must hold it.",
        ),
    ]
    from_address: Annotated[str, Meta(pattern=_ADDRESS, max_length=254, examples=["hub@example.org"], description="Address that letters come from.")]
    from_name: Annotated[str, Meta(pattern=_LINE, max_length=100, description="Name that letters come from.")] = ""
    port: Annotated[int, Meta(ge=1, le=65535, description="587 with starttls, 465 with tls.")] = 587
    security: Annotated[
        Literal["starttls", "tls", "none"],
        Meta(description="starttls: encrypted before anything is said; tls: from the first byte; none: only on this machine."),
    ] = "starttls"
    username: Annotated[str, Meta(pattern=_LINE, max_length=320, description="Who signs in; empty for a server that asks for no login.")] = ""
    password: Secret | None = None
    timeout: Annotated[float, Meta(ge=1, le=20, description="Seconds for each step with the server.")] = 10.0
    ca_file: Annotated[str, Meta(max_length=1024, description="Certificates to trust instead of the system's, as PEM; relative to config.toml.")] = ""


def check_settings(config: MailConfig) -> MailConfig:
    """Return the settings.

    Raises:
        ConfigRejected: letters would cross a network unencrypted (code ``mail.not-encrypted``), or a login has no password.
    """
    problems = []
    if config.security == "none" and not is_this_machine(config.host):
        hint = 'Use "starttls" or "tls"; "none" is for a mail server on this machine, at localhost, 127.0.0.1 or ::1.'
        problems.append(
            ProblemItem(detail=f"Letters to {config.host} would not be encrypted.", pointer="security", code="mail.not-encrypted", hint=hint)
        )
    if config.username and config.password is None:
        hint = 'Refer to it: password = "env:MAIL_PASSWORD".'
        problems.append(ProblemItem(detail="There is a username and no password.", pointer="password", code="mail.no-password", hint=hint))
    if problems:
        raise ConfigRejected(problems[0].detail, code=problems[0].code, errors=problems, hint=problems[0].hint)
    return config


def is_this_machine(host: str) -> bool:
    """Tell whether a host is this machine by its very name, without asking anybody."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
