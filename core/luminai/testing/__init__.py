"""For the tests of plugins: a real hub in memory of the test, doubles that keep the contracts, faults, and the conformance suite.

Names load on first use: the pytest plugin of this package is part of every test run, and must not cost one that needs no hub.
"""

import sys
from importlib import import_module
from typing import Any, Final

FACE: Final[dict[str, tuple[str, ...]]] = {
    "luminai.testing.clock": ("FrozenClock",),
    "luminai.testing.harness": ("HubUnderTest", "running_hub"),
    "luminai.testing.network": ("NetworkBlocked", "NetworkGuard"),
    "luminai.testing.records": ("Records", "matching", "one_matching"),
    "luminai.testing.schema": ("config_schema",),
    "luminai.testing.seeds": ("seeded",),
    "luminai.testing.scripted_provider": ("Cut", "Hang", "ScriptedProvider", "Wait"),
    "luminai.testing.engine_suite": ("EngineContract", "EngineWorld"),
    "luminai.testing.fleet": ("Fleet", "Node"),
    "luminai.testing.cache_suite": ("CacheContract",),
    "luminai.testing.memory_storage": ("MemoryStorage",),
    "luminai.testing.memory_payments": ("MemoryPayments",),
    "luminai.testing.sample_providers": ("WordCalculator", "sample_persona"),
    "luminai.testing.ai_suite": ("AIProviderContract",),
    "luminai.testing.media_suite": ("MediaProviderContract",),
    "luminai.testing.storage_suite": ("StorageContract",),
    "luminai.testing.payment_suite": ("PaymentContract",),
    "luminai.testing.persona_suite": ("PersonaContract",),
    "luminai.testing.calculator_suite": ("CalculatorContract",),
}
_HOME: Final = {name: module for module, names in FACE.items() for name in names}
MODULES: Final = ("faults", "strategies")
__all__ = sorted([*_HOME, *MODULES])  # noqa: PLE0605 - built from the one table of public names


def __getattr__(name: str) -> Any:
    if name in MODULES:
        return import_module(f"{__name__}.{name}")
    module = _HOME.get(name)
    if module is None:
        raise AttributeError(f"module 'luminai.testing' has no public name {name!r}")
    value = getattr(import_module(module), name)
    setattr(sys.modules[__name__], name, value)
    return value


def __dir__() -> list[str]:
    return list(__all__)
