"""The exact bounds of signatures: what is signed rightly and written oddly is refused too."""

import hashlib
import hmac
from datetime import UTC, datetime

import pytest

from luminai.contracts.errors import NotSignedIn, Unavailable
from luminai.contracts.secret import Secret
from luminai.http.signatures import SigningSecret, check_any_signature, check_signature, check_timed_signature, signing_secrets

KEY = b"0123456789abcdef"
SECRETS = (SigningSecret(KEY),)
NOW = datetime(2026, 11, 21, tzinfo=UTC)
STAMP = str(int(NOW.timestamp()))
BODY = b"{}"


def digest(signed: bytes) -> str:
    return hmac.new(KEY, signed, hashlib.sha256).hexdigest()


def timed(stamp: str) -> str:
    return f"t={stamp},v1={digest(stamp.encode() + b'.' + BODY)}"


@pytest.mark.parametrize(
    "stamp",
    [
        pytest.param("".join(chr(0x660 + int(digit)) for digit in STAMP), id="arabic digits"),
        pytest.param(f"+{STAMP}", id="plus"),
        pytest.param(f" {STAMP}", id="space"),
        pytest.param(f"{STAMP[:2]}_{STAMP[2:]}", id="underscore"),
        pytest.param(f"-{STAMP}", id="minus"),
        pytest.param(f"00{STAMP}", id="12 digits"),
        pytest.param("", id="nothing"),
    ],
)
def test_signed_time__is_ascii_digits_and_no_more_than_11(stamp: str) -> None:
    with pytest.raises(NotSignedIn) as refused:
        check_timed_signature(BODY, timed(stamp), SECRETS, NOW)
    assert refused.value.code == "bad-signature"


def test_signed_time__of_11_digits_holds() -> None:
    assert check_timed_signature(BODY, timed(f"0{STAMP}"), SECRETS, NOW) == NOW


def test_two_signed_times__are_one_too_many() -> None:
    with pytest.raises(NotSignedIn) as refused:
        check_timed_signature(BODY, f"t={STAMP},{timed(STAMP)}", SECRETS, NOW)
    assert refused.value.code == "bad-signature"


def test_header__has_at_most_2048_characters() -> None:
    padded = f"{timed(STAMP)},v0="
    assert check_timed_signature(BODY, padded.ljust(2048, "a"), SECRETS, NOW) == NOW
    with pytest.raises(NotSignedIn) as refused:
        check_timed_signature(BODY, padded.ljust(2049, "a"), SECRETS, NOW)
    assert refused.value.code == "signature-missing"

    prefix = "a" * (2048 - 64)
    check_signature(BODY, prefix + digest(BODY), SECRETS, NOW, prefix=prefix)
    with pytest.raises(NotSignedIn) as refused:
        check_signature(BODY, f"a{prefix}{digest(BODY)}", SECRETS, NOW, prefix=f"a{prefix}")
    assert refused.value.code == "bad-signature"


def test_parts_and_headers__are_looked_at_up_to_16() -> None:
    wrong, right = "0" * 64, digest(BODY)
    check_any_signature(BODY, [*[wrong] * 15, right], SECRETS, NOW, encoding="hex")
    with pytest.raises(NotSignedIn):
        check_any_signature(BODY, [*[wrong] * 16, right], SECRETS, NOW, encoding="hex")


def test_hub_without_a_usable_secret__says_to_come_back_in_an_hour() -> None:
    for secrets in ((), (Secret("env:SHORT", lambda _: "fifteen letters"),)):
        with pytest.raises(Unavailable) as refused:
            signing_secrets(secrets)
        assert refused.value.retry_after == 3600
