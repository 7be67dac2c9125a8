"""Settings that providers over HTTP share; a plugin's own add to them."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from luminai.contracts.ai import Model
from luminai.contracts.secret import Secret


class NamedModel(Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True):
    """A model that the operator names. Only ``id`` is needed."""

    id: Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/@+-]*\Z", max_length=200, description="As the service calls it.", examples=["large"])]
    kinds: Annotated[tuple[Literal["chat", "embedding", "image", "speech"], ...], Meta(min_length=1, max_length=4, description="What it does.")] = (
        "chat",
    )
    title: Annotated[str, Meta(max_length=200, description="Name for people.")] = ""
    tools: Annotated[bool, Meta(description="Whether it calls tools.")] = True
    structured: Annotated[bool, Meta(description="Whether the service itself makes replies keep to a schema.")] = False
    context_tokens: Annotated[int, Meta(ge=0, le=100_000_000, description="Largest input plus output, 0 when unknown.")] = 0
    max_output_tokens: Annotated[int, Meta(ge=0, le=100_000_000, description="Largest output, 0 when unknown.")] = 0
    embedding_dimensions: Annotated[int, Meta(ge=0, le=65_536, description="Length of its vectors, 0 when unknown.")] = 0

    def model(self) -> Model:
        """Return it as the contract has it."""
        return Model(
            id=self.id,
            kinds=frozenset(self.kinds),
            title=self.title or self.id,
            tools=self.tools and "chat" in self.kinds,
            structured=self.structured,
            context_tokens=self.context_tokens,
            max_output_tokens=self.max_output_tokens,
            embedding_dimensions=self.embedding_dimensions,
        )


InstanceName = Annotated[
    str, Meta(pattern=r"^[a-z][a-z0-9-]*\Z", max_length=32, description="Name in the hub, unique there: models are `<name>/<model>`.")
]
ServiceUrl = Annotated[
    str,
    Meta(
        pattern=r"^https?://[^\s/?#@]+(/[^\s?#]*[^\s?#/])?\Z",
        max_length=1024,
        description="Address of the service, without a slash at the end; its host and port must be approved.",
    ),
]


class ProviderInstance(Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True):
    """One service; a plugin's own class gives ``name`` and ``base_url`` their defaults."""

    name: InstanceName
    base_url: ServiceUrl
    title: Annotated[str, Meta(max_length=80, description="Name for people.")] = ""
    key: Annotated[Secret | None, Meta(description="Reference to the key, if the service wants one.")] = None
    models: Annotated[tuple[NamedModel, ...], Meta(max_length=200, description="Models to offer.")] = ()
    list_models: Annotated[bool, Meta(description="Ask the service at the start which models it has, and offer them too.")] = False
    idle_seconds: Annotated[float, Meta(ge=1, le=300, description="Longest silence within a reply; then it ends as stalled.")] = 60.0

    @property
    def secret(self) -> str:
        """The key, "" without one.

        Raises:
            ConfigRejected: the reference points to nothing.
        """
        return self.key.reveal() if self.key is not None else ""
