"""Hook implementations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from luminai import PluginContext, hookimpl
from luminai_ai_faces.answering import Faces
from luminai_ai_faces.anthropic_routes import anthropic_handlers
from luminai_ai_faces.config import FacesConfig
from luminai_ai_faces.gemini_routes import gemini_handlers
from luminai_ai_faces.media_routes import media_handlers
from luminai_ai_faces.model_routes import model_handlers
from luminai_ai_faces.openai_routes import openai_handlers


class Plugin:
    """APIs for clients that are there already."""

    config: ClassVar = FacesConfig

    @hookimpl
    def routes(self, ctx: PluginContext) -> Sequence[Any]:
        """Offer the dialects."""
        faces = Faces(ctx)
        return [*openai_handlers(faces), *media_handlers(faces), *anthropic_handlers(faces), *gemini_handlers(faces), *model_handlers(faces)]
