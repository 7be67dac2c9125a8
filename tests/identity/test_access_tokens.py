"""A token holds only in the one form that the hub writes, signed by a key that it knows now."""

from __future__ import annotations

import base64
import json
import string
from collections.abc import Callable
from random import Random
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from identity.lives import Town, in_town

from luminai.identity.jwt import is_ours

ADA = "ada@example.org"
Parts = tuple[dict[str, Any], dict[str, Any]]


def encoded(value: Any) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def decoded(part: str) -> Any:
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


class Forge:
    """A good token, the key that signed it, and ways to make bad ones of them."""

    def __init__(self, token: str, key: Ed25519PrivateKey) -> None:
        self.token = token
        self.key = key
        head, body, self.signature = token.split(".")
        self.head, self.body = decoded(head), decoded(body)

    def signed(self, head: Any = None, body: Any = None, key: Any = None) -> str:
        """Sign whatever it is, rightly."""
        first = encoded(self.head if head is None else head) + "." + encoded(self.body if body is None else body)
        return f"{first}.{encoded((key or self.key).sign(first.encode()))}"

    def without(self, name: str) -> str:
        return self.signed(body={key: value for key, value in self.body.items() if key != name})

    def said(self, **claims: Any) -> str:
        return self.signed(body=self.body | claims)

    def headed(self, **fields: Any) -> str:
        return self.signed(head=self.head | fields)


def as_hmac(forge: Forge) -> str:
    """The public key as the secret of an HMAC: the oldest trick of all."""
    public = forge.key.public_key().public_bytes_raw()
    return jwt.encode(forge.body, public, algorithm="HS256", headers={"kid": forge.head["kid"], "typ": "at+jwt"})


def twice(forge: Forge) -> str:
    body = json.dumps(forge.body)[:-1] + ', "jti": "another"}'
    return forge.signed(body=body.encode())


BAD: dict[str, Callable[[Forge], str]] = {
    "alg none": lambda f: f"{encoded(f.head | {'alg': 'none'})}.{encoded(f.body)}.",
    "alg None": lambda f: f"{encoded(f.head | {'alg': 'None'})}.{encoded(f.body)}.{f.signature}",
    "public key as HMAC secret": as_hmac,
    "another key": lambda f: f.signed(key=Ed25519PrivateKey.generate()),
    "unknown kid": lambda f: f.headed(kid="sig_" + "0" * 32),
    "unknown crit": lambda f: f.headed(crit=["exp2"], exp2=1),
    "b64 false": lambda f: f.headed(b64=False, crit=["b64"]),
    "jku": lambda f: f.headed(jku="https://evil.example/keys"),
    "jwk": lambda f: f.headed(jwk={"kty": "OKP", "crv": "Ed25519", "x": encoded(f.key.public_key().public_bytes_raw())}),
    "x5u": lambda f: f.headed(x5u="https://evil.example/cert"),
    "x5c": lambda f: f.headed(x5c=["MII"]),
    "zip": lambda f: f.headed(zip="DEF"),
    "typ JWT": lambda f: f.headed(typ="JWT"),
    "typ of a challenge": lambda f: f.headed(typ="mfa+jwt"),
    "future nbf": lambda f: f.said(nbf=f.body["nbf"] + 31),
    "future iat": lambda f: f.said(iat=f.body["iat"] + 31, exp=f.body["exp"] + 31),
    "expired": lambda f: f.said(iat=f.body["iat"] - 631, nbf=f.body["nbf"] - 631, exp=f.body["iat"] - 31),
    "exp as text": lambda f: f.said(exp=str(f.body["exp"])),
    "exp 1e30": lambda f: f.said(exp=1e30),
    "exp infinite": lambda f: f.signed(body=json.dumps(f.body).replace(str(f.body["exp"]), "Infinity").encode()),
    "exp in a year": lambda f: f.said(exp=f.body["exp"] + 365 * 86400),
    "sub a number": lambda f: f.said(sub=7),
    "aud a list": lambda f: f.said(aud=[f.body["aud"], "other"]),
    "aud another": lambda f: f.said(aud="other"),
    "iss another": lambda f: f.said(iss="other"),
    "claims twice": twice,
    "more claims": lambda f: f.said(scope="*"),
    "another person": lambda f: f.said(sub="usr_" + "0" * 32),
    "another session": lambda f: f.said(sid="ses_" + "0" * 32),
    "trailing =": lambda f: f.token + "=",
    "not canonical": lambda f: f.token[:-1] + chr(ord(f.token[-1]) + 1),
    "body changed": lambda f: f"{encoded(f.head)}.{encoded(f.body | {'jti': 'other'})}.{f.signature}",
    "two trailing =": lambda f: f.token + "==",
    "claims of more than 3600 characters": lambda f: f.said(jti="x" * 2600),
    "claims that are a list": lambda f: f.signed(body=[f.body]),
    "longer than 4 KiB": lambda f: f.said(jti="x" * 4096),
    "deeply nested": lambda f: f.signed(body=b"[" * 1500 + b"]" * 1500),
} | {f"without {name}": (lambda f, name=name: f.without(name)) for name in ("exp", "iat", "nbf", "iss", "aud", "sub", "jti", "sid")}
"""The cases of the note on reliability, 6.6, and what they stand for."""


async def forge_of(town: Town) -> Forge:
    signed = await town.settle_in(ADA)
    _, private = await town.hub.hub.identity.signing_keys.signing()
    return Forge(signed["access_token"], private)


