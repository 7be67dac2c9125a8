"""Lists of prices that others keep."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from luminai import InvalidInput
from luminai_ai_gateway.price_ask import price_ask
from luminai_ai_gateway.price_files import FilePrice, PriceFile, read_price_file

LITELLM: dict[str, Any] = {
    "sample_spec": {"litellm_provider": "one of …", "mode": "one of …", "input_cost_per_token": 0},
    "gpt-4o": {
        "litellm_provider": "openai",
        "mode": "chat",
        "input_cost_per_token": 2.5e-06,
        "output_cost_per_token": 1e-05,
        "cache_read_input_token_cost": 1.25e-06,
        "input_cost_per_token_batches": 1.25e-06,
    },
    "gemini/gemini-pro": {
        "litellm_provider": "gemini",
        "mode": "chat",
        "input_cost_per_token": 1.25e-06,
        "output_cost_per_token": 1e-05,
        "input_cost_per_token_above_200k_tokens": 2.5e-06,
    },
    "openai/half": {"litellm_provider": "openai", "mode": "chat", "input_cost_per_token": 1e-06},
    "openai/free": {"litellm_provider": "openai", "mode": "chat", "input_cost_per_token": 0.0, "output_cost_per_token": 0.0},
    "picture": {"litellm_provider": "openai", "mode": "image_generation", "output_cost_per_image": 0.04},
    "voice": {"litellm_provider": "elevenlabs", "mode": "audio_speech", "input_cost_per_character": 0.00018},
    "film": {"litellm_provider": "openai", "mode": "video_generation", "output_cost_per_second": 0.1},
    "twice": {"litellm_provider": "openai", "mode": "embedding", "input_cost_per_token": 2e-08},
    "openai/twice": {"litellm_provider": "openai", "mode": "embedding", "input_cost_per_token": 3e-08},
}
GENAI: list[Any] = [
    {
        "id": "google",
        "models": [
            {
                "id": "gemini-flash",
                "match": {"or": [{"starts_with": "gemini-flash"}, {"and": [{"contains": "flash"}, {"ends_with": "-exp"}]}, {"regex": ".*"}]},
                "prices": [
                    {"prices": {"input_mtok": {"base": 1, "tiers": [{"start": 200000, "price": 2}]}, "output_mtok": 4, "requests_kcount": 35}},
                    {"constraint": {"start_date": "2026-03-13"}, "prices": {"input_mtok": 0.5, "output_mtok": 4}},
                    {"constraint": {"start_time": "00:30:00Z", "end_time": "16:30:00Z"}, "prices": {"input_mtok": 0.1, "output_mtok": 1}},
                ],
            },
            {"id": "nothing", "match": {"equals": "nothing"}, "prices": {"tool_use_kcount": {"web": 1}}},
        ],
    }
]


def read(value: Any) -> PriceFile:
    return read_price_file(json.dumps(value).encode())


def of(file: PriceFile, model: str) -> dict[tuple[str, int], int]:
    return {(price.unit, price.above): price.micro for price in file.prices if price.model == model}


def test_litellms_list__is_read_in_whole_micro_dollars() -> None:
    file = read(LITELLM)
    assert of(file, "gpt-4o") == {("input_tokens", 0): 2_500_000, ("output_tokens", 0): 10_000_000, ("cached_input_tokens", 0): 1_250_000}
    assert of(file, "gemini-pro")["input_tokens", 200_000] == 2_500_000
    assert of(file, "picture") == {("images", 0): 40_000}
    assert of(file, "voice") == {("characters", 0): 180_000_000}
    assert of(file, "twice") == {("input_tokens", 0): 30_000}, "of two prices for one name the dearer"
    assert file.left_out == {"openai/half": "no price for output_tokens", "openai/film": "a model for video_generation"}


def test_genai_prices__are_read_with_their_dates_and_sizes() -> None:
    file = read(GENAI)
    march = datetime(2026, 3, 13, tzinfo=UTC)
    found = {(price.unit, price.above, price.start): price.micro for price in file.prices}
    assert found == {
        ("input_tokens", 0, None): 1_000_000,
        ("input_tokens", 200_000, None): 2_000_000,
        ("output_tokens", 0, None): 4_000_000,
        ("requests", 0, None): 35_000,
        ("input_tokens", 0, march): 500_000,
        ("input_tokens", 200_000, march): 500_000,
        ("output_tokens", 0, march): 4_000_000,
    }
    assert file.left_out == {"google/nothing": "no price in a unit that the hub counts"}


@pytest.mark.parametrize("bad", [-1e-06, "1e-06", True, [], 10.0])
def test_a_price_that_can_be_none__refuses_the_whole_file(bad: Any) -> None:
    with pytest.raises(InvalidInput) as caught:
        read({**LITELLM, "bad": {"litellm_provider": "openai", "mode": "chat", "input_cost_per_token": bad, "output_cost_per_token": 1e-06}})
    assert caught.value.code == "ai-gateway.price-file-refused"
    assert [item.pointer for item in caught.value.errors] == ["bad/input_cost_per_token"]


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"[]", b"{}", b"[1]", b"\xff", b'[{"id":"x","models":[1]}]'],
)
def test_another_file__is_refused(data: bytes) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_price_file(data)
    assert caught.value.code.startswith("ai-gateway.price-file-")


def test_not_a_number__is_no_price() -> None:
    for word in ("NaN", "Infinity", "-Infinity"):
        text = f'{{"m": {{"litellm_provider": "openai", "mode": "embedding", "input_cost_per_token": {word}}}}}'
        with pytest.raises(InvalidInput):
            read_price_file(text.encode())


def test_an_import__takes_what_is_chosen_under_the_hubs_names() -> None:
    offered = ["gemini/gemini-flash-002", "gemini/other-flash-exp", "gemini/unlike", "openai/gpt-4o"]
    body, left_out = price_ask(json.dumps(GENAI).encode(), only=("google",), names={"google": "gemini"}, offered=offered, with_free=False)
    assert [(one["provider"], one["model"]) for one in body["models"]] == [
        ("gemini", "gemini-flash"),
        ("gemini", "gemini-flash-002"),
        ("gemini", "other-flash-exp"),
    ]
    assert left_out == {"google/nothing": "no price in a unit that the hub counts"}


def test_prices_of_nothing__are_taken_only_when_asked_for() -> None:
    data = json.dumps(LITELLM).encode()
    body, left_out = price_ask(data, only=("openai",), names={}, offered=[], with_free=False)
    assert "free" not in {one["model"] for one in body["models"]}
    assert "openai/free" in left_out
    body, _ = price_ask(data, only=("openai",), names={}, offered=[], with_free=True)
    assert "free" in {one["model"] for one in body["models"]}


def test_a_tiny_price__is_rounded_up_and_never_to_nothing() -> None:
    file = read({"m": {"litellm_provider": "x", "mode": "embedding", "input_cost_per_token": 1e-15}})
    assert file.prices == [FilePrice(provider="x", model="m", unit="input_tokens", micro=1)]
