"""Calls over TLS: a certificate of a known authority for the host that was named, and no way back to plain HTTP."""

from __future__ import annotations

import asyncio
import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from luminai import HubError
from luminai.http.outbound.client import Outbound
from luminai.telemetry.trace import Tracer


async def call(tls: ssl.SSLContext, location: str = "/") -> Any:
    """Return the status or the code of a call to a server that redirects once."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        status = b"200 OK" if head.startswith(b"GET / ") else b"302 Found\r\nLocation: " + location.format(port=port).encode()
        writer.write(b"HTTP/1.1 " + status + b"\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    outbound = Outbound(Tracer())
    client = outbound.client("caller", [f"outbound:127.0.0.1:{port}"])
    try:
        return (await client.request("GET", f"https://127.0.0.1:{port}/first", redirects=1)).status
    except HubError as error:
        return error.code
    finally:
        await outbound.close()
        server.close()
        await server.wait_closed()


def test_https__certificate__must_be_of_a_known_authority_and_of_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority, good = certificates(tmp_path, "127.0.0.1")
    _, wrong = certificates(tmp_path, "127.0.0.2")

    unknown = asyncio.run(call(good))
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))

    assert [unknown, asyncio.run(call(good)), asyncio.run(call(wrong))] == ["outbound-failed", 200, "outbound-failed"]


def test_https__redirect_to_http__is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority, good = certificates(tmp_path, "127.0.0.1")
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))

    assert asyncio.run(call(good, "http://127.0.0.1:{port}/")) == "outbound-refused"


def certificates(folder: Path, address: str) -> tuple[Path, ssl.SSLContext]:
    """Return an authority's file, and a server that has its certificate for ``address``; the authority is made once."""

    def name(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    def sign(subject: str, key: Any, by: Any, extensions: list[tuple[x509.ExtensionType, bool]]) -> x509.Certificate:
        now = datetime.now(UTC)
        builder = x509.CertificateBuilder().subject_name(name(subject)).issuer_name(name("authority")).public_key(key.public_key())
        builder = (
            builder.serial_number(x509.random_serial_number()).not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
        )
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical)
        return builder.sign(by, hashes.SHA256())

    pem = serialization.Encoding.PEM
    plain = (pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    authority, key_file = folder / "authority.pem", folder / "authority.key"
    if not authority.exists():
        key = ec.generate_private_key(ec.SECP256R1())
        authority.write_bytes(sign("authority", key, key, [(x509.BasicConstraints(ca=True, path_length=None), True)]).public_bytes(pem))
        key_file.write_bytes(key.private_bytes(*plain))
    signer: Any = serialization.load_pem_private_key(key_file.read_bytes(), None)
    own = ec.generate_private_key(ec.SECP256R1())
    names = x509.SubjectAlternativeName([x509.IPAddress(ip_address(address))])
    server = folder / f"{address}.pem"
    server.write_bytes(own.private_bytes(*plain) + sign("server", own, signer, [(names, False)]).public_bytes(pem))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server)
    return authority, context
