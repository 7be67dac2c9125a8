"""Hook implementations."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from luminai import PluginContext, StorageBackend, hookimpl
from luminai_storage_local.backend import LocalStorage
from luminai_storage_local.config import StorageLocalConfig
from luminai_storage_local.files import Folder


def _root(ctx: PluginContext) -> Path:
    config: StorageLocalConfig = ctx.config
    return ctx.base_dir / config.folder if config.folder else ctx.data_dir / "objects"


class Plugin:
    """Objects in a folder."""

    config: ClassVar = StorageLocalConfig

    @hookimpl
    def storage_backends(self, ctx: PluginContext) -> Sequence[StorageBackend]:
        """Offer the backend ``local``."""
        config: StorageLocalConfig = ctx.config
        return [LocalStorage(Folder(_root(ctx)), clock=ctx.clock, max_bytes=config.max_bytes, run_sync=ctx.run_sync)]

    @hookimpl
    async def start(self, ctx: PluginContext) -> None:
        """Make the folder and sweep what a crash left."""
        swept = await ctx.run_sync(Folder(_root(ctx)).prepare)
        if swept:
            ctx.log.warning("storage.swept", extra={"leftovers": swept})
