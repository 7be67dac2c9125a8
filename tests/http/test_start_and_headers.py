"""What the hub refuses to start with, HTTPS of its own, pages of other origins, and reports of a page's policy."""

import asyncio
import datetime as dt
import ipaddress
import resource
import socket
import ssl
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from home import Home, serving

from luminai.config.layers import Configuration, Layer
from luminai.contracts.errors import ConfigRejected
from luminai.host.start_checks import check_start, file_system
from luminai.testing import running_hub


def certificate(folder: Path) -> None:
    """Write cert.pem and key.pem for 127.0.0.1."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "hub")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "key.pem").write_bytes(private)
    (folder / "key.pem").chmod(0o600)


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        ({"LUMINAI_HOST": "0.0.0.0"}, "open-without-tls"),  # noqa: S104 - what is refused
        ({"LUMINAI_SERVER__TLS_KEY": "key.pem"}, "tls-incomplete"),
        ({"LUMINAI_SERVER__TLS_KEY": "key.pem", "LUMINAI_SERVER__TLS_CERTIFICATE": "none.pem"}, "tls-incomplete"),
        ({"LUMINAI_SERVER__TLS_KEY": "open.pem", "LUMINAI_SERVER__TLS_CERTIFICATE": "open.pem"}, "key-file-readable"),
    ],
)
def test_start__that_gives_data_away_is_refused(tmp_path: Path, settings: dict[str, str], code: str) -> None:
    home = Home(tmp_path / "home")
    (home.folder / "open.pem").write_text("key")
    (home.folder / "open.pem").chmod(0o644)
    home.env |= settings
    assert home.refusal("serve", "--port", "0")[1] == code


def test_start__on_a_network_file_system_is_refused(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(f"/dev/vda / ext4 rw 0 0\nserver:/x {tmp_path}/da\\040ta nfs4 rw 0 0\n")
    config = Configuration([Layer("file", "config.toml", {"hub": {"data": "da ta"}}, {}, {})], (), tmp_path)
    with pytest.raises(ConfigRejected) as refused:
        check_start(config, mounts=mounts)
    assert refused.value.code == "database-on-network"
    assert file_system(tmp_path / "elsewhere", mounts) == "ext4"
    assert file_system(tmp_path, tmp_path / "nothing") == ""


@pytest.mark.shows("TL-143")
def test_https__is_served_and_asked_for_again(tmp_path: Path) -> None:
    (tmp_path / "tls").mkdir()
    certificate(tmp_path / "tls")
    settings = {f"LUMINAI_SERVER__TLS_{part}": str(tmp_path / "tls" / name) for part, name in (("CERTIFICATE", "cert.pem"), ("KEY", "key.pem"))}
    context = ssl.create_default_context(cafile=tmp_path / "tls" / "cert.pem")
    with serving(tmp_path / "home", SSL_CERT_FILE=str(tmp_path / "tls" / "cert.pem"), **settings) as home:
        assert home.env["LUMINAI_URL"].startswith("https://")
        address = urlsplit(home.env["LUMINAI_URL"])
        plain = socket.create_connection((address.hostname or "", address.port or 0), timeout=20)
        with plain, context.wrap_socket(plain, server_hostname=address.hostname) as encrypted:
            assert encrypted.version() == "TLSv1.3"
        answer = httpx.get(home.env["LUMINAI_URL"] + "/api/personas", verify=context)
        assert answer.status_code == 200
        assert answer.headers["strict-transport-security"] == "max-age=31536000; includeSubDomains"


@pytest.mark.shows("PX-17")
def test_page_of_another_origin__may_call_only_if_named() -> None:
    async def main() -> Any:
        async with running_hub(settings={"server": {"cors-origins": ["https://app.example.org"]}}) as hub:
            found = []
            for origin in ("https://app.example.org", "https://app.example.org.evil.example", "null", "http://app.example.org"):
                asked = {"origin": origin, "access-control-request-method": "POST"}
                found.append(
                    (
                        await hub.client().request("OPTIONS", "/api/keys", headers=asked),
                        await hub.client().request("GET", "/api/status", headers=asked),
                    )
                )
            return found

    (named, plain), *others = asyncio.run(main())
    assert named.headers["access-control-allow-origin"] == plain.headers["access-control-allow-origin"] == "https://app.example.org"
    assert "idempotency-key" in named.headers["access-control-allow-headers"]
    assert "access-control-allow-credentials" not in named.headers
    for preflight, answer in others:
        assert "access-control-allow-origin" not in preflight.headers
        assert "access-control-allow-origin" not in answer.headers
        assert answer.headers["vary"] == "origin"


def test_cors__is_off_at_first() -> None:
    async def main() -> Any:
        async with running_hub() as hub:
            return await hub.client().request("GET", "/api/status", headers={"origin": "https://app.example.org"})

    assert not [name for name in asyncio.run(main()).headers if name.startswith("access-control")]


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b'{"csp-report": {"blocked-uri": "https://evil.example/x?token=1", "violated-directive": "script-src"}}', 1),
        (b'[{"type": "csp-violation", "body": {"blockedURL": "inline", "effectiveDirective": "script-src"}}, {"type": "other"}]', 1),
        (b"[1, 2]", 0),
        (b"nothing", None),
        (b"\xff", None),
    ],
)
def test_csp_report__is_logged_without_what_stands_behind_the_address(body: bytes, told: int | None, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> Any:
        async with running_hub() as hub:
            return await hub.client().request("POST", "/api/csp-reports", body=body, headers={"content-type": "application/csp-report"})

    answer = asyncio.run(main())
    assert answer.status == (400 if told is None else 204)
    found = [record for record in caplog.records if record.msg == "csp.violation"]
    assert len(found) == (told or 0)
    assert "token" not in str([vars(record) for record in found])


def test_start__raises_the_limit_of_open_files_to_what_it_may_have(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (512, hard))
    try:
        with serving(tmp_path / "home") as home:
            key = home.data("keys", "create", "--name", "operator", "--scope", "*")["key"]
            found = httpx.get(f"{home.env['LUMINAI_URL']}/api/admin/process", headers={"authorization": f"Bearer {key}"}, timeout=30).json()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert found["descriptors"]["limit"] == min(hard, 131_072) > 512
