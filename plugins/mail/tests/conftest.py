"""A real mail server in the test's own loop, and certificates made for it."""

from __future__ import annotations

import asyncio
import email
import email.policy
import ssl
from collections import deque
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from aiosmtpd.smtp import SMTP, AuthResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

USER, PASSWORD = "hub@example.org", "correct horse"


class Post:
    """A mail server's behaviour. ``answers`` holds what it says next to RCPT or DATA instead of yes; ``letters`` what it took."""

    def __init__(self):
        self.letters = []
        self.asked = []
        self.answers = {"RCPT": deque(), "DATA": deque()}
        self.came = asyncio.Event()
        self.hold = None

    async def handle_RCPT(self, server, session, envelope, address, options):  # noqa: N802 - aiosmtpd's name
        self.asked.append(address)
        if self.answers["RCPT"]:
            return self.answers["RCPT"].popleft()
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):  # noqa: N802 - aiosmtpd's name
        said = self.answers["DATA"].popleft() if self.answers["DATA"] else "250 OK"
        if said.startswith("250") or said == "hang up":
            message = email.message_from_bytes(envelope.content, policy=email.policy.default)
            self.letters.append(SimpleNamespace(sender=envelope.mail_from, to=envelope.rcpt_tos, message=message, tls=session.ssl is not None))
            self.came.set()
        if self.hold is not None:
            await self.hold.wait()
        if said == "hang up":
            server.transport.abort()
            return "421 gone"
        return said


def _check(server, session, envelope, mechanism, data):
    return AuthResult(success=(data.login, data.password) == (USER.encode(), PASSWORD.encode()), handled=False)


@asynccontextmanager
async def _serving(post, *, port=0, tls=None, starttls=True, auth=True):
    context = None
    if tls is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tls)
    loop = asyncio.get_running_loop()
    upgraded = context if starttls else None
    made = []

    def session():
        made.append(
            SMTP(
                post,
                hostname="mail.test",
                tls_context=upgraded,
                require_starttls=upgraded is not None,
                auth_required=auth,
                auth_require_tls=upgraded is not None,
                authenticator=_check,
                loop=loop,
            )
        )
        return made[-1]

    server = await loop.create_server(session, "127.0.0.1", port, ssl=None if starttls else context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for one in made:
            if one.transport is not None:
                one.transport.abort()
            if one._handler_coroutine is not None:
                one._handler_coroutine.cancel()
        await asyncio.gather(*(one._handler_coroutine for one in made if one._handler_coroutine is not None), return_exceptions=True)


def _certificate(path: Path, name: str) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key()).serial_number(1)
    builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    secret = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(secret + builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    return path


@pytest.fixture
def serving():
    """Return ``async with serving(post) as port``."""
    return _serving


@pytest.fixture
def make_post():
    """Return the class of a server's behaviour."""
    return Post


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """Return a PEM file with key and certificate of ``localhost``."""
    return _certificate(tmp_path_factory.mktemp("tls") / "localhost.pem", "localhost")


@pytest.fixture(scope="session")
def other_certificate(tmp_path_factory):
    """Return a PEM file with key and certificate of another host."""
    return _certificate(tmp_path_factory.mktemp("tls") / "other.pem", "mail.elsewhere.test")


@pytest.fixture(autouse=True)
def password(monkeypatch):
    """Set the variable that the settings refer to."""
    monkeypatch.setenv("MAIL_PASSWORD", PASSWORD)
