"""Turns of a hub that is killed, stopped, or served by several processes, through HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from turn_stage import WHOLE, Stage, stage, text_of

ENOUGH = 500
"""Characters read before something happens: so many that a slice of them was kept."""


def read(heard: Any, characters: int) -> list[tuple[int, str, Any]]:
    """Read events until there is so much text."""
    found: list[tuple[int, str, Any]] = []
    while len(text_of(found)) < characters:
        found.append(next(heard))
    return found


def check_cut(there: Stage, turn: str, session: str, seen: list[tuple[int, str, Any]]) -> dict[str, Any]:
    """Check a turn that a hub lost: what was kept is a reply that is cut, any reader that resumes ends with exactly that; return its end."""
    replay = there.events(turn)
    numbers = [number for number, _, _ in replay]
    assert numbers == sorted(set(numbers))
    *_, (last, kind, end) = replay
    assert (kind, end["end_state"], end["turn_id"]) == ("end", "cut", turn)
    kept = text_of(replay)
    assert kept == end["response"]
    assert WHOLE.startswith(kept)
    assert len(kept) >= 100
    assert last > seen[-1][0], "no number is given twice"
    for place in (1, len(seen) // 2, len(seen)):
        rest = there.events(turn, seen[place - 1][0])
        assert rest[-1][:2] == (last, "end")
        whole = text_of(seen[:place]) + text_of(rest)
        assert whole[: len(kept)] == kept, "kept text is told once, whoever reads it in how many parts"
    *_, reply = there.get(f"/api/session/{session}")["chat_history"]
    assert (reply["content"], reply["end_state"]) == (kept, "cut")
    state = there.get(f"/api/chat/turns/{turn}")
    assert (state["end_state"], state["can_continue"], state["message_id"]) == ("cut", True, reply["id"])
    return dict(end)


def check_continued(there: Stage, end: dict[str, Any]) -> None:
    """Check that the reply can be continued: both parts are the whole, with the seam marked."""
    turn = end["turn_id"]
    answer = there.post(f"/api/chat/turns/{turn}/continue", {})
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert end["response"] + found["response"] == WHOLE
    assert (found["end_state"], found["continues"]) == ("finished", end["message_id"])
    kinds = [(kind, data) for _, kind, data in there.events(found["turn_id"]) if kind in ("turn", "seam")]
    assert [kind for kind, _ in kinds] == ["turn", "seam"]
    assert kinds[1][1] == {"message_id": end["message_id"], "characters": len(end["response"]), "keep": True}
    history = there.get(f"/api/session/{end['session_id']}")["chat_history"]
    assert "".join(message["content"] for message in history if message["role"] == "assistant") == WHOLE
    assert history[-1]["parent_id"] == end["message_id"]
    refused = there.post(f"/api/chat/turns/{found['turn_id']}/continue", {})
    assert (refused.status_code, refused.json()["code"]) == (409, "chat.nothing-to-continue")


def test_killed_hub__keeps_what_was_generated__and_the_reply_goes_on(tmp_path: Path) -> None:
    with stage(tmp_path) as there:
        (node,) = there.fleet.serve()
        with there.asked(node) as heard:
            seen = read(heard, ENOUGH)
            opening = seen[0][2]
            assert there.get(f"/api/session/{opening['session_id']}")["metadata"]["running_turns"] == [opening["turn_id"]]
            node.kill()
        there.fleet.serve()
        end = check_cut(there, opening["turn_id"], opening["session_id"], seen)
        assert there.get(f"/api/session/{opening['session_id']}")["metadata"]["running_turns"] == []
        check_continued(there, end)
        there.fleet.nodes[0].stop()
        there.fleet.serve()
        assert there.events(opening["turn_id"])[-1][2] == end, "the log reads the same after another restart"


def test_stopped_hub__ends_its_turns_as_cut_with_all_that_was_read(tmp_path: Path) -> None:
    with stage(tmp_path) as there:
        (node,) = there.fleet.serve()
        with there.asked(node) as heard:
            seen = read(heard, ENOUGH)
            node.stop()
        there.fleet.serve()
        turn, session = seen[0][2]["turn_id"], seen[0][2]["session_id"]
        state = there.get(f"/api/chat/turns/{turn}")
        if state["end_state"] == "cut":  # on a slow machine it may also have come to its end within the grace
            assert len(check_cut(there, turn, session, seen)["response"]) >= len(text_of(seen)), "nothing that was read is lost"
        else:
            assert state["end_state"] == "finished"


@pytest.mark.postgres
def test_several_nodes__any_of_them_tells_and_ends_a_turn__and_takes_over_one_that_died(tmp_path: Path, own_postgres_url: str) -> None:
    with stage(tmp_path, own_postgres_url) as there:
        one, two = there.fleet.serve(2)
        with there.asked(one) as heard:
            seen = read(heard, ENOUGH)
            turn = seen[0][2]["turn_id"]
            assert there.post(f"/api/chat/turns/{turn}/cancel", node=two).status_code in (200, 202)
            there_too = there.events(turn, node=two)
            seen += list(heard)
        assert seen[-1][2]["end_state"] == "cancelled"
        assert there_too[-1] == seen[-1]
        assert text_of(there_too) == text_of(seen) == seen[-1][2]["response"]
        with there.asked(one) as heard:
            seen = read(heard, ENOUGH)
            one.kill()
        check_cut(there, seen[0][2]["turn_id"], seen[0][2]["session_id"], seen)
