"""Settings of the plugin."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from luminai import Secret


class OtelConfig(Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True):
    """``[plugins.otel.config]``."""

    endpoint: Annotated[
        str,
        Meta(
            pattern=r"^https?://[^\s/?#]+(/[^\s?#]*)?\Z",
            max_length=1024,
            examples=["https://collector.example.org:4318"],
            description="Address of the collector, without /v1/traces; its host and port must be approved too.",
        ),
    ] = "http://127.0.0.1:4318"
    authorization: Secret | None = None
    share: Annotated[float, Meta(ge=0, le=1, description="Which share of the traces that begin here is recorded.")] = 1.0
    service_name: Annotated[str, Meta(min_length=1, max_length=100, description="What the hub is called there.")] = "luminai-hub"
    send_seconds: Annotated[float, Meta(ge=0.1, le=60, description="How long spans are gathered before they are sent.")] = 2.0
    timeout: Annotated[float, Meta(ge=1, le=60, description="Seconds for each sending.")] = 10.0
