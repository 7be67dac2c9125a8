"""What a turn writes: its beginning and its end, each in one unit of work."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Final

import msgspec
from msgspec import Struct
from sqlalchemy.orm import Session

from luminai import Conflict, EndState, Event, Held, Once, PluginContext, WorkFailure
from luminai_chat import store, turn_rows
from luminai_chat.charges import SLICE, Charges
from luminai_chat.events import TurnClosed, TurnOpened
from luminai_chat.store import Said
from luminai_chat.turn import Outcome, Turn
from luminai_chat.turn_log import LogEvent
from luminai_chat.turn_rows import TurnRow
from luminai_resonance import Evaluation

TITLE_LENGTH: Final = 80


class Opened(Struct, frozen=True):
    """What opening a kept turn wrote, as an Idempotency-Key replays it."""

    turn_id: str
    session_id: str
    message_id: str


class TurnStore:
    """Writes turns.

    Args:
        runner: This process, as turns name it.
    """

    def __init__(self, ctx: PluginContext, charges: Charges, runner: str) -> None:
        self._ctx = ctx
        self._charges = charges
        self._runner = runner

    async def begin(self, turn: Turn, once: Once | None) -> Opened:
        """Store a question with its turn; the turn is filled in with what it follows.

        Raises:
            NotFound: session or message are not the subject's.
        """
        ask, now, vault = turn.ask, self._ctx.clock.now(), self._ctx.vault
        session_id, message_id = ask.session_id or self._ctx.new_id("ses"), self._ctx.new_id("msg")
        found: list[tuple[list[Said], int]] = []

        def unit(session: Session) -> Opened:
            path: list[Said] = []
            earlier = store.count_sessions(session, turn.subject)
            if ask.session_id is None:
                store.open_session(session, vault, session_id, turn.subject, title=_title(ask.message), persona=turn.persona.id, at=now)
            else:
                store.find_session(session, turn.subject, session_id)
                path, earlier = store.branch(session, vault, turn.subject, session_id, ask.parent_id), earlier - 1
            parent = path[-1].id if path else None
            store.add_question(session, vault, turn.subject, store.Question(message_id, session_id, parent, ask.message, now))
            found[:] = [(path, earlier)]
            turn.held = self._open(session, turn, session_id, message_id, sum(len(said.content) for said in path))
            return Opened(turn.id, session_id, message_id)

        opened = await self._write(turn, unit, once)
        if opened.turn_id == turn.id:
            turn.history, turn.previous_sessions = found[0]
            self._opened(turn, opened)
        return opened

    async def begin_again(self, turn: Turn, row: TurnRow, once: Once | None) -> Opened:
        """Store a turn that continues the reply of ``row``, an earlier one.

        Raises:
            NotFound: the reply is not there any more.
            Conflict: it has nothing to continue (code ``chat.nothing-to-continue``).
        """
        found: list[list[Said]] = []

        def unit(session: Session) -> Opened:
            if row.reply_id is None:
                raise Conflict("This turn has no reply.", code="chat.nothing-to-continue", hint="Ask again.")
            path = store.branch(session, self._ctx.vault, turn.subject, row.session_id, row.reply_id)
            found[:] = [path]
            turn.held = self._open(session, turn, row.session_id, row.reply_id, sum(len(said.content) for said in path))
            return Opened(turn.id, row.session_id, row.reply_id)

        opened = await self._write(turn, unit, once)
        if opened.turn_id == turn.id:
            turn.history, _, turn.prefix = split(found[0])
            turn.is_continuation = True
            self._opened(turn, opened)
        return opened

    async def finish(self, turn: Turn, outcome: Outcome, evaluation: Evaluation, message_id: str, last: LogEvent) -> None:
        """Store the reply with its resonance, settle what it cost, and keep the rest of the log with its last event.

        Raises:
            Conflict: another process ended the turn because this one was silent for too long, or it was deleted (code ``chat.turn-lost``).
        """
        if turn.session_id is None or turn.parent_id is None or outcome.usage is None:
            raise RuntimeError("a playground turn is never saved")
        closed = TurnClosed(turn.session_id, message_id, turn.id, outcome.end, evaluation.R)
        reply = store.Reply(
            id=message_id,
            session_id=turn.session_id,
            subject=turn.subject,
            parent_id=turn.parent_id,
            content=outcome.text,
            persona=turn.persona.id,
            persona_version=turn.persona.version,
            model=turn.full_model,
            end_state=outcome.end,
            usage=outcome.usage,
            sources=outcome.sources,
            report=evaluation.report,
            context=msgspec.to_builtins(turn.ask.context),
            at=self._ctx.clock.now(),
        )

        def unit(session: Session) -> None:
            self._close(session, turn, outcome.end, message_id, last)
            store.add_reply(session, self._ctx.vault, reply)
            self._charges.end(session, turn, outcome)
            self._ctx.db.publish(session, Event(type="chat.TurnClosed", payload=msgspec.to_builtins(closed), subject=turn.id))
            self._ctx.live.publish(f"chat.conversation.{closed.session_id}", "turn-closed", closed, session=session)

        await self._ctx.db.as_subject(turn.subject).write(unit)

    async def fail(self, turn: Turn, failure: WorkFailure, last: LogEvent) -> None:
        """End a turn of which nothing is to be stored but its problem; what goes wrong here is put right when the lease runs out."""
        if turn.session_id is None:
            return

        def unit(session: Session) -> None:
            if turn_rows.is_there(session, turn.id, turn.subject):  # else it was deleted with its session: nothing but the hold is left
                self._close(session, turn, EndState.FAILED, None, last)
            self._charges.drop(session, turn, failure)

        try:
            await self._ctx.db.as_subject(turn.subject).write(unit)
        except Conflict:
            self._ctx.log.warning("chat.turn.lost", extra={"turn": turn.id})
        except Exception:
            self._ctx.log.exception("chat.turn.not-ended", extra={"turn": turn.id})

    def _open(self, session: Session, turn: Turn, session_id: str, parent_id: str, characters: int) -> Held | None:
        """Hold what the turn may cost, and add its row."""
        now = self._ctx.clock.now()
        held = self._charges.hold(session, turn, characters)
        row = TurnRow(
            id=turn.id,
            subject=turn.subject,
            session_id=session_id,
            parent_id=parent_id,
            persona=turn.persona.id,
            model=turn.full_model,
            is_held=held is not None,
            is_cancelled=False,
            runner=self._runner,
            lease_until=now + timedelta(seconds=self._ctx.config.lease_seconds),
            end_state="",
            created_at=now,
        )
        turn_rows.open_turn(session, self._ctx.vault, row, turn.ask)
        event = TurnOpened(session_id, parent_id, turn.id)
        self._ctx.db.publish(session, Event(type="chat.TurnOpened", payload=msgspec.to_builtins(event), subject=turn.subject))
        self._ctx.live.publish(f"chat.conversation.{session_id}", "turn-opened", event, session=session)
        return held

    def _close(self, session: Session, turn: Turn, state: EndState, reply_id: str | None, last: LogEvent) -> None:
        if not turn_rows.end_turn(session, turn.id, turn.subject, runner=self._runner, end_state=state, reply_id=reply_id):
            raise Conflict("This turn was ended or deleted elsewhere.", code="chat.turn-lost", hint="GET /api/session/{id} shows what was kept.")
        events = [*turn.log.since(turn.log.kept), last]
        turn_rows.add_slice(session, self._ctx.vault, turn.id, turn.subject, events, self._ctx.clock.now())

    async def _write(self, turn: Turn, unit: Callable[[Session], Opened], once: Once | None) -> Opened:
        return await self._ctx.db.as_subject(turn.subject).write(unit, once=once)

    def _opened(self, turn: Turn, opened: Opened) -> None:
        turn.session_id, turn.parent_id, turn.covered_tokens = opened.session_id, opened.message_id, SLICE


def split(path: list[Said]) -> tuple[list[Said], Said | None, str]:
    """Take a branch apart that ends with a reply, perhaps one in several pieces: what was before its question, the question, the reply so far."""
    end = len(path)
    while end and path[end - 1].role == "assistant":
        end -= 1
    return path[: max(0, end - 1)], path[end - 1] if end else None, "".join(said.content for said in path[end:])


def _title(message: str) -> str:
    line = " ".join(message.split())
    return line if len(line) <= TITLE_LENGTH else f"{line[: TITLE_LENGTH - 1].rsplit(' ', 1)[0]}…"
