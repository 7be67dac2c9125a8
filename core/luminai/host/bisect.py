"""Finds the plugins that make something fail, by trying smaller and smaller sets of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from luminai.host.order import start_order

ONLY: Final = "LUMINAI_ONLY"
"""Environment variable that limits which of the enabled plugins run, as ``luminai serve --only`` does."""


def only_from_environment() -> frozenset[str] | None:
    """Return the ids of ``LUMINAI_ONLY``, None when it is not set."""
    text = os.environ.get(ONLY)
    return None if text is None else frozenset(name.strip() for name in text.split(",") if name.strip())


def closed(plugins: Iterable[str], requires: Mapping[str, Iterable[str]]) -> frozenset[str]:
    """Return the plugins with all that they require, and what those require."""
    found: set[str] = set()
    waiting = list(plugins)
    while waiting:
        plugin = waiting.pop()
        if plugin not in found:
            found.add(plugin)
            waiting += requires.get(plugin, ())
    return frozenset(found)


def smallest_failing(plugins: Sequence[str], fails: Callable[[frozenset[str]], bool]) -> list[str]:
    """Return a set of plugins that fails and of which no member can be left out.

    It is the ddmin algorithm of Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input" (2002). One culprit among n is found in
    about 2 log2 n calls.

    Args:
        plugins: A set that fails as a whole.
        fails: Tells whether a set fails. Each set is asked for once.
    """
    asked: dict[frozenset[str], bool] = {}

    def ask(part: Iterable[str]) -> bool:
        key = frozenset(part)
        if key not in asked:
            asked[key] = fails(key)
        return asked[key]

    left, pieces = list(plugins), 2
    while len(left) >= 2:
        parts = _split(left, pieces)
        smaller = next((part for part in parts if ask(part)), None)
        if smaller is not None:
            left, pieces = smaller, 2
            continue
        rests = ([one for one in left if one not in part] for part in parts)
        rest = next((rest for rest in rests if pieces > 2 and ask(rest)), None)
        if rest is not None:
            left, pieces = rest, max(pieces - 1, 2)
        elif pieces < len(left):
            pieces = min(len(left), pieces * 2)
        else:
            break
    return left


def once_per_set(requires: Mapping[str, Iterable[str]], run: Callable[[frozenset[str]], bool]) -> Callable[[frozenset[str]], bool]:
    """Return ``fails`` for the searches: it adds what a part requires, and runs a set that it has run before no second time."""
    verdicts: dict[frozenset[str], bool] = {}

    def fails(part: frozenset[str]) -> bool:
        whole = closed(part, requires)
        if whole not in verdicts:
            verdicts[whole] = run(whole)
        return verdicts[whole]

    return fails


def deepest_failing(plugins: Sequence[str], requires: Mapping[str, Iterable[str]], fails: Callable[[frozenset[str]], bool]) -> list[str]:
    """Return the culprits among plugins that bring their requirements along: one that fails only because of what it requires is not blamed.

    The search goes in start order: then a first half brings nothing of the second along, and a chain of requirements is halved like anything else.
    """
    known = closed(plugins, requires)
    order, _ = start_order({one: tuple(requires.get(one, ())) for one in known})
    order += sorted(known - set(order))
    culprits = smallest_failing([one for one in order if one in plugins], fails)
    while True:
        whole = closed(culprits, requires)
        deeper = ([other for other in order if other in whole and other != one] for one in culprits)
        rest = next((rest for rest in deeper if rest and not closed(rest, requires) >= whole and fails(frozenset(rest))), None)
        if rest is None:
            return culprits
        culprits = smallest_failing(rest, fails)


def _split(items: list[str], pieces: int) -> list[list[str]]:
    size, more = divmod(len(items), pieces)
    parts, start = [], 0
    for number in range(pieces):
        end = start + size + (number < more)
        parts.append(items[start:end])
        start = end
    return [part for part in parts if part]
