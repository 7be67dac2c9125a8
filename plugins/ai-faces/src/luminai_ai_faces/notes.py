"""What the hub says beside a reply: the field ``luminai`` of every dialect."""

from __future__ import annotations

from msgspec import Struct

from luminai import End, EndState, Source, Trace, Usage


class PersonaNote(Struct, frozen=True):
    """Which persona answered."""

    id: str
    title: str
    version: int


class ChipNote(Struct, frozen=True):
    """A small evidence label."""

    id: str
    label: str
    icon: str


class Notes(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the hub knows of a reply and the dialect has no word for.

    Attributes:
        end_state: How the reply ended: ``finished``, ``length``, ``filtered``; a broken one is an error.
        usage_origin: Whether the tokens are ``reported`` by the provider or ``estimated`` here.
        model: ``<provider>/<model>`` that answered, the last one where several did.
        call: Id of the record of the call.
        enforced: Who saw to the schema: ``provider``, ``hub``, or nobody: it was only ``asked`` for.
        cache: ``hit`` or ``kept``.
        seams: Models that went on where the one before broke off.
        ignored: Fields of the request that were passed over.
        covered: False: the model says that it had nothing to answer from.
        sources: What the reply cites.
        persona: Who answered; with it come ``R`` (0..1, two decimals) and the witness chips.
    """

    end_state: EndState
    usage_origin: str
    model: str = ""
    call: str = ""
    enforced: str = ""
    cache: str = ""
    seams: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    covered: bool = True
    sources: tuple[Source, ...] = ()
    persona: PersonaNote | None = None
    R: float | None = None
    witness_chips: tuple[ChipNote, ...] = ()


class Closing(Struct, frozen=True, kw_only=True):
    """The last event of an answer that came to a good end.

    Attributes:
        state: ``finished``, ``length`` or ``filtered``.
        stop: The text that ended the reply, "" when none did.
        calls_tools: The reply asks for tools.
    """

    state: EndState
    usage: Usage
    notes: Notes
    stop: str = ""
    calls_tools: bool = False


def answered_by(trace: Trace | None) -> str:
    """Return the model that the last words came from, "" when nobody says."""
    legs = [leg.model for leg in trace.legs if leg.state is not None] if trace is not None else []
    return legs[-1] if legs else ""


def usage_of(end: End) -> Usage:
    """Return the tokens of a call, 0 and estimated where nobody counted."""
    return end.usage or Usage(input_tokens=0, output_tokens=0, origin="estimated")
