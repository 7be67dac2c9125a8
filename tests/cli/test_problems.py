"""A problem of the hub is the same document where a command prints it."""

import msgspec
import pytest

from luminai.cli.client import problem_error
from luminai.cli.output import show_error
from luminai.contracts.errors import HubError, PaymentRequired, ProblemItem, RateLimited, Unprocessable

PROBLEMS = [
    PaymentRequired("This needs 3, and 1 is there.", code="credits.short", hint="Buy some.", facts={"needed": 3, "available": 1, "asset": "TALK"}),
    RateLimited("Spent.", code="credits.quota-spent", facts={"quota_resets_at": "2026-12-01T00:00:00+00:00"}, retry_after=12.5),
    Unprocessable("Two things.", errors=[ProblemItem("Is missing.", pointer="/name"), ProblemItem("Is too long.", pointer="/text", hint="Cut it.")]),
]


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem.code)
def test_problem__that_came_over_http__is_printed_whole(problem: HubError, capsys: pytest.CaptureFixture[str]) -> None:
    told = msgspec.json.encode(problem.problem())
    show_error(problem_error(problem.status, told), as_json=True, color=False)
    assert msgspec.json.decode(capsys.readouterr().err) == msgspec.json.decode(told)
