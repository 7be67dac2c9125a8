"""No request that fits the hub's own document, or breaks it, gets an answer that the document does not state."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fuzzing import cases, failed_requests, full_hub, fuzz, generated, operations, operator_key
from home import Home

SEED = 20_261_121
GENERATED = {"openai.chat", "openai.responses", "openai.images", "anthropic.messages", "gemini.generate", "models.test"}


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    with full_hub(tmp_path_factory.mktemp("fuzz")) as home:
        yield home


@pytest.mark.shows("LK-44", "LW-58", "TL-142a")
@pytest.mark.parametrize(("who", "examples", "least"), [("operator", 3, 8000), ("anonymous", 2, 3500)])
def test_every_operation__keeps_to_its_document(hub: Home, tmp_path: Path, who: str, examples: int, least: int) -> None:
    key = operator_key(hub) if who == "operator" else ""
    before = len(failed_requests(hub))
    code, report = fuzz(hub, tmp_path, key=key, examples=examples, seed=SEED, sparse=True)
    assert code == 0, report[-20_000:]
    assert cases(report) > least
    chosen, asked = operations(report)
    assert chosen == asked > 290
    assert not key or generated(hub, key) >= GENERATED, "calls to models are answered too, not only refused"
    unsealed = [line for line in failed_requests(hub)[before:] if "/api/admin/audit/aud_" not in line]
    assert unsealed == []
