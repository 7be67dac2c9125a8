"""A strict twin of Stripe: it keeps state, forgets no idempotency key, and refuses where Stripe refuses."""

from stripe_twin.server import StripeTwin, running_twin

__all__ = ["StripeTwin", "running_twin"]
