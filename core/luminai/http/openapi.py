"""OpenAPI: one document a plugin, and the merged one. Names carry the plugin id, so they do not depend on which other plugins are on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, Final

import msgspec
from litestar import Litestar, Router
from litestar.config.app import AppConfig
from litestar.handlers import HTTPRouteHandler
from litestar.openapi import OpenAPIConfig
from litestar.types import Method
from litestar.types.internal_types import PathParameterDefinition

from luminai.contracts.errors import Problem
from luminai.contracts.identity import MAX_TEXT, POLICY_KEY, RoutePolicy
from luminai.http.described import STREAM
from luminai.http.problems import PROBLEM_TYPE
from luminai.http.schemas import REFERENCE, Schemas

SECURITY: Final = {"api_key": {"type": "http", "scheme": "bearer", "description": "An API key: `Authorization: Bearer lum_…`."}}
PROBLEMS: Final = {
    400: ("InvalidInput", "Malformed: a value, a header, a parameter or the body."),
    401: ("NotSignedIn", "No credential, or one that does not hold."),
    402: ("PaymentRequired", "It costs more than there is; `facts` tell what is needed and what is there."),
    403: ("Forbidden", "Signed in, but not allowed."),
    404: ("NotFound", "Not there, or not visible to who asks."),
    405: ("MethodNotAllowed", "The path does not take this method; `Allow` lists those it takes."),
    408: ("RequestTimeout", "Head or body came too slowly."),
    409: ("Conflict", "The state of the thing does not allow it, or the Idempotency-Key is in use."),
    413: ("TooLarge", "The body is too large."),
    414: ("UrlTooLong", "The address is too long."),
    415: ("UnsupportedMediaType", "The body is of a type, or an encoding, that is not read here."),
    421: ("MisdirectedRequest", "The hub does not go by the name in `Host`."),
    422: ("Unprocessable", "Well-formed, but refused by a rule."),
    429: ("RateLimited", "Too many requests; `Retry-After` says how long to wait."),
    431: ("HeadersTooLarge", "The headers are too many or too large."),
    503: ("Unavailable", "Off, starting or overloaded; `Retry-After` says when to try again."),
}
"""How any operation may fail, whatever its handler does: what edge and guard answer, and the error tree (``contracts/errors.py``)."""


_EMPTY: Final = frozenset({"204", "304"})


def plugin_document(plugin: str, handlers: Sequence[Any], *, title: str, version: str) -> dict[str, Any]:
    """Return the plugin's OpenAPI 3.1 document. It is made on demand from an app of its own, so that serving costs nothing."""
    schemas = Schemas(plugin)
    app = Litestar.from_config(
        AppConfig(
            route_handlers=[Router(path="/", route_handlers=list(handlers), tags=[plugin])],
            plugins=[schemas],
            openapi_config=OpenAPIConfig(
                title=title,
                version=version,
                operation_id_creator=_namer(plugin),
            ),
            logging_config=None,
        )
    )
    policies = {
        (path, method.lower()): handler.opt.get(POLICY_KEY)
        for route in app.routes
        for handler in getattr(route, "route_handlers", ())
        for method in handler.http_methods
        for path in (getattr(route, "path_format", route.path),)
    }
    longest = max((policy.max_text for policy in policies.values() if policy is not None), default=MAX_TEXT)
    document = schemas.complete(app.openapi_schema.to_schema(), longest)
    for path, operations in document.get("paths", {}).items():
        for method, operation in operations.items():
            if isinstance(operation, dict):
                _describe(operation, policies.get((path, method)))
    document["components"] |= _shared()
    document["components"]["schemas"] |= _problem()
    return document


def merged_document(documents: Mapping[str, dict[str, Any]], *, version: str) -> dict[str, Any]:
    """Return one document of them all; since every name carries its plugin, nothing can clash."""
    merged: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": "LuminAI Hub", "version": version},
        "paths": {},
        "components": {"schemas": {}, **_shared()},
        "tags": [],
    }
    for plugin, document in documents.items():
        merged["paths"] |= document.get("paths", {})
        merged["components"]["schemas"] |= document.get("components", {}).get("schemas", {})
        merged["tags"].append({"name": plugin, "description": document["info"]["title"]})
    return merged


def _namer(plugin: str) -> Callable[[HTTPRouteHandler, Method, list[str | PathParameterDefinition]], str]:
    """Return what names operations after their handlers; of handlers with one name the second is called ``…_2``, for two alike make no document."""
    given: Counter[str] = Counter()

    def name(handler: HTTPRouteHandler, method: Method, _: list[str | PathParameterDefinition]) -> str:
        own = f"{plugin}.{handler.handler_name.rpartition('.')[2]}" + (f".{str(method).lower()}" if len(handler.http_methods) > 1 else "")
        given[own] += 1
        return own if given[own] == 1 else f"{own}_{given[own]}"

    return name


def _describe(operation: dict[str, Any], policy: RoutePolicy | None) -> None:
    """Say who may call the operation and how it fails. A handler's own description of a failure stays."""
    if policy is not None:
        operation["security"] = ([{}] if policy.anonymous else []) + [{"api_key": []}]
        operation["x-luminai-scope"] = policy.scope or ""
        if policy.stream:
            operation["responses"]["200"]["content"] = STREAM
    responses = operation.setdefault("responses", {})
    responses.pop("400", None)  # Litestar's own shape, which no answer has
    for status in _EMPTY & responses.keys():
        responses[status].pop("content", None)
    for status, (name, _) in PROBLEMS.items():
        responses.setdefault(str(status), {"$ref": f"#/components/responses/{name}"})
    responses.setdefault("5XX", {"$ref": "#/components/responses/Failure"})


@cache
def _shared() -> dict[str, Any]:
    content = {PROBLEM_TYPE: {"schema": {"$ref": f"{REFERENCE}Problem"}}}
    named = {name: {"description": text, "content": content} for name, text in PROBLEMS.values()}
    failure = {"description": "The hub, a plugin or an outside system failed.", "content": content}
    return {"responses": {**named, "Failure": failure}, "securitySchemes": SECURITY}


@cache
def _problem() -> dict[str, Any]:
    return msgspec.json.schema_components([Problem], ref_template=REFERENCE + "{name}")[1]
