"""Settings of the plugin."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

FolderPath = Annotated[str, Meta(min_length=1, max_length=400)]
Glob = Annotated[str, Meta(min_length=1, max_length=200)]
Language = Literal[
    "danish", "dutch", "english", "finnish", "french", "german", "italian", "norwegian", "portuguese", "romanian", "spanish", "swedish"
]


class KnowledgeConfig(Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True):
    """``[plugins.knowledge.config]``."""

    folders: Annotated[
        tuple[FolderPath, ...],
        Meta(max_length=16, description="Folders of Markdown, relative to the folder of config.toml; each has a last part of its own."),
    ] = ("docs",)
    include: Annotated[tuple[Glob, ...], Meta(max_length=32, description="Files to index, as globs below a folder.")] = ("**/*.md",)
    exclude: Annotated[tuple[Glob, ...], Meta(max_length=32, description="Files to leave out, as globs below a folder.")] = ()
    language: Annotated[Language, Meta(description="Language whose word endings search looks through.")] = "english"
    max_files: Annotated[int, Meta(ge=1, le=20_000, description="Most files to index, over all folders.")] = 20_000
    max_file_bytes: Annotated[int, Meta(ge=1_024, le=1_048_576, description="Largest file to index, in bytes.")] = 1_048_576
