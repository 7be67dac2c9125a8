"""How often who may call: the classes of ``[limits]``, and what an answer says about them."""

from __future__ import annotations

from hashlib import blake2s
from typing import Any, Final

from luminai.config.settings import LimitSettings, Rate
from luminai.contracts.errors import RateLimited
from luminai.contracts.identity import RoutePolicy
from luminai.data.rates import RateStore, Taken
from luminai.http.client_address import network_of
from luminai.http.requests import RequestState

ADDRESS: Final = "address"


class Limits:
    """Counts requests.

    Every request counts against its address before anybody looks at its credential; then against its class. The answer carries the class as
    ``RateLimit`` and ``RateLimit-Policy`` (draft-ietf-httpapi-ratelimit-headers).
    """

    def __init__(self, settings: LimitSettings, store: RateStore) -> None:
        named: dict[str, Any] = {
            name.replace("_", "-"): value for name in settings.__struct_fields__ if isinstance(value := getattr(settings, name), Rate)
        }
        self._rates: dict[str, Rate] = {**named, **settings.classes}
        self._policies = {name: b'"%b";q=%d;w=%d' % (name.encode(), rate.requests, round(rate.seconds)) for name, rate in self._rates.items()}
        self._store = store
        self.is_on = settings.enabled

    async def count_address(self, state: RequestState) -> None:
        """Count a request of which only the address is known.

        Raises:
            RateLimited: there were too many.
        """
        if self._rates[ADDRESS].requests:
            taken = await self._store.take(f"{ADDRESS}:{network_of(state.client)}", self._rates[ADDRESS])
            if not taken.passed:
                self._tell(state, ADDRESS, taken)
                raise _too_many(taken)

    async def count(self, state: RequestState, policy: RoutePolicy, handler: Any) -> None:
        """Count a request whose caller is known, against the route's class or the caller's own.

        A class that nobody has set is no reason to let everything through: the caller's own counts then.

        Raises:
            RateLimited: there were too many.
        """
        actor = state.actor
        own = "anonymous" if actor is None else "api-key" if actor.id.startswith("key_") else "person"
        name = policy.limit or own
        if name == ADDRESS:
            return
        rate = self._rates.get(name)
        if rate is None or (rate.per == "anonymous" and actor is not None):
            name, rate = own, self._rates[own]
        if not rate.requests:
            return
        caller = network_of(state.client) if actor is None or rate.per == "address" else actor.id if name == "api-key" else actor.subject
        place = f":{_route(state, handler)}" if rate.each_route else ""
        taken = await self._store.take(f"{name}:{caller}{place}", rate)
        self._tell(state, name, taken)
        if not taken.passed:
            raise _too_many(taken)

    def _tell(self, state: RequestState, name: str, taken: Taken) -> None:
        state.headers = (
            *state.headers,
            (b"ratelimit-policy", self._policies[name]),
            (b"ratelimit", b'"%b";r=%d;t=%d' % (name.encode(), taken.left, -(-taken.reset // 1))),
        )


def _route(state: RequestState, handler: Any) -> str:
    """Return the route's mark in a key: paths are longer than keys may be."""
    return blake2s(f"{state.method} {min(handler.paths)}".encode(), digest_size=16).hexdigest()


def _too_many(taken: Taken) -> RateLimited:
    return RateLimited("Too many requests.", hint="Wait as long as Retry-After says.", retry_after=max(1.0, taken.retry))
