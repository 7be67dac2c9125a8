"""Fixtures of the tests of HTTP."""

from outbound_world import runner, world

__all__ = ["runner", "world"]
