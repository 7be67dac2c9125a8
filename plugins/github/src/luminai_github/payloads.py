"""GitHub's payloads, as far as they matter here, and what they mean. Unknown fields are passed over: GitHub adds some all the time.

Source: https://docs.github.com/en/webhooks/webhook-events-and-payloads
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from luminai import InvalidInput
from luminai_github.schemas import Happening

FOLDERS: Final = ("consciousness", "deployment", "reference", "architecture", "operations", "governance", "security", "archive")
MAX_DOCUMENTS: Final = 1000
LISTED_COMMITS: Final = 2048
"""GitHub lists no more commits in a push."""
_REF: Final = re.compile(r"^refs/(heads|tags)/[^\x00-\x20\x7f~^:?*\[\\]{1,255}\Z")
_TEXT: Final = 200
Commit = Annotated[str, Meta(pattern=r"^[0-9a-f]{40,64}\Z")]


class _Named(Struct, frozen=True):
    login: str = ""


class _Repository(Struct, frozen=True):
    full_name: Annotated[str, Meta(pattern=r"^[A-Za-z0-9-]{1,39}/[A-Za-z0-9._-]{1,100}\Z")]


class Envelope(Struct, frozen=True):
    """What all payloads have in common; a ping of an organisation has no repository."""

    repository: _Repository | None = None
    sender: _Named = _Named()
    action: str = ""


class _Changes(Struct, frozen=True):
    added: list[str] = []
    modified: list[str] = []
    removed: list[str] = []


class _Push(Struct, frozen=True):
    ref: str
    after: Commit
    compare: str = ""
    commits: list[_Changes] = []


class _Item(Struct, frozen=True):
    number: int
    title: str
    html_url: str = ""


class _PullRequest(Struct, frozen=True):
    action: str
    pull_request: _Item


class _Issue(Struct, frozen=True):
    action: str
    issue: _Item


class _ReleaseItem(Struct, frozen=True):
    tag_name: str
    html_url: str = ""
    name: str | None = None


class _Release(Struct, frozen=True):
    action: str
    release: _ReleaseItem


def read(body: bytes, event: str, branches: Sequence[str]) -> tuple[Envelope, Happening | None]:
    """Return what every payload says, and what happened; None for events and branches that do not count.

    Raises:
        InvalidInput: not JSON of the event's shape (code ``github.bad-payload``), or a ref that git would not take (``github.bad-ref``).
    """
    try:
        envelope = msgspec.json.decode(body, type=Envelope)
        reader = READERS.get(event)
        if reader is None or envelope.repository is None:
            return envelope, None
        return envelope, reader(body, envelope, envelope.repository.full_name, branches)
    except (msgspec.MsgspecError, RecursionError) as error:
        hint = "Choose the content type application/json at GitHub."
        raise InvalidInput(f"The body is no {event or 'delivery'} of GitHub.", code="github.bad-payload", hint=hint) from error


def documents_of(commits: Sequence[_Changes]) -> tuple[dict[str, list[str]], bool]:
    """Return the documents (Markdown anywhere, anything below ``docs/``) that the commits touch, by folder, and whether these are all."""
    paths = sorted({path for commit in commits for path in (*commit.added, *commit.modified, *commit.removed) if _is_document(path)})
    found: dict[str, list[str]] = {}
    for path in paths[:MAX_DOCUMENTS]:
        found.setdefault(folder_of(path), []).append(path)
    return dict(sorted(found.items())), len(paths) <= MAX_DOCUMENTS and len(commits) < LISTED_COMMITS


def folder_of(path: str) -> str:
    """Return which part of the documentation a path belongs to: a known folder below ``docs/``, or ``other``."""
    parts = path.split("/")
    return parts[1] if len(parts) > 2 and parts[0] == "docs" and parts[1] in FOLDERS else "other"


def _is_document(path: str) -> bool:
    return (path.startswith("docs/") or path.endswith(".md")) and len(path) <= 500 and path.isprintable()


def _push(body: bytes, envelope: Envelope, repository: str, branches: Sequence[str]) -> Happening | None:
    push = msgspec.json.decode(body, type=_Push)
    if not _REF.match(push.ref):
        raise InvalidInput("The ref is none that git would take.", code="github.bad-ref", hint="It looks like refs/heads/main.")
    if push.ref not in {f"refs/heads/{branch}" for branch in branches} or not push.after.strip("0"):
        return None
    documents, complete = documents_of(push.commits)
    return Happening(
        event="push",
        action="",
        repository=repository,
        sender=_line(envelope.sender.login),
        title=f"{len(push.commits)} commits",
        url=_address(push.compare),
        ref=push.ref,
        commit=push.after,
        documents=documents,
        complete=complete,
    )


def _pull_request(body: bytes, envelope: Envelope, repository: str, _: Sequence[str]) -> Happening:
    found = msgspec.json.decode(body, type=_PullRequest)
    return _item("pull_request", found.action, found.pull_request, envelope, repository)


def _issue(body: bytes, envelope: Envelope, repository: str, _: Sequence[str]) -> Happening:
    found = msgspec.json.decode(body, type=_Issue)
    return _item("issues", found.action, found.issue, envelope, repository)


def _release(body: bytes, envelope: Envelope, repository: str, _: Sequence[str]) -> Happening:
    found = msgspec.json.decode(body, type=_Release)
    release = found.release
    return Happening(
        event="release",
        action=_line(found.action),
        repository=repository,
        sender=_line(envelope.sender.login),
        title=_line(release.name or release.tag_name),
        url=_address(release.html_url),
        ref=_line(release.tag_name),
    )


def _item(event: str, action: str, item: _Item, envelope: Envelope, repository: str) -> Happening:
    return Happening(
        event=event,
        action=_line(action),
        repository=repository,
        sender=_line(envelope.sender.login),
        title=_line(item.title),
        url=_address(item.html_url),
        number=item.number,
    )


READERS: Final[dict[str, Callable[[bytes, Envelope, str, Sequence[str]], Happening | None]]] = {
    "push": _push,
    "pull_request": _pull_request,
    "issues": _issue,
    "release": _release,
}
"""Events that count; ``ping`` and all others are acknowledged."""


def _line(text: str) -> str:
    """Return what people wrote as one bounded line: no control characters reach logs, databases or screens."""
    return "".join(_printable(text))[:_TEXT]


def _printable(text: str) -> Iterator[str]:
    for sign in text[: 4 * _TEXT]:
        yield sign if sign.isprintable() else " "


def _address(url: str) -> str:
    """Return an address of GitHub's own web, and nothing else: it is shown as a link."""
    return url if url.startswith("https://") and len(url) <= 500 and url.isascii() and url.isprintable() else ""
