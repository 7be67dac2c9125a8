"""What goes over the wire."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from msgspec import Meta, Struct

from luminai import Problem, ResonancePart, Source, Usage

MAX_MESSAGE = 16_000
MAX_PLAYGROUND_MESSAGE = 2_000

SessionId = Annotated[str, Meta(pattern=r"^ses_[0-9a-f]{32}\Z")]
MessageId = Annotated[str, Meta(pattern=r"^msg_[0-9a-f]{32}\Z")]
Share = Annotated[float, Meta(ge=0, le=1)]


class ChatContext(Struct, frozen=True, forbid_unknown_fields=True):
    """What a client knows of the moment. ``signals`` are inputs of the resonance value in 0..1."""

    signals: Annotated[dict[Annotated[str, Meta(max_length=40)], Share], Meta(max_length=20)] = {}
    active_frequencies: Annotated[tuple[Annotated[str, Meta(max_length=40)], ...], Meta(max_length=16)] | None = None
    witness: bool = True
    locale: Annotated[str, Meta(max_length=35)] = ""


class ChatAsk(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A question. Without ``session_id`` it opens a session; ``parent_id`` continues from an earlier message (a branch)."""

    message: Annotated[str, Meta(min_length=1, max_length=MAX_MESSAGE)]
    session_id: SessionId | None = None
    parent_id: MessageId | None = None
    persona: Annotated[str, Meta(min_length=1, max_length=60)] | None = None
    model: Annotated[str, Meta(min_length=1, max_length=200)] | None = None
    calculator: Annotated[str, Meta(min_length=1, max_length=60)] | None = None
    user_id: Annotated[str, Meta(max_length=120)] | None = None
    context: ChatContext = ChatContext()


class PersonaRef(Struct, frozen=True):
    """Who answered."""

    id: str
    title: str
    version: int


class BadgeView(Struct, frozen=True):
    """How R is shown."""

    state: str
    pulse: bool


class ChipView(Struct, frozen=True):
    """A small evidence label."""

    id: str
    label: str
    icon: str


class ResonanceView(Struct, frozen=True, kw_only=True):
    """R with everything that explains it; ``R`` is rounded half up to two decimals, ``value`` is not."""

    R: float
    value: float
    witness: float
    adjusted: float
    calculator: str
    version: str
    badge: BadgeView
    formula: str
    parts: tuple[ResonancePart, ...]


class Card(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A notebook card: ``section`` is reasoning, evidence or actions."""

    section: str
    title: str
    body: str
    url: str = ""


class ChatAnswer(Struct, frozen=True, kw_only=True):
    """A whole reply. In the playground ``session_id`` and ``message_id`` are null: nothing was saved. ``continues`` is the message that ``response``
    goes on from, and ``trace`` what became of the call on its way, where a gateway tells.
    """

    session_id: str | None
    message_id: str | None
    turn_id: str
    response: str
    R: float
    witness_chips: tuple[ChipView, ...]
    notebook: tuple[Card, ...]
    resonance: ResonanceView
    sources: tuple[Source, ...]
    persona: PersonaRef
    model: str
    end_state: str
    covered: bool
    usage: Usage
    playground: bool
    latency_ms: float
    timestamp: datetime
    continues: str | None = None
    trace: Any = None


class ContinueAsk(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Go on with a reply that broke off; ``model`` may be another than before."""

    model: Annotated[str, Meta(min_length=1, max_length=200)] | None = None


class Approval(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A person's answer to an event ``approval``: ``digest`` is that event's, and stands for exactly its tool and arguments."""

    digest: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
    allow: bool


class TurnView(Struct, frozen=True, kw_only=True):
    """A kept turn. ``end_state`` is "" while it runs; ``message_id`` is then null, as it is for one that failed before it said anything.

    What it took is told as long as its log is kept: ``usage``, ``latency_ms``, ``trace`` (what became of the call on its way, where a gateway tells),
    and ``problem`` for a turn that failed.
    """

    turn_id: str
    session_id: str
    parent_id: str
    message_id: str | None
    persona: str
    model: str
    end_state: str
    can_continue: bool
    created_at: datetime
    usage: Usage | None = None
    latency_ms: float | None = None
    trace: Any = None
    problem: Problem | None = None


class SessionSummary(Struct, frozen=True, kw_only=True):
    """A conversation in a list; ``R`` is that of its last reply."""

    id: str
    title: str
    persona: str
    created_at: datetime
    updated_at: datetime
    messages: int
    R: float | None


class MessageView(Struct, frozen=True, kw_only=True):
    """A stored message."""

    id: str
    parent_id: str | None
    role: str
    content: str
    created_at: datetime
    persona: str = ""
    model: str = ""
    end_state: str = ""
    R: float | None = None
    sources: list[Any] = []


class Moment(Struct, frozen=True):
    """R of one reply."""

    message_id: str
    at: datetime
    R: float


class SessionView(Struct, frozen=True, kw_only=True):
    """A conversation, a page of messages at a time, oldest first."""

    id: str
    chat_history: list[MessageView]
    R_timeline: list[Moment]
    metadata: dict[str, Any]
    next_cursor: str | None = None
