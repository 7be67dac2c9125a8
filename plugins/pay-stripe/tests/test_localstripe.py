"""A second opinion: localstripe, an independent imitation of Stripe, in a process of its own. It is lenient: it knows no idempotency keys, lets more
be refunded than was taken, and books a partial capture as a refund. So only what it does right is asked of it.
"""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("stripe", reason="the extra pay-stripe[sdk] is not installed")

from test_stripe import provider_of, stripe_hub

from luminai import AuthorizeRequest, Money, PaymentError, PaymentStatus
from luminai_pay_stripe import provider

PYTHON = Path(__file__).parents[3] / ".venv-peers" / "bin" / "python"
# its own command listens on all interfaces
SERVE = """
from aiohttp import web
from localstripe.server import app
import asyncio

async def main():
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print("port", runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""
CARD = {"type": "card", "card": {"number": "4242424242424242", "exp_month": "12", "exp_year": "2040", "cvc": "123"}}


def _is_installed() -> bool:
    return PYTHON.exists() and subprocess.run([PYTHON, "-c", "import localstripe"], capture_output=True, check=False).returncode == 0


pytestmark = pytest.mark.skipif(
    not os.environ.get("LUMINAI_REQUIRE_SERVICES") and not _is_installed(), reason="localstripe is not installed: run the tests with `make test`"
)


@pytest.fixture
def localstripe(tmp_path: Path) -> Iterator[str]:
    with subprocess.Popen([PYTHON, "-c", SERVE], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout
            found = re.fullmatch(r"port (\d+)\n", process.stdout.readline())
            assert found, "localstripe does not come up"
            yield f"http://127.0.0.1:{found[1]}"
        finally:
            process.terminate()


@pytest.fixture(autouse=True)
def _without_amount_received(monkeypatch: pytest.MonkeyPatch) -> None:
    """It leaves ``amount_received`` out, and expands nothing; what its list of charges says takes the place."""
    plain = provider._plain

    def filled(found: Any) -> dict[str, Any]:
        shown = plain(found)
        if shown.get("object") == "payment_intent":
            charge = next(iter(shown["charges"]["data"]), {})
            taken = charge.get("amount_captured", charge.get("amount", 0)) if charge.get("captured") and shown["status"] == "succeeded" else 0
            shown |= {"amount_received": taken, "latest_charge": charge | {"balance_transaction": None}}
        return shown

    monkeypatch.setattr(provider, "_plain", filled)


def test_localstripe__takes_captures_voids_and_refunds__as_the_contract_says(localstripe: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with stripe_hub(localstripe, tmp_path) as hub:
            stripe = provider_of(hub)
            (tmp_path / "key").write_text("sk_test_12345")

            async def pay(key: str, *, capture: bool = False) -> Any:
                method = await stripe._api.call(lambda client: client.v1.payment_methods.create_async(CARD))
                ask = AuthorizeRequest(amount=Money(1000, "EUR"), reference="order", method=method["id"], capture=capture)
                return await stripe.authorize(ask, key=key)

            held = await pay("a")
            assert held.status is PaymentStatus.AUTHORIZED
            assert (await stripe.capture(held.ref, None, key="c")).captured == 1000
            assert (await stripe.refund(held.ref, Money(200, "EUR"), key="r")).status is PaymentStatus.PARTIALLY_REFUNDED
            assert (await stripe.query(held.ref)).refunded == 200
            other = await pay("b")
            assert (await stripe.void(other.ref, key="v")).status is PaymentStatus.VOIDED
            assert (await pay("d", capture=True)).captured == 1000
            with pytest.raises(PaymentError) as unknown:
                await stripe.query("pi_none")
            assert unknown.value.definite

    asyncio.run(main())
