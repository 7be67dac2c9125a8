# Generated from __init__.py by `make docs`; do not edit.
from luminai.testing import faults as faults
from luminai.testing import strategies as strategies
from luminai.testing.ai_suite import AIProviderContract as AIProviderContract
from luminai.testing.cache_suite import CacheContract as CacheContract
from luminai.testing.calculator_suite import CalculatorContract as CalculatorContract
from luminai.testing.clock import FrozenClock as FrozenClock
from luminai.testing.engine_suite import EngineContract as EngineContract
from luminai.testing.engine_suite import EngineWorld as EngineWorld
from luminai.testing.fleet import Fleet as Fleet
from luminai.testing.fleet import Node as Node
from luminai.testing.harness import HubUnderTest as HubUnderTest
from luminai.testing.harness import running_hub as running_hub
from luminai.testing.media_suite import MediaProviderContract as MediaProviderContract
from luminai.testing.memory_payments import MemoryPayments as MemoryPayments
from luminai.testing.memory_storage import MemoryStorage as MemoryStorage
from luminai.testing.network import NetworkBlocked as NetworkBlocked
from luminai.testing.network import NetworkGuard as NetworkGuard
from luminai.testing.payment_suite import PaymentContract as PaymentContract
from luminai.testing.persona_suite import PersonaContract as PersonaContract
from luminai.testing.records import Records as Records
from luminai.testing.records import matching as matching
from luminai.testing.records import one_matching as one_matching
from luminai.testing.sample_providers import WordCalculator as WordCalculator
from luminai.testing.sample_providers import sample_persona as sample_persona
from luminai.testing.schema import config_schema as config_schema
from luminai.testing.scripted_provider import Cut as Cut
from luminai.testing.scripted_provider import Hang as Hang
from luminai.testing.scripted_provider import ScriptedProvider as ScriptedProvider
from luminai.testing.scripted_provider import Wait as Wait
from luminai.testing.seeds import seeded as seeded
from luminai.testing.storage_suite import StorageContract as StorageContract

__all__ = [
    "AIProviderContract",
    "CacheContract",
    "CalculatorContract",
    "Cut",
    "EngineContract",
    "EngineWorld",
    "Fleet",
    "FrozenClock",
    "Hang",
    "HubUnderTest",
    "MediaProviderContract",
    "MemoryPayments",
    "MemoryStorage",
    "NetworkBlocked",
    "NetworkGuard",
    "Node",
    "PaymentContract",
    "PersonaContract",
    "Records",
    "ScriptedProvider",
    "StorageContract",
    "Wait",
    "WordCalculator",
    "config_schema",
    "faults",
    "matching",
    "one_matching",
    "running_hub",
    "sample_persona",
    "seeded",
    "strategies",
]
