"""The resonance value of a persona's reply."""

from __future__ import annotations

from msgspec.structs import replace

from luminai import PastMessage, Persona, PluginContext, TurnEvidence
from luminai_ai_faces.asking import Ask
from luminai_ai_faces.notes import ChipNote, Notes, PersonaNote
from luminai_resonance import Resonance

MAX_HISTORY = 50


async def evaluated(ctx: PluginContext, resonance: Resonance, notes: Notes, ask: Ask, persona: Persona, reply: str, latency: float | None) -> Notes:
    """Return the notes with who answered, R and the witness chips. The client's messages are the history; how old they are it does not say."""
    spoken = [one for one in ask.messages if one.role in ("user", "assistant") and one.content]
    asked = next((one for one in reversed(spoken) if one.role == "user"), None)
    earlier = spoken[: spoken.index(asked)] if asked is not None else spoken
    evidence = TurnEvidence(
        message=asked.content if asked is not None else "",
        reply=reply,
        history=tuple(PastMessage(one.role, one.content) for one in earlier[-MAX_HISTORY:]),
        persona=persona,
        sources=len(notes.sources),
        latency=latency,
    )
    found = await ctx.run_sync(resonance.evaluate, evidence)
    return replace(
        notes,
        persona=PersonaNote(persona.id, persona.title, persona.version),
        R=found.R,
        witness_chips=tuple(ChipNote(chip.id, chip.label, chip.icon) for chip in found.chips),
    )
