"""What is kept of a delivery, and what clients see."""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct


class Happening(Struct, frozen=True, kw_only=True):
    """Something that happened at GitHub: the payload of all events of this plugin, and what the webhook's inbox holds.

    Attributes:
        event: ``push``, ``pull_request``, ``issues`` or ``release``.
        action: GitHub's word, e.g. ``opened``; "" for a push.
        ref: ``refs/heads/main`` of a push, the tag of a release, else "".
        commit: Commit that the ref is at after a push, "" otherwise.
        number: Of the pull request or issue, 0 otherwise.
        documents: Documents that a push changed, by folder (``architecture``, ``reference`` …, ``other``); at most 1,000.
        complete: False when the push changed more than that, or has more commits than GitHub lists: then look at the whole repository.
    """

    event: str
    action: str
    repository: str
    sender: str
    title: str
    url: str
    ref: str = ""
    commit: str = ""
    number: int = 0
    documents: dict[str, list[str]] = {}
    complete: bool = True


class Nothing(Struct, frozen=True, forbid_unknown_fields=True):
    """The input of an action that takes none."""


class Reconciliation(Struct, frozen=True, kw_only=True):
    """What a comparison with GitHub's list found.

    Attributes:
        looked: Deliveries that GitHub lists.
        missed: Those of them that the hub never took.
        requested: Those that GitHub was asked to deliver again; they come as ordinary deliveries.
        complete: False when there were more than one run looks at; run it again.
    """

    looked: int
    missed: int
    requested: int
    complete: bool


class DeliveryView(Struct, frozen=True, kw_only=True):
    """A delivery that was handled. ``delivery_id`` is GitHub's."""

    id: str
    delivery_id: str
    received_at: datetime
    happening: Happening
