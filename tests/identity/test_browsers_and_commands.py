"""A served hub: what browsers are given and may send, and what operators type."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http.client import HTTPConnection
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import urlsplit

import pytest
from home import Home
from identity.lives import OTHER, PASSWORD

COOKIE = "luminai_refresh"


class Browser:
    """Keeps cookies, as far as the hub sets them for this machine."""

    def __init__(self, home: Home) -> None:
        self._netloc = urlsplit(home.env["LUMINAI_URL"]).netloc
        self.origin = home.env["LUMINAI_URL"]
        self.cookies: SimpleCookie = SimpleCookie()

    def post(self, path: str, body: Any, headers: Mapping[str, str] | None = None) -> tuple[int, Any]:
        connection = HTTPConnection(self._netloc, timeout=30)
        held = "; ".join(f"{name}={one.value}" for name, one in self.cookies.items())
        sent = {"content-type": "application/json", **({"cookie": held} if held else {}), **(headers or {})}
        connection.request("POST", path, json.dumps(body), sent)
        response = connection.getresponse()
        for line in response.headers.get_all("set-cookie") or []:
            self.cookies.load(line)
        raw = response.read()
        connection.close()
        return response.status, json.loads(raw) if raw else None


@pytest.mark.shows("LR-33", "LW-55", "LW-61", "LW-D13", "PX-50", "PX-51", "TL-142d")
def test_browser__refresh_token_is_in_a_cookie_that_only_our_own_pages_can_use(served: Home) -> None:
    browser = Browser(served)
    assert browser.post("/api/auth/register", {"email": "web@example.org", "password": PASSWORD})[0] == 202
    status, signed = browser.post("/api/auth/login", {"email": "web@example.org", "password": PASSWORD})
    assert (status, signed["refresh_token"]) == (200, "")
    first = browser.cookies[COOKIE]
    assert (first["httponly"], first["samesite"].lower(), first["path"]) == (True, "strict", "/")
    assert not first["secure"], "this machine, plain HTTP"

    for headers in (
        {},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "cross-site", "origin": browser.origin},
        {"origin": "null"},
        {"origin": "http://evil.example"},
        {"origin": browser.origin.replace("http:", "https:")},
        {"origin": browser.origin + "0"},
    ):
        assert browser.post("/api/auth/refresh", {}, headers)[1]["code"] == "cross-site", headers
        assert browser.post("/api/auth/logout", {}, headers)[1]["code"] == "cross-site", headers
    token = first.value
    for headers in ({"sec-fetch-site": "same-origin"}, {"sec-fetch-site": "none"}, {"origin": browser.origin}):
        status, signed = browser.post("/api/auth/refresh", {}, headers)
        assert (status, signed["refresh_token"]) == (200, "")
        assert browser.cookies[COOKIE].value != token
        token = browser.cookies[COOKIE].value
    assert browser.post("/api/auth/password/change", {"password": PASSWORD, "new_password": OTHER}, {"sec-fetch-site": "same-origin"})[0] == 401

    assert browser.post("/api/auth/logout", {}, {"sec-fetch-site": "same-origin"})[0] == 204
    assert browser.cookies[COOKIE].value == ""
    assert browser.post("/api/auth/refresh", {"refresh_token": token})[1]["code"] == "session-ended"


def test_program__asks_for_no_cookie__gets_the_token_in_the_body_and_needs_no_origin(served: Home) -> None:
    program = Browser(served)
    program.post("/api/auth/register", {"email": "cli@example.org", "password": PASSWORD})
    _, signed = program.post("/api/auth/login", {"email": "cli@example.org", "password": PASSWORD, "cookie": False})
    assert not program.cookies
    assert program.post("/api/auth/refresh", {"refresh_token": signed["refresh_token"]})[0] == 200
    assert not program.cookies


@pytest.mark.shows("PX-28")
def test_operator__runs_people_from_the_command_line(served: Home) -> None:
    made = served.data("people", "invite", "ada@example.org", "--name", "Ada", "--role", "viewer")
    person = made["person"]["id"]
    assert Browser(served).post("/api/auth/password/reset", {"token": made["token"], "password": PASSWORD})[0] == 204
    assert served.data("people", "show", "ada@example.org")["roles"] == ["viewer"]
    assert served.data("people", "roles", "give", person, "viewer", "member")["roles"] == ["member", "viewer"]
    assert served.data("people", "suspend", "ada@example.org")["status"] == "suspended"
    assert [one["id"] for one in served.data("people", "list", "--status", "suspended")] == [person]
    assert served.data("people", "restore", person)["status"] == "active"
    assert served.data("people", "roles", "set", "asker", "--title", "Asks", "--scope", "chat:write")["scopes"] == ["chat:write"]
    assert "asker" in [one["name"] for one in served.data("people", "roles", "list")]
    assert served.refusal("people", "show", "nobody@example.org")[1] == "person-not-found"
    before = {one["id"]: one["state"] for one in served.data("identity", "keys")}
    active = served.data("identity", "rotate-keys")["id"]
    after = {one["id"]: one["state"] for one in served.data("identity", "keys")}
    assert (before[active], after[active]) == ("next", "active")


def test_person__with_an_account__uses_the_product(served: Home) -> None:
    browser = Browser(served)
    browser.post("/api/auth/register", {"email": "talk@example.org", "password": PASSWORD})
    _, signed = browser.post("/api/auth/login", {"email": "talk@example.org", "password": PASSWORD})
    bearer = {"authorization": f"Bearer {signed['access_token']}"}
    status, answer = browser.post("/api/chat", {"message": "What is a generation?"}, bearer)
    assert status in (200, 201), answer
    assert answer["session_id"], "saved, because a person asks and not anybody"
