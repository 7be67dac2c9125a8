"""Lists of models. OpenAI, Anthropic and Google have them at one address: the first two in one shape, Google's by the header of its key."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from litestar import Response, get
from litestar.params import FromPath, QueryParameter

from luminai import policy
from luminai_ai_faces.answering import Faces
from luminai_ai_faces.failures import speaks_google
from luminai_ai_faces.listing import find, gemini_model, listed, page_of, v1_model
from luminai_ai_faces.openai_routes import FAILURES, SCOPE, Given

MAX_PAGE = 1000
Size = Annotated[int, QueryParameter(ge=1, le=MAX_PAGE)]
After = Annotated[str | None, QueryParameter(max_length=300)]
PageSize = Annotated[int, QueryParameter(name="pageSize", ge=1, le=MAX_PAGE)]
PageToken = Annotated[str | None, QueryParameter(name="pageToken", max_length=300)]
READ: dict[str, Any] = {"opt": policy(SCOPE), "exception_handlers": FAILURES}


def model_handlers(faces: Faces) -> Sequence[Any]:
    """Return the route handlers."""

    @get(["/v1/models", "/v1beta/models"], **READ)
    async def list_models(
        request: Given, limit: Size = MAX_PAGE, after_id: After = None, page_size: PageSize = 50, page_token: PageToken = None
    ) -> Response[Any]:
        """List the models, personas first: OpenAI's clients take the first thousand, the others page."""
        if speaks_google(request):
            found, has_more = page_of(listed(faces), page_token, page_size)
            return Response({"models": [gemini_model(one) for one in found], **({"nextPageToken": found[-1].id} if has_more else {})})
        found, has_more = page_of(listed(faces), after_id, limit)
        ends = {"first_id": found[0].id if found else None, "last_id": found[-1].id if found else None}
        return Response({"object": "list", "data": [v1_model(one) for one in found], "has_more": has_more, **ends})

    @get(["/v1/models/{model:path}", "/v1beta/models/{model:path}"], **READ)
    async def show_model(request: Given, model: FromPath[str]) -> Response[Any]:
        """Show one model by name or alias."""
        found = find(faces, model.removeprefix("/"))
        return Response(gemini_model(found) if speaks_google(request) else v1_model(found))

    return [list_models, show_model]
