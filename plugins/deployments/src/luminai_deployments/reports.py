"""What is reported of a deployment, and what is told of it. Names of fields are those of the products' clients."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from msgspec import Meta, Struct

Url = Annotated[str, Meta(pattern=r"^https?://[^\s/@]+(/\S*)?\Z", max_length=500, description="Where it can be reached.")]
Version = Annotated[str, Meta(min_length=1, max_length=100, description="What was deployed, such as v1.4.2.")]
Baseline = Annotated[float, Meta(ge=0, le=1)]
Reason = Annotated[str, Meta(max_length=300, description="Why it failed, in a few words without secrets.")]
Environment = Literal["dev", "staging", "prod"]
ENVIRONMENTS = get_args(Environment)


class Report(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``R_baseline`` is what was measured at the deployed hub; without it this one scores its own fixed conversation."""

    environment: Environment
    url: Url
    version: Version
    R_baseline: Baseline | None = None
    failed: Annotated[bool, Meta(description="It did not come into service; then nothing is scored.")] = False
    reason: Reason = ""


class Completed(Struct, frozen=True, kw_only=True):
    """Something is in service."""

    url: Url
    version: Version
    R_baseline: Baseline


class Failed(Struct, frozen=True, kw_only=True):
    """Something is not in service."""

    url: Url
    version: Version
    reason: Reason


class Told(Struct, frozen=True):
    """The event that was published."""

    event: Annotated[str, Meta(max_length=40)]
    R_baseline: Baseline | None = None
