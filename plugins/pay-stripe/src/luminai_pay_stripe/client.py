"""The official SDK over the hub's own HTTP client, so that Stripe is called under the plugin's grants like any other service.

The SDK is imported on first use: it costs half a second, and is an extra. Its own retries are off, because the caller repeats with the same key.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeVar

from luminai import ConfigRejected, HubError, PaymentError, PluginContext
from luminai_pay_stripe.config import PayStripeConfig

if TYPE_CHECKING:
    import stripe

T = TypeVar("T")
TIMEOUT: Final = 25.0
MAX_BYTES: Final = 8 * 1024 * 1024
_NOT_SENT: Final = "outbound-refused"


class StripeApi:
    """Holds the SDK's client for one generation of the plugin."""

    def __init__(self, ctx: PluginContext) -> None:
        self._ctx = ctx
        self._config: PayStripeConfig = ctx.config
        self._client: stripe.StripeClient | None = None

    async def client(self) -> Any:
        """Return the SDK's client.

        Raises:
            ConfigRejected: no key is set, or the SDK is not installed.
        """
        if self._client is None:
            self._client = await self._ctx.run_sync(self._make)
        return self._client

    async def call(self, ask: Callable[[Any], Awaitable[T]]) -> T:
        """Return what Stripe answers.

        Raises:
            PaymentError: definite for Stripe's own no; unknown for a lost answer, a failure on Stripe's side, or a key that is in use.
        """
        client = await self.client()
        try:
            return await ask(client)
        except Exception as error:
            raise translated(error) from error

    def _make(self) -> stripe.StripeClient:
        if self._config.api_key is None:
            raise ConfigRejected("No key of Stripe is set.", hint="Set api-key in [plugins.pay-stripe.config] to a reference such as env:STRIPE_KEY.")
        try:
            import stripe
        except ImportError:
            raise ConfigRejected("The SDK of Stripe is not installed.", hint='Install "luminai-pay-stripe[sdk]".') from None
        addresses: Any = {"api": self._config.api}
        key, http = self._config.api_key.reveal(), _over(self._ctx)
        return stripe.StripeClient(key, base_addresses=addresses, http_client=http, max_network_retries=0)


def translated(error: Exception) -> Exception:
    """Return what an error of the SDK or of the connection means under the contract; any other as it is."""
    if isinstance(error, HubError):
        return PaymentError(error.detail, definite=error.code == _NOT_SENT, code=error.code)
    if isinstance(error, PaymentError | ConfigRejected):
        return error
    import stripe

    if not isinstance(error, stripe.StripeError):
        return error
    status, code = error.http_status or 0, error.code or ""
    if isinstance(error, stripe.IdempotencyError):
        return PaymentError("this key was used with other arguments", definite=status == 400, code="idempotency-mismatch")
    if status == 429 and code != "lock_timeout":
        return PaymentError("too many requests", definite=True, code="rate-limited", retry_after=2.0)
    if status == 404 or code == "resource_missing":
        return PaymentError("Stripe does not know it", definite=True, code="not-found")
    is_no = 400 <= status < 500 and status not in (408, 409, 429)
    text = (error.user_message or "the answer was lost")[:300]
    return PaymentError(text, definite=is_no, code=(getattr(error, "decline_code", "") or code or "stripe-error")[:60])


def _over(ctx: PluginContext) -> Any:
    """Return an HTTP client for the SDK that sends through ``ctx.http``."""
    import stripe

    class HubClient(stripe.HTTPClient):
        name = "luminai"

        async def request_async(
            self,
            method: str,
            url: str,
            headers: Mapping[str, str],
            post_data: Any = None,
            *,
            _usage: list[str] | None = None,
        ) -> tuple[bytes, int, Mapping[str, str]]:
            body = post_data.encode() if isinstance(post_data, str) else post_data
            own = {name: value for name, value in headers.items() if name.lower() != "user-agent"} | {"user-agent": "LuminAI-Hub"}
            reply = await ctx.http.request(method.upper(), url, headers=own, body=body, timeout=TIMEOUT, max_bytes=MAX_BYTES)
            return reply.body, reply.status, _Headers(reply.headers)

        async def sleep_async(self, secs: float) -> None:
            await asyncio.sleep(secs)

        async def close_async(self) -> None:
            """Keep the connections: they are the hub's."""

        def close(self) -> None:
            """Keep the connections: they are the hub's."""

    return HubClient()


class _Headers(dict[str, str]):
    """Headers that are found whatever their case, as the SDK expects."""

    def __init__(self, given: Mapping[str, str]) -> None:
        super().__init__({name.lower(): value for name, value in given.items()})

    def __getitem__(self, name: str) -> str:
        return super().__getitem__(name.lower())

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and super().__contains__(name.lower())

    def get(self, name: str, default: Any = None) -> Any:
        """Return a header, or ``default``."""
        return super().get(name.lower(), default)
