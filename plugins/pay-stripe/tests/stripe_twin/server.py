"""The twin on a real socket: keys, idempotency, faults, and signed webhooks. Source: https://docs.stripe.com/api/idempotent_requests, /webhooks."""

from __future__ import annotations

import asyncio
import copy
import hashlib
import hmac
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

from aiohttp import web

from stripe_twin.book import Book
from stripe_twin.errors import Refused, missing
from stripe_twin.forms import check, parse

API_KEY = "sk_test_twin_key_of_the_tests"
SECRET = "whsec_first_secret_of_the_twin"
Fault = Literal["lost", "500", "429", "409"]


class StripeTwin:
    """The server's state, and its levers.

    Attributes:
        faults: What happens to the next writing requests: ``lost``: done, but the connection is cut; a status: refused with it, and not done.
        requests: Method, path and idempotency key of what came.
    """

    def __init__(self) -> None:
        self.book = Book()
        self.url = ""
        self.faults: list[Fault] = []
        self.requests: list[tuple[str, str, str]] = []
        self._keys: dict[tuple[str, str], tuple[str, int, bytes]] = {}
        self._running: set[tuple[str, str]] = set()
        self._delivered = 0

    def deliveries(self, *, at: float, copies: int = 1, order: Literal["made", "reversed"] = "made", secret: str = SECRET) -> list[tuple[bytes, str]]:
        """Return bodies and signatures of the events since the last call: each ``copies`` times, in an order that Stripe does not promise."""
        fresh = self.book.events[self._delivered :]
        self._delivered = len(self.book.events)
        bodies = [json.dumps(event).encode() for event in fresh for _ in range(copies)]
        return [(body, self.sign(body, at, secret)) for body in (bodies if order == "made" else reversed(bodies))]

    @staticmethod
    def sign(body: bytes, at: float, secret: str = SECRET) -> str:
        """Return the value of ``Stripe-Signature``."""
        digest = hmac.new(secret.encode(), f"{int(at)}.".encode() + body, hashlib.sha256).hexdigest()
        return f"t={int(at)},v1={digest}"

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        key, body = request.headers.get("idempotency-key", ""), (await request.text())
        self.requests.append((request.method, request.path, key))
        try:
            if request.headers.get("authorization") != f"Bearer {API_KEY}":
                raise Refused(401, "", "Invalid API Key provided", kind="invalid_request_error")
            if request.method == "GET":
                return self._json(200, self._get(request.path, parse(request.query_string)))
            return await self._write(request, key, body)
        except Refused as refused:
            return self._json(refused.status, refused.body)

    async def _write(self, request: web.Request, key: str, body: str) -> web.StreamResponse:
        fault = self.faults.pop(0) if self.faults else None
        if fault in ("500", "429", "409"):
            raise Refused(int(fault), "lock_timeout" if fault == "409" else "", "not now", kind="api_error")
        account = request.headers.get("stripe-account", "")
        name, print_ = (account, key), f"{request.method} {request.path}\n{body}"
        if key and name in self._running:
            raise Refused(409, "idempotency_key_in_use", "There is currently another in-progress request using this key.", kind="idempotency_error")
        if key and name in self._keys:
            before, status, answer = self._keys[name]
            if before != print_:
                message = "Keys for idempotent requests can only be used with the same parameters they were first used with."
                raise Refused(400, "", message, kind="idempotency_error")
            return web.Response(status=status, body=answer, headers={"content-type": "application/json", "idempotent-replayed": "true"})
        self._running.add(name)
        try:
            await asyncio.sleep(0)
            status, answer = self._done(request.method, request.path, parse(body), account)
            if key and status != 400:
                self._keys[name] = (print_, status, answer)
        finally:
            self._running.discard(name)
        if fault == "lost" and request.transport is not None:
            request.transport.abort()
        return web.Response(status=status, body=answer, headers={"content-type": "application/json"})

    def _done(self, method: str, path: str, params: dict[str, Any], account: str) -> tuple[int, bytes]:
        try:
            return 200, self._encode(self._post(method, path, params, account), params)
        except Refused as refused:
            if not refused.kept:
                raise
            return refused.status, json.dumps(refused.body).encode()

    def _post(self, method: str, path: str, params: dict[str, Any], account: str) -> dict[str, Any]:
        book, parts = self.book, path.removeprefix("/v1/").split("/")
        plain: dict[str, Callable[[], dict[str, Any]]] = {
            "customers": lambda: self._kept("customer", "cus", params, "email", "name"),
            "accounts": lambda: self._kept("account", "acct", params, "type", "country", "capabilities", "email", _balance={}),
            "account_links": lambda: self._link(params),
            "setup_intents": lambda: self._setup(params),
            "payment_intents": lambda: book.create_intent(params),
            "refunds": lambda: book.refund(params),
            "transfers": lambda: book.create_transfer(params),
            "payouts": lambda: book.create_payout(params, account),
            "subscriptions": lambda: book.subscribe(params),
            "prices": lambda: self._kept("price", "price", params, "currency", "unit_amount", "recurring", "product"),
            "billing_portal/sessions": lambda: self._portal(params),
        }
        if method == "POST" and "/".join(parts) in plain:
            return plain["/".join(parts)]()
        match (method, *parts):
            case ("POST", "payment_intents", ref, "capture"):
                return book.capture(ref, params)
            case ("POST", "payment_intents", ref, "cancel"):
                return book.cancel(ref, params)
            case ("POST", "payment_methods", ref, "detach"):
                found = book.find("payment_method", ref)
                del book.objects["payment_method"][ref]
                return found
            case ("POST", "transfers", ref, "reversals"):
                return book.reverse(ref, params)
            case ("POST", "disputes", ref):
                return book.answer_dispute(ref, params)
            case ("POST", "subscriptions", ref):
                return book.update_subscription(ref, params)
            case ("DELETE", "subscriptions", ref):
                return book.end_subscription(ref)
        raise Refused(404, "", f"Unrecognized request URL ({method}: {path})")

    def _get(self, path: str, params: dict[str, Any]) -> dict[str, Any]:
        book, parts = self.book, path.removeprefix("/v1/").split("/")
        kinds = {"payment_intents": "payment_intent", "refunds": "refund", "transfers": "transfer", "events": "event", "disputes": "dispute"}
        if len(parts) == 1 and parts[0] in kinds:
            same = {"payment_intent": params["payment_intent"]} if "payment_intent" in params else {}
            return self._shown(book.listed(kinds[parts[0]], params, **same), params)
        match parts:
            case ["balance"]:
                return {"object": "balance", "available": [], "pending": [], "livemode": False}
            case ["payment_intents", ref]:
                return self._shown(book.show_intent(ref), params)
            case [kind, ref] if kind in ("customers", "transfers", "setup_intents", "payment_methods", "subscriptions", "refunds", "payouts"):
                return self._shown(book.find(kind.removesuffix("s"), ref), params)
        raise Refused(404, "", f"Unrecognized request URL (GET: {path})")

    def _kept(self, kind: str, prefix: str, params: dict[str, Any], *names: str, **more: Any) -> dict[str, Any]:
        check(params, *names)
        return self.book.new(kind, prefix, **params, **more)

    def _setup(self, params: dict[str, Any]) -> dict[str, Any]:
        check(params, "customer", "usage", "payment_method_types")
        customer = self.book.find("customer", params.get("customer", ""), "customer")
        more = {"customer": customer["id"], "status": "requires_payment_method", "payment_method": None, "metadata": params.get("metadata", {})}
        made = self.book.new("setup_intent", "seti", **more)
        made["client_secret"] = f"{made['id']}_secret_x"
        return made

    def give_method(self, setup: str) -> str:
        """Let the payer give a card to Stripe's form."""
        found = self.book.find("setup_intent", setup)
        method = self.book.new("payment_method", "pm", customer=found["customer"], type="card")
        found |= {"status": "succeeded", "payment_method": method["id"]}
        ref: str = method["id"]
        return ref

    def _link(self, params: dict[str, Any]) -> dict[str, Any]:
        check(params, "account", "refresh_url", "return_url", "type")
        self.book.find("account", params.get("account", ""), "account")
        return {"object": "account_link", "created": self.book.now, "url": f"https://connect.stripe.example/setup/{params['account']}"}

    def _portal(self, params: dict[str, Any]) -> dict[str, Any]:
        check(params, "customer", "return_url")
        customer = self.book.find("customer", params.get("customer", ""), "customer")
        return self.book.new("billing_portal.session", "bps", url=f"https://billing.stripe.example/p/{customer['id']}", customer=customer["id"])

    def _shown(self, found: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
        """Return a copy with what ``expand`` names in place of its id."""
        shown: dict[str, Any] = _public(found)
        for path in (params.get("expand") or {}).values():
            place = shown
            for name in path.split("."):
                ref = place.get(name)
                if isinstance(ref, str):
                    kind = {"latest_charge": "charge", "balance_transaction": "balance_transaction"}.get(name)
                    if kind is None:
                        raise missing("expandable property", name, "expand")
                    place[name] = _public(self.book.find(kind, ref))
                if not place.get(name):
                    break
                place = place[name]
        return shown

    def _encode(self, found: dict[str, Any], params: dict[str, Any]) -> bytes:
        return json.dumps(self._shown(found, params)).encode()

    def _json(self, status: int, body: dict[str, Any]) -> web.Response:
        return web.Response(status=status, body=json.dumps(body).encode(), headers={"content-type": "application/json", "request-id": "req_1"})


def _public(found: Any) -> Any:
    if isinstance(found, dict):
        return {name: _public(value) for name, value in found.items() if not re.match(r"_", name)}
    return [_public(value) for value in found] if isinstance(found, list) else copy.copy(found)


@contextmanager
def running_twin() -> Iterator[StripeTwin]:
    """Run a twin on a free port of this machine, in a loop of its own."""
    twin, ready, loop = StripeTwin(), threading.Event(), asyncio.new_event_loop()

    async def begin() -> web.AppRunner:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", twin.handle)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        twin.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        return runner

    def serve() -> None:
        asyncio.set_event_loop(loop)
        runner = loop.run_until_complete(begin())
        ready.set()
        loop.run_forever()
        loop.run_until_complete(runner.cleanup())
        loop.close()

    thread = threading.Thread(target=serve, name="stripe-twin")
    thread.start()
    ready.wait(10)
    try:
        yield twin
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
