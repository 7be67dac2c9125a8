"""For the tests of plugins: a real hub in memory of the test, with only the named plugins."""

from luminai.testing.clock import FrozenClock
from luminai.testing.harness import HubUnderTest, running_hub

__all__ = ["FrozenClock", "HubUnderTest", "running_hub"]
