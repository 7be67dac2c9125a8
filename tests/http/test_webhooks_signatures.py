"""Signatures: what genuine senders make holds, and nothing else does. openssl and GitHub's documentation say what is genuine."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import shutil
import subprocess
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luminai import (
    HubError,
    NotSignedIn,
    Secret,
    SigningSecret,
    Unavailable,
    check_any_signature,
    check_signature,
    check_timed_signature,
    signing_secrets,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SINCE = int(NOW.timestamp())
KEY, OLD, STRANGE = b"whsec_0123456789abcdef", b"whsec_old_0123456789", b"whsec_strange_012345"
SECRETS = [SigningSecret(KEY), SigningSecret(OLD, until=NOW + timedelta(days=1))]
ENDED = [SigningSecret(KEY), SigningSecret(OLD, until=NOW)]
BODY = '{"id": "evt_1", "name": "Zoë"}'.encode()


def hexed(signed: bytes, key: bytes = KEY) -> str:
    return hmac.new(key, signed, hashlib.sha256).hexdigest()


def timed(body: bytes = BODY, *, at: int = SINCE, key: bytes = KEY, version: str = "v1") -> str:
    return f"t={at},{version}={hexed(b'%d.' % at + body, key)}"


def refusal(check, *args, **named) -> str:
    with pytest.raises(HubError) as refused:
        check(*args, **named)
    return refused.value.code


def test_body_signature__of_githubs_documentation__holds() -> None:
    """The example of https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries."""
    secret = SigningSecret(b"It's a Secret to Everybody")
    check_signature(b"Hello, World!", "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17", [secret], NOW, prefix="sha256=")


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_every_form__made_by_openssl__holds() -> None:
    def openssl(signed: bytes, *options: str) -> bytes:
        command = ["openssl", "dgst", "-sha256", "-hmac", KEY.decode(), *options]
        return subprocess.run(command, input=signed, capture_output=True, check=True).stdout

    plain = openssl(BODY, "-r").split()[0].decode()
    check_signature(BODY, f"sha256={plain}", SECRETS, NOW, prefix="sha256=")
    stamped = openssl(b"%d." % SINCE + BODY, "-r").split()[0].decode()
    assert check_timed_signature(BODY, f"t={SINCE},v1={stamped}", SECRETS, NOW) == NOW
    check_any_signature(BODY, [None, base64.b64encode(openssl(BODY, "-binary")).decode()], SECRETS, NOW)


GOOD = f"sha256={hexed(BODY)}"


@pytest.mark.parametrize(
    ("body", "header", "code"),
    [
        pytest.param(BODY, None, "signature-missing", id="no header"),
        pytest.param(BODY, "", "signature-missing", id="empty header"),
        pytest.param(BODY, "sha256=", "bad-signature", id="only the prefix"),
        pytest.param(BODY, hexed(BODY), "bad-signature", id="no prefix"),
        pytest.param(BODY, f"sha1={hmac.new(KEY, BODY, hashlib.sha1).hexdigest()}", "bad-signature", id="sha1"),
        pytest.param(BODY, f"sha1={hexed(BODY)}", "bad-signature", id="sha256 named sha1"),
        pytest.param(BODY, f"sha256={hmac.new(KEY, BODY, hashlib.sha1).hexdigest()}", "bad-signature", id="sha1 named sha256"),
        pytest.param(BODY, f"sha512={hmac.new(KEY, BODY, hashlib.sha512).hexdigest()}", "bad-signature", id="sha512"),
        pytest.param(BODY, f"sha256={hashlib.sha256(BODY).hexdigest()}", "bad-signature", id="a digest without a key"),
        pytest.param(BODY, f"sha256={hexed(BODY, b'')}", "bad-signature", id="the empty key"),
        pytest.param(BODY, f"sha256={hexed(BODY, STRANGE)}", "bad-signature", id="a strange key"),
        pytest.param(BODY, f"sha256={hexed(BODY, KEY.upper())}", "bad-signature", id="the key in capitals"),
        pytest.param(BODY, f"sha256={hexed(BODY, KEY + b' ')}", "bad-signature", id="the key with a space"),
        pytest.param(BODY[:-1], GOOD, "bad-signature", id="one byte less"),
        pytest.param(BODY + b"\n", GOOD, "bad-signature", id="one byte more"),
        pytest.param(BODY.replace(b"1", b"2"), GOOD, "bad-signature", id="one byte changed"),
        pytest.param(json.dumps(json.loads(BODY)).encode(), GOOD, "bad-signature", id="decoded and encoded again"),
        pytest.param(b"\xef\xbb\xbf" + BODY, GOOD, "bad-signature", id="a byte order mark"),
        pytest.param(b"", GOOD, "bad-signature", id="an empty body"),
        pytest.param(BODY, GOOD.upper(), "bad-signature", id="in capitals"),
        pytest.param(BODY, GOOD[:-1], "bad-signature", id="cut"),
        pytest.param(BODY, GOOD + "0", "bad-signature", id="longer"),
        pytest.param(BODY, GOOD + "\n", "bad-signature", id="a line end"),
        pytest.param(BODY, " " + GOOD, "bad-signature", id="a space"),
        pytest.param(BODY, f"{GOOD},{GOOD}", "bad-signature", id="twice in one header"),
        pytest.param(BODY, GOOD.replace("s", "ſ", 1), "bad-signature", id="a letter that looks the same"),
        pytest.param(BODY, "sha256=" + "٠" * 64, "bad-signature", id="digits of another script"),
        pytest.param(BODY, "sha256=\udcff", "bad-signature", id="a lone surrogate"),
        pytest.param(BODY, "sha256=" + base64.b64encode(bytes.fromhex(hexed(BODY))).decode(), "bad-signature", id="base64"),
        pytest.param(BODY, "sha256=" + "0" * 10_000_000, "bad-signature", id="ten megabytes"),
    ],
)
def test_body_signature__anything_else__is_refused(body: bytes, header: str | None, code: str) -> None:
    check_signature(BODY, GOOD, SECRETS, NOW, prefix="sha256=")
    assert refusal(check_signature, body, header, SECRETS, NOW, prefix="sha256=") == code


OF_NOW = timed()


@pytest.mark.parametrize(
    ("body", "header", "code"),
    [
        pytest.param(BODY, None, "signature-missing", id="no header"),
        pytest.param(BODY, "", "signature-missing", id="empty header"),
        pytest.param(BODY, f"t={SINCE}", "signature-missing", id="only a time"),
        pytest.param(BODY, timed(version="v0"), "signature-missing", id="v0 only"),
        pytest.param(BODY, timed(version="v2"), "signature-missing", id="v2 only"),
        pytest.param(BODY, timed(version="V1"), "signature-missing", id="V1 in capitals"),
        pytest.param(BODY, OF_NOW.replace(",", ";"), "signature-missing", id="another separator"),
        pytest.param(BODY, OF_NOW + "x" * 5000, "signature-missing", id="longer than any"),
        pytest.param(BODY, f"{',' * 20}{OF_NOW}", "signature-missing", id="behind many empty parts"),
        pytest.param(BODY, OF_NOW.partition(",")[2], "bad-signature", id="no time"),
        pytest.param(BODY, f"t={SINCE},{OF_NOW}", "bad-signature", id="the time twice"),
        pytest.param(BODY, OF_NOW.replace(f"t={SINCE}", f"t={SINCE + 1}"), "bad-signature", id="another time"),
        pytest.param(BODY, OF_NOW.replace("t=", "t=+"), "bad-signature", id="a sign before the time"),
        pytest.param(BODY, OF_NOW.replace("t=", "t= "), "bad-signature", id="a space before the time"),
        pytest.param(BODY, OF_NOW.replace("t=", "t=0"), "bad-signature", id="a zero before the time"),
        pytest.param(BODY, OF_NOW.replace(f"t={SINCE}", "t=１７６７２２５６００"), "bad-signature", id="full-width digits"),
        pytest.param(BODY, OF_NOW.replace(f"t={SINCE}", "t=1e9"), "bad-signature", id="a float"),
        pytest.param(BODY, OF_NOW.replace(f"t={SINCE}", "t=99999999999999"), "bad-signature", id="a time beyond all"),
        pytest.param(BODY, OF_NOW.replace(f"t={SINCE}", "t="), "bad-signature", id="an empty time"),
        pytest.param(BODY, f"t={SINCE},v1=", "bad-signature", id="an empty signature"),
        pytest.param(BODY, f"t={SINCE},v1={hexed(BODY)}", "bad-signature", id="the body without the time"),
        pytest.param(BODY, f"t={SINCE},v1={hexed(b'%d' % SINCE + BODY)}", "bad-signature", id="without the dot"),
        pytest.param(BODY, timed(key=STRANGE), "bad-signature", id="a strange key"),
        pytest.param(BODY + b" ", OF_NOW, "bad-signature", id="one byte more"),
        pytest.param(b"", OF_NOW, "bad-signature", id="an empty body"),
        pytest.param(json.dumps(json.loads(BODY)).encode(), OF_NOW, "bad-signature", id="decoded and encoded again"),
        pytest.param(BODY, timed(at=SINCE - 301), "signature-expired", id="301 s old"),
        pytest.param(BODY, timed(at=SINCE + 301), "signature-expired", id="301 s early"),
        pytest.param(BODY, timed(at=0), "signature-expired", id="of 1970"),
    ],
)
def test_timed_signature__anything_else__is_refused(body: bytes, header: str | None, code: str) -> None:
    assert check_timed_signature(BODY, OF_NOW, SECRETS, NOW) == NOW
    assert refusal(check_timed_signature, body, header, SECRETS, NOW) == code


@pytest.mark.parametrize("off", [-300, 300, 0])
def test_timed_signature__within_the_tolerance__holds(off: int) -> None:
    assert check_timed_signature(BODY, timed(at=SINCE + off), SECRETS, NOW) == NOW + timedelta(seconds=off)


def test_timed_signature__of_a_sender_that_rotates__holds_with_any_of_its_signatures() -> None:
    others = f"v0={'0' * 64},v1={'0' * 64}"
    check_timed_signature(BODY, OF_NOW.replace(",", f", {others}, "), SECRETS, NOW)


def based(key: bytes) -> str:
    return base64.b64encode(hmac.new(key, BODY, hashlib.sha256).digest()).decode()


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ([], "signature-missing"),
        ([None, None], "signature-missing"),
        (["", None], "signature-missing"),
        ([based(STRANGE)], "bad-signature"),
        ([based(STRANGE)] * 3, "bad-signature"),
        ([hexed(BODY)], "bad-signature"),
        ([based(KEY).rstrip("=")], "bad-signature"),
        ([based(KEY) + "="], "bad-signature"),
        (["0"] * 16 + [based(KEY)], "bad-signature"),
    ],
)
def test_any_of_several_headers__none_fits__is_refused(headers: list[str | None], code: str) -> None:
    check_any_signature(BODY, [None, based(STRANGE), based(KEY)], SECRETS, NOW)
    assert refusal(check_any_signature, BODY, headers, SECRETS, NOW) == code


def test_old_secret__holds_until_its_end_and_not_at_it() -> None:
    for check, header in ((check_signature, hexed(BODY, OLD)), (check_timed_signature, timed(key=OLD)), (check_any_signature, [based(OLD)])):
        check(BODY, header, SECRETS, NOW)
        assert refusal(check, BODY, header, ENDED, NOW) == "bad-signature"
        assert refusal(check, BODY, header, SECRETS, NOW + timedelta(days=1)) in ("bad-signature", "signature-expired")


def test_secrets_of_a_setting__all_but_the_newest_end() -> None:
    values = {"env:NEW": KEY.decode(), "env:OLD": OLD.decode()}
    settings = [Secret(reference, values.__getitem__) for reference in values]
    made = signing_secrets(settings, old_until=NOW)
    assert [(secret.value, secret.until) for secret in made] == [(KEY, None), (OLD, NOW)]
    assert KEY.decode() not in f"{made} {made!r}"


def test_secrets_of_a_setting__none_or_too_short__verify_nothing() -> None:
    """An empty secret would be one that everybody knows."""
    with pytest.raises(Unavailable) as none:
        signing_secrets([])
    assert none.value.code == "webhook-not-set-up"
    for weak in ("", "short", "x" * 15):
        with pytest.raises(Unavailable) as short:
            signing_secrets([Secret("env:KEY", lambda _, weak=weak: weak)])
        assert short.value.code == "secret-too-short"
    signing_secrets([Secret("env:KEY", lambda _: "x" * 16)])


@given(body=st.binary(max_size=300), flip=st.integers(min_value=0), bit=st.integers(0, 7))
def test_body_signature__any_one_bit_changed__is_refused(body: bytes, flip: int, bit: int) -> None:
    header = hexed(body)
    check_signature(body, header, SECRETS, NOW)
    changed = bytearray(body + bytes.fromhex(header))
    changed[flip % len(changed)] ^= 1 << bit
    new_body, new_header = bytes(changed[: len(body)]), bytes(changed[len(body) :]).hex()
    assert refusal(check_signature, new_body, new_header, SECRETS, NOW) == "bad-signature"


@given(st.text(max_size=200))
def test_timed_signature__any_text__is_refused_in_words(header: str) -> None:
    with pytest.raises(NotSignedIn):
        check_timed_signature(BODY, header, SECRETS, NOW)
