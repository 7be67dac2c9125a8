"""Stripe through its official SDK, against a strict twin on a real socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("stripe", reason="the extra pay-stripe[sdk] is not installed")

from stripe_twin import StripeTwin, running_twin
from stripe_twin.server import API_KEY, SECRET

from luminai import AuthorizeRequest, Money, PaymentError
from luminai.testing import PaymentContract, running_hub


def pay(method: str = "pm_card_visa", minor: int = 1000, *, capture: bool = True, asset: str = "EUR", **more: Any) -> AuthorizeRequest:
    return AuthorizeRequest(amount=Money(minor, asset), reference="order", method=method, capture=capture, **more)


@asynccontextmanager
async def stripe_hub(url: str, folder: Path, *others: str, **more: Any) -> AsyncIterator[Any]:
    """Run a hub whose Stripe is at ``url``."""
    for name, value in (("key", API_KEY), ("hook", SECRET), ("old", "whsec_an_older_secret_of_ours")):
        (folder / name).write_text(value)
    config = {
        "api": url,
        "api-key": f"file:{folder / 'key'}",
        "webhook-secrets": [f"file:{folder / 'hook'}", f"file:{folder / 'old'}"],
        "assets": ["EUR", "USD", "JPY", "BHD", "ISK"],
    }
    approve = ["secrets", "outbound:api.stripe.com", f"outbound:{url.removeprefix('http://')}"]
    given = {"pay-stripe": config} | more.pop("config", {})
    settings = {"plugins": {"pay-stripe": {"approve": approve}}}
    async with running_hub("pay-stripe", *others, config=given, settings=settings, folder=folder, **more) as hub:
        yield hub


def provider_of(hub: Any) -> Any:
    return hub.hub.generation.wiring.providers.payment_providers["stripe"]


def on_stripe(folder: Path, work: Any) -> Any:
    """Run ``work(provider, twin, hub)``."""

    async def main(twin: StripeTwin) -> Any:
        async with stripe_hub(twin.url, folder) as hub:
            twin.book.now = int(hub.hub.clock.now().timestamp())
            return await work(provider_of(hub), twin, hub)

    with running_twin() as twin:
        return asyncio.run(main(twin))


async def refused(call: Any) -> str:
    with pytest.raises(PaymentError) as found:
        await call
    assert found.value.definite, found.value
    return found.value.code


class TestContract(PaymentContract):
    @asynccontextmanager
    async def provider(self, folder: Path) -> AsyncIterator[Any]:
        with running_twin() as twin:
            async with stripe_hub(twin.url, folder) as hub:
                twin.book.now = int(hub.hub.clock.now().timestamp())
                self.twin, self.hub = twin, hub
                yield provider_of(hub)

    def request(self) -> AuthorizeRequest:
        return pay(capture=False)

    async def deliver(self, provider: Any) -> tuple[bytes, Mapping[str, str], datetime]:
        await provider.authorize(pay(), key="delivered")
        now = self.hub.hub.clock.now()
        body, signature = self.twin.deliveries(at=now.timestamp())[-1]
        return body, {"stripe-signature": signature}, now
