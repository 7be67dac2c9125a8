"""A deterministic start order from ``requires`` and ``after``, independent of the order of installation."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence


def start_order(edges: Mapping[str, Sequence[str]]) -> tuple[list[str], list[list[str]]]:
    """Return plugin ids in start order, and the cycles that keep the rest out.

    Kahn's algorithm (1962) with the id as tie-break. ``edges`` maps each id to those that must start before it; ids that are not keys are ignored.
    Each cycle is the shortest one through its smallest member, written ``[a, b, a]``; plugins behind a cycle but not on it are in neither result.
    """
    needs = {node: {other for other in before if other in edges} for node, before in edges.items()}
    followers: dict[str, list[str]] = {node: [] for node in edges}
    for node, before in needs.items():
        for other in before:
            followers[other].append(node)
    waiting = {node: len(before) for node, before in needs.items()}
    free = [node for node, count in waiting.items() if count == 0]
    heapq.heapify(free)
    order: list[str] = []
    while free:
        node = heapq.heappop(free)
        order.append(node)
        for follower in followers[node]:
            waiting[follower] -= 1
            if waiting[follower] == 0:
                heapq.heappush(free, follower)
    left = set(edges) - set(order)
    cycles: list[list[str]] = []
    for node in sorted(left):
        if any(node in cycle for cycle in cycles):
            continue
        cycle = _shortest_cycle(node, needs, left)
        if cycle:
            cycles.append(cycle)
    return order, cycles


def _shortest_cycle(start: str, needs: Mapping[str, set[str]], within: set[str]) -> list[str]:
    """Return the shortest way from ``start`` back to itself (breadth first), [] when there is none."""
    paths: list[list[str]] = [[start]]
    seen: set[str] = set()
    while paths:
        following: list[list[str]] = []
        for path in paths:
            for other in sorted(needs[path[-1]] & within):
                if other == start:
                    return [*path, start]
                if other not in seen:
                    seen.add(other)
                    following.append([*path, other])
        paths = following
    return []
