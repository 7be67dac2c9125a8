"""There is one door out: no other module of the core or of a plugin makes an HTTP client."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CLIENTS = ("aiohttp", "httpx", "requests", "urllib3", "urllib.request", "http.client", "pycurl", "niquests", "tornado.httpclient")
ALLOWED = ("core/luminai/http/outbound/", "core/luminai/cli/client.py", "core/luminai/testing/fleet.py")  # the last asks hubs under test
"""The door itself, and the command, which talks to its hub."""


def clients_in(source: str) -> Iterator[str]:
    """Yield every HTTP client library that a module takes in: by any kind of import, also one by name."""
    for node in ast.walk(ast.parse(source)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in ("import_module", "__import__"):
            names = [one.value for one in node.args if isinstance(one, ast.Constant) and isinstance(one.value, str)]
        for name in names:
            if any(name == client or name.startswith(f"{client}.") for client in CLIENTS):
                yield name


def test_core_and_plugins__make_no_http_client_of_their_own() -> None:
    modules = [*ROOT.glob("core/luminai/**/*.py"), *ROOT.glob("plugins/*/src/**/*.py")]
    names = {path.relative_to(ROOT).as_posix(): path for path in modules}
    found = {name: list(clients_in(path.read_text())) for name, path in names.items()}
    wrong = [f"{name} takes in {', '.join(clients)}" for name, clients in found.items() if clients and not name.startswith(ALLOWED)]

    assert wrong == [], "Call other services with ctx.http, which refuses addresses that nobody granted."
    assert {name for name, clients in found.items() if clients} >= {"core/luminai/cli/client.py", "core/luminai/http/outbound/connections.py"}


@pytest.mark.parametrize(
    ("source", "is_client"),
    [
        ("import aiohttp", True),
        ("import os, httpx as h", True),
        ("from aiohttp import ClientSession", True),
        ("from aiohttp.client import ClientSession", True),
        ("import urllib.request", True),
        ("from urllib import request", True),
        ("from urllib.request import urlopen", True),
        ("from http import client", True),
        ("def later():\n    import requests", True),
        ("import importlib\nimportlib.import_module('httpx')", True),
        ("__import__('urllib3')", True),
        ("from http import HTTPStatus", False),
        ("from urllib.parse import urlsplit", False),
        ("import httpxyz", False),
        ("from luminai.http.requests import request_id", False),
    ],
)
def test_lint__finds_clients_and_nothing_else(source: str, is_client: bool) -> None:
    assert bool(list(clients_in(source))) == is_client
