"""``luminai chat``."""

from __future__ import annotations

import sys
from typing import Any
from urllib.parse import quote

import click

from luminai import HubError, Terminal

ENDED = ("finished", "filtered")
MARKS = {"critical": "○", "steady": "◐", "resonant": "●"}


@click.command()
@click.argument("prompt", nargs=-1)
@click.option("-s", "--session", metavar="ID", help="Continue this session.")
@click.option("-p", "--persona", metavar="NAME", help="Who shall answer.")
@click.option("--model", metavar="NAME", help="Which model, as provider/model.")
@click.option("--continue", "turn", metavar="TURN", help="Go on with the reply of this turn, which broke off.")
@click.option("--no-stream", is_flag=True, help="Print the answer when it is whole.")
@click.pass_obj
def chat(
    terminal: Terminal, prompt: tuple[str, ...], session: str | None, persona: str | None, model: str | None, turn: str | None, no_stream: bool
) -> None:
    """Ask a question, or talk.

    Without PROMPT on a terminal it becomes a conversation; piped input is added to the prompt.

    \b
    Examples:
      luminai chat "What is a generation?"
      luminai chat --persona airth "Which settings are there?"
      git diff | luminai chat "What does this change?"
      luminai chat --continue turn_018f…
    """
    if turn is not None:
        if prompt or session or persona:
            raise click.UsageError("--continue goes on with a reply as it is: give it nothing but --model.")
        _go_on(terminal, turn, {"model": model} if model else {}, stream=not no_stream)
        return
    question = " ".join(prompt)
    if not sys.stdin.isatty() and not (question and _is_empty_stdin()):
        piped = sys.stdin.read(100_000).strip()
        question = f"{question}\n\n{piped}".strip() if piped else question
    fields = {name: value for name, value in {"session_id": session, "persona": persona, "model": model}.items() if value}
    if question:
        _ask(terminal, {**fields, "message": question}, stream=not no_stream)
    elif terminal.is_tty:
        _talk(terminal, fields)
    else:
        raise click.UsageError("Nothing to ask. Give a PROMPT, or pipe one in.")


def _is_empty_stdin() -> bool:
    """Tell whether stdin has nothing for us (a terminal left open, a service manager's null device) without waiting for it."""
    import select

    try:
        ready, _, _ = select.select([sys.stdin], [], [], 0)
    except (OSError, ValueError):
        return True
    return not ready


def _talk(terminal: Terminal, fields: dict[str, Any]) -> None:
    """Ask line by line until the end of input or /quit."""
    terminal.say("Talk, or /persona NAME, /continue, /quit.")
    last = ""
    while True:
        try:
            line = input("› ").strip()
        except EOFError:
            return
        if line in ("/quit", "/exit"):
            return
        if line.startswith("/persona "):
            fields["persona"] = line.removeprefix("/persona ").strip()
        elif line == "/continue" and not last:
            terminal.say("✗ There is no reply to go on with.")
        elif line:
            try:
                answer = _go_on(terminal, last, {}, stream=True) if line == "/continue" else _ask(terminal, {**fields, "message": line}, stream=True)
            except HubError as problem:
                terminal.say(f"✗ {problem.detail} {problem.hint}")
                continue
            last = answer.get("turn_id", last)
            if answer.get("session_id"):
                fields["session_id"] = answer["session_id"]


def _go_on(terminal: Terminal, turn: str, body: dict[str, Any], *, stream: bool) -> dict[str, Any]:
    """Go on with a reply that broke off, and print what comes."""
    return _ask(terminal, body, stream=stream, path=f"/api/chat/turns/{quote(turn, safe='')}/continue")


def _ask(terminal: Terminal, body: dict[str, Any], *, stream: bool, path: str = "/api/chat") -> dict[str, Any]:
    """Ask once and print the answer."""
    if not terminal.is_tty or not stream:
        answer: dict[str, Any] = terminal.request("POST", path, body=body, offline=True)
        if terminal.is_tty:
            terminal.write(answer["response"] + "\n")
            _footer(terminal, answer)
        else:
            terminal.emit(answer)
        return answer
    answer = {}
    for event in terminal.events("POST", path, body=body, offline=True):
        if event.event == "text":
            terminal.write(event.data["text"])
        elif event.event == "seam" and not event.data["keep"]:
            terminal.write("\n\n")
            terminal.say(f"✗ This broke off ({event.data['reason']}). {event.data['model']} begins anew:")
        elif event.event == "end":
            answer = event.data
    terminal.write("\n")
    _footer(terminal, answer)
    return answer


def _footer(terminal: Terminal, answer: dict[str, Any]) -> None:
    if not answer:
        return
    badge = answer["resonance"]["badge"]
    state = "" if answer["end_state"] == "finished" else f"  [{answer['end_state']}]"
    terminal.say(
        f"\n{MARKS.get(badge['state'], '')} R={answer['R']:.2f} {badge['state']}  ·  {answer['persona']['title']}  ·  {answer['model']}{state}"
    )
    if answer["session_id"] and answer["end_state"] not in ENDED:
        terminal.say(f"  luminai chat --continue {answer['turn_id']} goes on.")
    for source in answer["sources"]:
        terminal.say(f"  ↳ {source['title']}  {source['url']}")
