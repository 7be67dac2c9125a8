"""The signature of the sandbox's webhooks: ``t=…,v1=…`` over time and body, as real providers have it."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from luminai import (
    Money,
    NotSignedIn,
    PaymentError,
    PaymentEvent,
    PaymentStatus,
    PluginContext,
    SigningSecret,
    check_timed_signature,
    signing_secrets,
)
from luminai_pay_sandbox.config import PaySandboxConfig

HEADER: Final = "sandbox-signature"


class Notice(Struct, frozen=True, kw_only=True):
    """The body of a webhook."""

    id: str
    kind: str
    ref: str
    status: PaymentStatus
    at: datetime
    amount: Money


class Signer:
    """Signs with the newest secret, verifies with all of them."""

    def __init__(self, ctx: PluginContext) -> None:
        self._ctx = ctx
        self._config: PaySandboxConfig = ctx.config
        self._own: tuple[SigningSecret, ...] = ()

    def load(self) -> None:
        """Read the secret of the data folder, made at the first start; not needed where the settings name one."""
        if self._config.secrets:
            return
        path = self._ctx.data_dir / "webhook-secret"
        if not path.exists():
            _write(path, secrets.token_hex(32))
        self._own = (SigningSecret(path.read_bytes()),)

    def sign(self, body: bytes, now: datetime) -> str:
        """Return the value of the header."""
        stamp = str(int(now.timestamp()))
        digest = hmac.new(self._secrets()[0].value, f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
        return f"t={stamp},v1={digest}"

    def verify(self, provider: str, body: bytes, headers: Mapping[str, str], now: datetime) -> PaymentEvent:
        """Return the event of a genuine delivery.

        Raises:
            PaymentError: a forgery, or not of the last five minutes.
            Unavailable: the secret is not there yet, or too short.
        """
        try:
            check_timed_signature(body, headers.get(HEADER), self._secrets(), now)
            notice = msgspec.json.decode(body, type=Notice)
        except NotSignedIn as forged:
            raise PaymentError(forged.detail, definite=True, code=forged.code) from None
        except msgspec.MsgspecError:
            raise PaymentError("the body is no event", definite=True, code="bad-event") from None
        found = {name: getattr(notice, name) for name in notice.__struct_fields__}
        return PaymentEvent(provider=provider, raw=body, **found)

    def _secrets(self) -> tuple[SigningSecret, ...]:
        return self._own or signing_secrets(self._config.secrets)


def _write(path: Path, text: str) -> None:
    """Write a file that only its owner reads, whole or not at all; who was first wins."""
    draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
