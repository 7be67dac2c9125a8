"""The fixtures of the pytest plugin, also where its entry point is not installed yet."""

import pytest

from luminai.testing.pytest_plugin import frozen_clock, hub_factory, luminai_hub, network_guard, records, seeded_ids

__all__ = ["frozen_clock", "hub_factory", "luminai_hub", "network_guard", "records", "seeded_ids"]


def pytest_configure(config: pytest.Config) -> None:
    """Name the marker."""
    config.addinivalue_line("markers", "luminai(*plugins, **options): plugins that the fixture luminai_hub enables")
