"""Samples of settings are what both the schema and the Struct take."""

from __future__ import annotations

import json
from typing import Annotated, Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import Meta, Struct, field

from luminai import Secret
from luminai.config.binding import bind, schema_of
from luminai.host.discovery import installed_plugins
from luminai.testing import strategies
from luminai.testing.conformance.settings import problems_of


class Inner(Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True):
    host_name: Annotated[str, Meta(pattern=r"^[a-z]+(\.[a-z]+)*$", max_length=30)]
    port: Annotated[int, Meta(ge=1, le=65535)] = 80


class Odd(Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True):
    key: Secret
    other_key: Secret | None = None
    mode: Literal["fast", "slow", 3] = "fast"
    share: Annotated[float, Meta(gt=0, lt=1)] = 0.5
    steps: Annotated[int, Meta(multiple_of=5, ge=5, le=500)] = 5
    names: Annotated[tuple[Annotated[str, Meta(min_length=1)], ...], Meta(max_length=3)] = ()
    limits: dict[str, Annotated[int, Meta(ge=0)]] = {}
    maybe: int | str | None = None
    inner: Inner = field(default_factory=lambda: Inner(host_name="a"))
    inners: list[Inner] = []


SCHEMAS = {plugin.id: plugin for plugin in installed_plugins() if plugin.schema_path.exists()}


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(strategies.from_schema(schema_of(Odd)))
def test_from_schema__struct_of_many_shapes__samples_fit_both(sample) -> None:
    assert problems_of(schema_of(Odd), sample, "odd") == []
    assert bind(Odd, sample, str).key.reference.startswith("env:")


@pytest.mark.parametrize("plugin", SCHEMAS)
def test_from_schema__every_installed_plugin__is_understood(plugin: str) -> None:
    schema = json.loads(SCHEMAS[plugin].schema_path.read_bytes())

    @settings(max_examples=25, deadline=None)
    @given(strategies.from_schema(schema))
    def check(sample) -> None:
        assert problems_of(schema, sample, plugin) == []

    check()


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_from_schema__seen_often__reaches_every_optional_key(data) -> None:
    sample = data.draw(strategies.from_schema(schema_of(Inner)))

    assert {"host-name"} <= sample.keys() <= {"host-name", "port"}


@pytest.mark.parametrize(
    "schema", [{"type": "string", "if": {}}, {"type": "tuple"}, {"type": "string", "format": "iri"}, {"$ref": "https://x.example/a"}]
)
def test_from_schema__not_understood__is_said(schema) -> None:
    with pytest.raises(NotImplementedError):
        strategies.from_schema(schema).validate()