@pytest.mark.shows("LR-33", "LW-54", "PX-53")
def test_token__in_any_other_form__is_refused_with_one_answer() -> None:
    async def work(town: Town) -> None:
        forge = await forge_of(town)
        assert await town.holds(forge.token)
        assert await town.holds(forge.said()), "the forge signs what holds when nothing is changed"
        assert await town.holds(forge.said(jti="x" * 2000))
        ahead = forge.body["iat"] + 30
        assert await town.holds(forge.said(iat=ahead, nbf=ahead)), "clocks may differ by 30 s"
        wrong = {}
        for name, make in BAD.items():
            answer = await town.ask("GET", "/api/auth/verify", token=make(forge))
            if (answer.status, answer.json()["code"]) != (401, "bad-credential"):
                wrong[name] = (answer.status, answer.text)
        assert wrong == {}

    in_town(work)


def test_token__expires_with_thirty_seconds_of_leeway() -> None:
    async def work(town: Town) -> list[bool]:
        forge = await forge_of(town)
        found = []
        for seconds in (600, 29, 1):
            town.clock.advance(seconds)
            found.append(await town.holds(forge.token))
        return found

    assert in_town(work) == [True, True, False]


def test_token__is_judged_by_the_clock_of_the_hub_alone() -> None:
    async def work(town: Town) -> bool:
        town.clock.advance(50 * 365 * 86400)  # later than this machine thinks it is
        return await town.holds((await forge_of(town)).token)

    assert in_town(work)


def test_token__of_this_hub__is_told_from_those_of_others_by_its_header() -> None:
    head = {"kid": "sig_1", "typ": "at+jwt"}

    def parts(header: Any, rest: str = ".e30.c2ln") -> str:
        return encoded(header) + rest

    for filler in range(4):  # every length of the last group
        assert is_ours(parts(head | {"typ": "x" * filler}))
    assert is_ours(parts(head).ljust(4096, "A"))
    others = [parts(head).ljust(4097, "A"), parts(head, ".e30"), parts(head, ".e30.c2ln.c2ln"), parts({"typ": "at+jwt"}), parts({"kid": "key_1"})]
    others += [parts([head]), parts("sig_"), parts(b"sig_"), "a.e30.c2ln", ".e30.c2ln", "é.e30.c2ln", parts(b"[" * 3000 + b"]" * 10)]
    spare = encoded(b'{"kid":"sig_1"} ')  # 16 bytes in 22 characters: the last one has 4 bits to spare
    assert is_ours(f"{spare}.e30.c2ln")
    others.append(f"{spare[:-1]}{chr(ord(spare[-1]) + 1)}.e30.c2ln")
    assert [one[:80] for one in others if is_ours(one)] == []


def test_token__any_character_changed__is_refused() -> None:
    async def work(town: Town) -> list[int]:
        forge, random = await forge_of(town), Random(1)
        held = []
        for place, here in enumerate(forge.token):
            other = random.choice([one for one in string.ascii_letters + string.digits + "-_.=+/ " if one != here])
            if await town.holds(forge.token[:place] + other + forge.token[place + 1 :]):
                held.append(place)
        return held

    assert in_town(work) == []


def test_signing_key__rotated_twice__old_tokens_hold_for_their_time_and_no_longer() -> None:
    async def work(town: Town) -> None:
        keys = town.hub.hub.identity.signing_keys
        tokens, ids = [], []
        await town.register(ADA)
        for _ in range(3):
            tokens.append((await town.login(ADA))["access_token"])
            ids.append(decoded(tokens[-1].split(".")[0])["kid"])
            if len(tokens) < 3:
                assert (await town.operator("POST", "identity/rotate-keys")).status == 200
        assert len(set(ids)) == 3
        assert [await town.holds(token) for token in tokens] == [True] * 3
        states = {one["id"]: one["state"] for one in (await town.operator("GET", "identity/keys")).json()}
        assert [states[one] for one in ids] == ["retiring", "retiring", "active"]
        assert sorted(states.values()) == ["active", "next", "retiring", "retiring"]

        _, private = await keys.signing()
        assert private
        town.clock.advance(15 * 60)
        await town.hub.hub.identity.tidy()
        states = {one["id"]: one["state"] for one in (await town.operator("GET", "identity/keys")).json()}
        assert [states[one] for one in ids] == ["destroyed", "destroyed", "active"]

    in_town(work)


def test_signing_key__after_thirty_days__is_replaced_by_one_that_was_published_a_day_before() -> None:
    async def work(town: Town) -> list[tuple[str, str]]:
        await town.settle_in(ADA)
        found = []
        for days in (29, 1, 1):
            town.clock.advance(days * 86400)
            await town.hub.hub.identity.tidy()
            listed = (await town.operator("GET", "identity/keys")).json()
            found.append((next(one["id"] for one in listed if one["state"] == "active"), next(one["id"] for one in listed if one["state"] == "next")))
        return found

    first, second, third = in_town(work)
    assert second[0] == first[1]
    assert third == second


def test_retired_key__signs_a_token_that_would_still_be_young__is_refused() -> None:
    async def work(town: Town) -> list[bool]:
        signed = await town.settle_in(ADA)
        _, stolen = await town.hub.hub.identity.signing_keys.signing()
        await town.operator("POST", "identity/rotate-keys")
        found = []
        for minutes in (14, 1):
            town.clock.advance(minutes * 60)
            forge = Forge(signed["access_token"], stolen)
            now = int(town.clock.now().timestamp())
            found.append(await town.holds(forge.said(iat=now, nbf=now, exp=now + 600)))
        return found

    assert in_town(work) == [True, False]
