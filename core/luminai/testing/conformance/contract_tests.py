"""The contract suites over what one plugin provides; run by pytest in a process of its own, which is told the plugin in a file."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import Struct

from luminai.contracts.ai import AIProvider, ChatMessage, ChatRequest
from luminai.contracts.payment import AuthorizeRequest, Money, PaymentProvider
from luminai.contracts.persona import Persona
from luminai.contracts.resonance import ResonanceCalculator
from luminai.contracts.storage import StorageBackend
from luminai.host.discovery import InstalledPlugin
from luminai.testing.ai_suite import AIProviderContract
from luminai.testing.calculator_suite import CalculatorContract
from luminai.testing.conformance.gold_rules import SUBJECT_VARIABLE
from luminai.testing.conformance.subject import Subject
from luminai.testing.media_suite import MediaProviderContract
from luminai.testing.payment_suite import PaymentContract
from luminai.testing.persona_suite import PersonaContract
from luminai.testing.storage_suite import StorageContract


class _Told(Struct):
    plugin: InstalledPlugin
    installed: list[InstalledPlugin]
    settings: dict[str, Any]


def _subject() -> Subject:
    told = msgspec.json.decode(Path(os.environ[SUBJECT_VARIABLE]).read_bytes(), type=_Told)
    return Subject(told.plugin, told.installed, settings=told.settings)


SUBJECT = _subject()
OFFERED: dict[str, Sequence[Any]] = dict(SUBJECT.loaded.contributions)


@asynccontextmanager
async def _running(family: str, name: str, folder: Path) -> AsyncIterator[Any]:
    async with SUBJECT.hub(folder=folder) as hub:
        loaded = hub.hub.generation.loaded(SUBJECT.id)
        if loaded is None:
            raise RuntimeError(hub.status(SUBJECT.id).reason)
        yield next(one for one in loaded.contributions[family] if one.name == name)


class _Personas(PersonaContract):
    def personas(self) -> Sequence[Persona]:
        return OFFERED["personas"]


class _Calculators(CalculatorContract):
    def calculators(self) -> Sequence[ResonanceCalculator]:
        return OFFERED["resonance_calculators"]


def _storage(backend: StorageBackend) -> type:
    class Storage(StorageContract):
        def backend(self, folder: Path) -> AbstractAsyncContextManager[StorageBackend]:
            return _running("storage_backends", backend.name, folder)

    return Storage


def _chat(provider: AIProvider) -> type | None:
    model = next((model for model in provider.models() if "chat" in model.kinds), None)
    if model is None:
        return None
    name = model.id

    class Provider(AIProviderContract):
        def provider(self, folder: Path) -> AbstractAsyncContextManager[AIProvider]:
            return _running("ai_providers", provider.name, folder)

        def request(self) -> ChatRequest:
            return ChatRequest(model=name, messages=(ChatMessage("user", "What is a generation?"),))

    return Provider


def _media(provider: AIProvider) -> type | None:
    if not any(model.kinds - {"chat"} for model in provider.models()):
        return None

    class Provider(MediaProviderContract):
        def provider(self, folder: Path) -> AbstractAsyncContextManager[AIProvider]:
            return _running("ai_providers", provider.name, folder)

    return Provider


def _payments(provider: PaymentProvider) -> type:
    class Payments(PaymentContract):
        def provider(self, folder: Path) -> AbstractAsyncContextManager[PaymentProvider]:
            return _running("payment_providers", provider.name, folder)

        def request(self) -> AuthorizeRequest:
            assets = sorted(provider.capabilities().assets) or ["EUR"]
            return AuthorizeRequest(amount=Money(1000, "EUR" if "EUR" in assets else assets[0]), reference="order-1", method="card")

        async def deliver(self, _: PaymentProvider) -> tuple[bytes, Mapping[str, str], datetime]:
            pytest.skip("only the plugin's own tests can make a genuine delivery")

    return Payments


def _suites() -> Iterator[tuple[str, type | None]]:
    if OFFERED.get("personas"):
        yield "TestPersonas", _Personas
    if OFFERED.get("resonance_calculators"):
        yield "TestCalculators", _Calculators
    for number, backend in enumerate(OFFERED.get("storage_backends", ())):
        yield f"TestStorage{number}", _storage(backend)
    for number, provider in enumerate(OFFERED.get("ai_providers", ())):
        yield f"TestProvider{number}", _chat(provider)
        yield f"TestMedia{number}", _media(provider)
    for number, provider in enumerate(OFFERED.get("payment_providers", ())):
        yield f"TestPayments{number}", _payments(provider)


globals().update({name: suite for name, suite in _suites() if suite is not None})
