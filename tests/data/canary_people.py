"""Secrets of people and services, sent through a hub over its routes and through its settings."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from identity.lives import Town, second_factor
from identity.oidc_lives import SECRET, Browser, StrictProvider, oidc, strict_provider

from luminai.host.hub import Hub
from luminai.testing import HubUnderTest

MASTER_KEY = "Y2FuYXJ5LW1hc3Rlci1rZXktN2YzYzkxZDItNWU4YTE"
VARIABLES = ("SMTP_PASSWORD", "GITHUB_NOW", "GITHUB_BEFORE", "GITHUB_TOKEN")
DELIVERY = "0b989ba4-242f-11e5-81e1-c7b6966d2516"


def secret_of(what: str) -> str:
    """Return a secret that stands nowhere else."""
    return f"canary-{what.lower().replace('_', '-')}-7f3c91d2"


@contextmanager
def services(monkeypatch: pytest.MonkeyPatch) -> Iterator[StrictProvider]:
    """Serve a provider of identity that knows a person, and set the variables that ``tables`` refers to."""
    for name in VARIABLES:
        monkeypatch.setenv(f"CANARY_{name}", secret_of(name))
    monkeypatch.setenv("OIDC_TEST_SECRET", SECRET)
    monkeypatch.setenv("LUMINAI_MASTER_KEY", MASTER_KEY)
    with strict_provider() as provider:
        provider.person = {"sub": secret_of("sub"), "email": "canary-outside@example.org", "email_verified": True, "name": secret_of("outside-name")}
        yield provider


def tables(provider: StrictProvider) -> dict[str, Any]:
    """Return the settings of core and plugins that name those secrets."""
    github = {"secrets": ["env:CANARY_GITHUB_NOW", "env:CANARY_GITHUB_BEFORE"], "token": "env:CANARY_GITHUB_TOKEN"}
    mail = {"host": "localhost", "from-address": "hub@example.org", "security": "none", "port": 9}
    mail |= {"username": "hub", "password": "env:CANARY_SMTP_PASSWORD"}
    return {
        "identity": {"registration": "open", "verify-email": "off", "providers": {"strict": oidc(provider.url)}},
        "plugins": {
            "github": {"enabled": True, "approve": ["secrets", "webhooks"], "config": github},
            "mail": {"enabled": True, "approve": ["secrets", "network"], "config": mail},
        },
    }


async def plant_people(hub: Hub, operator: Any, provider: StrictProvider) -> tuple[dict[str, str], str]:
    """Live on the hub as people do; return every secret that went through it, and what the hub tells its operator of all that."""
    town = Town(HubUnderTest(hub), hub.clock)  # type: ignore[arg-type]
    email, name = "canary-person@example.org", secret_of("name")
    password, changed, wrong = secret_of("password"), secret_of("changed-password"), secret_of("wrong-password")
    settings = {name: secret_of(name) for name in VARIABLES}
    secrets = settings | {"client secret": SECRET, "master key": MASTER_KEY, "email": email, "name": name}
    secrets |= {"password": password, "changed password": changed, "wrong password": wrong}
    assert (await town.register(email, password, name=name)).status == 202
    first = await town.login(email, password, device=secret_of("device"))
    assert (await town.try_login(email, wrong)).status == 401
    secrets |= {"device": secret_of("device"), "access token": first["access_token"], "refresh token": first["refresh_token"]}
    secrets["signature of the access token"] = first["access_token"].rpartition(".")[2]
    totp, codes = await second_factor(town, first)
    secrets |= {"totp secret": totp, "recovery code": codes[0], "recovery code used": codes[1]}
    challenge = await town.login(email, password)
    entered = await town.post("mfa", {"mfa_token": challenge["mfa_token"], "code": codes[1], "cookie": False})
    assert entered.status == 200, entered.text
    secrets |= {"challenge": challenge["mfa_token"], "session token": entered.json()["access_token"]}
    secrets |= await _with_a_session(town, entered.json(), codes, password, changed)
    secrets |= await _letter(town, operator, email)
    secrets |= await _cookies(town, changed, email, codes)
    secrets |= await _elsewhere(town, provider)
    secrets |= await _delivery(town)
    return secrets, await _told(operator)


async def _with_a_session(town: Town, signed_in: Any, codes: list[str], password: str, changed: str) -> dict[str, str]:
    token = signed_in["access_token"]
    refreshed = await town.post("refresh", {"refresh_token": signed_in["refresh_token"]})
    assert refreshed.status == 200, refreshed.text
    head = {"idempotency-key": secret_of("idempotency").replace("canary", "key")}
    made = await town.ask("POST", "/api/users/keys", {"name": "mine", "scopes": ["chat:read"]}, token=token, headers=head)
    again = await town.ask("POST", "/api/users/keys", {"name": "mine", "scopes": ["chat:read"]}, token=token, headers=head)
    assert (made.status, again.headers.get("idempotency-replayed")) == (201, "true"), made.text
    assert made.json()["key"] == again.json()["key"]
    renamed = await town.ask("PATCH", "/api/users/profile", {"name": secret_of("renamed")}, token=token)
    exported = await town.ask("POST", "/api/users/me/export", {}, token=token)
    assert (renamed.status, exported.status) == (200, 200)
    assert secret_of("renamed") in exported.text
    body = {"password": password, "code": codes[2], "new_password": changed}
    answer = await town.ask("POST", "/api/auth/password/change", body, token=token)
    assert answer.status == 204, answer.text
    found = {"rotated refresh token": refreshed.json()["refresh_token"], "key in a kept answer": made.json()["key"]}
    return found | {"new name, also in an export": secret_of("renamed"), "recovery code beside a password": codes[2]}


async def _letter(town: Town, operator: Any, email: str) -> dict[str, str]:
    """Ask for a new password, and read the letter as an operator can."""
    assert (await town.post("password/forgot", {"email": email})).status == 202
    listed = (await operator.request("GET", "/api/admin/mail?limit=100")).json()["items"]
    letter = next(one for one in listed if one["title"] == "Choose a new password")
    text = (await operator.request("GET", f"/api/admin/mail/{letter['id']}")).text
    link = re.search(r"#token=([\w-]+)", text)
    assert link is not None, text
    assert (await town.post("verify", {"token": secret_of("bad-link")})).status == 401
    return {"reset link": link[1], "words of a letter": "Somebody, probably you, asked for a new password", "bad link": secret_of("bad-link")}


async def _cookies(town: Town, password: str, email: str, codes: list[str]) -> dict[str, str]:
    """Sign in as a browser does, which gets cookies."""
    challenge = (await town.post("login", {"email": email, "password": password})).json()
    answer = await town.post("mfa", {"mfa_token": challenge["mfa_token"], "code": codes[3]})
    assert answer.status == 200, answer.text
    values = re.findall(r"=([A-Za-z0-9._~-]{30,})", answer.headers["set-cookie"])
    assert values, answer.headers
    return {f"cookie {number}": value for number, value in enumerate(values)}


async def _elsewhere(town: Town, provider: StrictProvider) -> dict[str, str]:
    """Sign in through another service, and note what it handed over."""
    handed: list[Any] = []
    original = provider._token
    provider._token = lambda *given: handed.append(original(*given)) or handed[-1]  # type: ignore[method-assign, func-returns-value]
    async with Browser(town) as browser:
        left = await browser.leave("strict")
        back = await browser.consent(left)
        answer = await browser.come_back(back)
        assert answer.status_code == 302, answer.text
        assert await browser.session() is not None
        sent, returned = parse_qs(urlsplit(left).query), parse_qs(urlsplit(back).query)
        jar = {f"browser's cookie {one.name}": str(one.value) for one in browser.http.cookies.jar if len(str(one.value)) > 20}
    token = handed[0][1]
    found = {"id token": token["id_token"], "access token elsewhere": token["access_token"], "code elsewhere": returned["code"][0]}
    found |= {"state": sent["state"][0], "nonce": sent["nonce"][0], "outside name": secret_of("outside-name"), "outside sub": secret_of("sub")}
    return found | jar | {"outside address": "canary-outside@example.org"}


async def _delivery(town: Town) -> dict[str, str]:
    """Have a webhook delivered under the secret before this one, and one under a wrong one."""
    body = json.dumps({"zen": "Keep it logically awesome.", "hook_id": 1, "repository": {"full_name": "a/b"}}).encode()
    found = {}
    for key, status in ((secret_of("GITHUB_BEFORE"), 202), (secret_of("wrong-webhook-secret"), 401)):
        signature = hmac.new(key.encode(), body, hashlib.sha256).hexdigest()
        head = {"content-type": "application/json", "x-github-delivery": DELIVERY, "x-github-event": "ping"}
        head["x-hub-signature-256"] = f"sha256={signature}"
        answer = await town.hub.client().request("POST", "/api/webhook/github", body=body, headers=head)
        assert answer.status in (status, 200), answer.text
        found[f"signature answered {status}"] = signature
    await town.hub.hub.webhooks.settle()
    return found


async def _told(operator: Any) -> str:
    """Return what the audit log's export, the plugins' trace and the operator's pages tell."""
    trace = asyncio.ensure_future(operator.request("GET", "/api/admin/plugins/trace?seconds=1"))
    while not trace.done():
        await operator.request("POST", "/api/chat", json={"message": secret_of("traced")})
    pages = ("audit/export", "audit?limit=100", "webhooks", "repairs", "identity/keys", "privacy/map", "roles")
    told = [(await operator.request("GET", f"/api/admin/{page}")).text for page in pages]
    return "\n".join([trace.result().text, *told])
