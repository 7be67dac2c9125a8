"""HTTP: frequencies, calculators, explanation of a value."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Annotated, Any

from litestar import get, post
from litestar.params import FromPath, JSONBody
from msgspec import Meta, Struct

from luminai import NotFound, Page, PastMessage, ResonanceCalculator, TurnEvidence, Unprocessable, page_cursor, page_limit, policy
from luminai_resonance.evaluation import Evaluation, Resonance
from luminai_resonance.frequencies import Frequency, all_frequencies, frequency_named

Text = Annotated[str, Meta(max_length=16_000)]
Share = Annotated[float, Meta(ge=0, le=1)]


class Said(Struct, forbid_unknown_fields=True):
    """An earlier utterance; ``age`` in seconds."""

    role: Annotated[str, Meta(pattern=r"^(user|assistant)\Z")]
    text: Text
    age: Annotated[float, Meta(ge=0, le=1e9)] = 0.0


class ExplainRequest(Struct, forbid_unknown_fields=True):
    """A turn to evaluate."""

    message: Text
    reply: Text = ""
    history: Annotated[list[Said], Meta(max_length=50)] = []
    calculator: Annotated[str, Meta(max_length=60)] | None = None
    signals: Annotated[dict[Annotated[str, Meta(max_length=40)], Share], Meta(max_length=20)] = {}
    active_frequencies: Annotated[list[Annotated[str, Meta(max_length=40)]], Meta(max_length=16)] | None = None
    previous_sessions: Annotated[int, Meta(ge=0, le=1_000_000)] | None = None
    sources: Annotated[int, Meta(ge=0, le=100)] = 0
    witness: bool = True


class CalculatorInfo(Struct):
    """A calculator and where its formula comes from."""

    name: str
    version: str
    title: str
    citation: str


def handlers(
    resonance: Resonance, calculators: Callable[[], Mapping[str, ResonanceCalculator]], run_sync: Callable[..., Awaitable[Any]]
) -> Sequence[Any]:
    """Return the route handlers."""

    @get("/api/frequencies", opt=policy(anonymous=True))
    async def list_frequencies(limit: page_limit = 16, cursor: page_cursor = None) -> Page[Frequency]:
        """List the 16 frequencies in their order."""
        every = all_frequencies()
        first = next((position + 1 for position, one in enumerate(every) if one.id == cursor), 0)
        page = every[first : first + limit]
        return Page(list(page), page[-1].id if page and first + limit < len(every) else None)

    @get("/api/frequencies/{frequency_id:str}", opt=policy(anonymous=True))
    async def show_frequency(frequency_id: FromPath[str]) -> Frequency:
        """Show one frequency."""
        try:
            return frequency_named(frequency_id)
        except Unprocessable as unknown:
            raise NotFound(unknown.detail, code=unknown.code, hint=unknown.hint) from None

    @get("/api/resonance/calculators", opt=policy(anonymous=True))
    async def list_calculators() -> Page[CalculatorInfo]:
        """List the calculators of this hub."""
        return Page([CalculatorInfo(one.name, one.version, one.title, one.citation) for one in calculators().values()])

    @post("/api/resonance/explain", opt=policy(anonymous=True), status_code=200)
    async def explain(data: JSONBody[ExplainRequest]) -> Evaluation:
        """Evaluate a turn and explain the value by its parts."""
        active = None if data.active_frequencies is None else tuple(dict.fromkeys(frequency_named(name).id for name in data.active_frequencies))
        evidence = TurnEvidence(
            message=data.message,
            reply=data.reply,
            history=tuple(PastMessage(said.role, said.text, said.age) for said in data.history),
            previous_sessions=data.previous_sessions,
            sources=data.sources,
            signals=data.signals,
            active_frequencies=active,
            filtered=active is not None and len(active) < len(all_frequencies()),
            witness=data.witness,
        )
        evaluation: Evaluation = await run_sync(resonance.evaluate, evidence, data.calculator)
        return evaluation

    return [list_frequencies, show_frequency, list_calculators, explain]
