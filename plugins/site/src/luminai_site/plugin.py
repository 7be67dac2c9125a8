"""Hook implementations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from luminai import PluginContext, hookimpl
from luminai_site.account_routes import account_handlers
from luminai_site.config import SiteConfig
from luminai_site.docs_routes import docs_handlers
from luminai_site.pages import Pages
from luminai_site.routes import handlers


class Plugin:
    """Public pages."""

    config: ClassVar = SiteConfig

    @hookimpl
    def routes(self, ctx: PluginContext) -> Sequence[Any]:
        """Offer the pages."""
        config: SiteConfig = ctx.config
        pages = Pages(config.title)
        return [*handlers(ctx, pages), *docs_handlers(ctx, pages), *account_handlers(pages)]
