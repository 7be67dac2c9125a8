"""OpenAPI: one document a plugin, and the merged one. Names carry the plugin id, so they do not depend on which other plugins are on."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from litestar import Litestar, Router
from litestar.config.app import AppConfig
from litestar.openapi import OpenAPIConfig

from luminai.contracts.identity import POLICY_KEY, RoutePolicy

_REFERENCE = "#/components/schemas/"
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
SECURITY = {"api_key": {"type": "http", "scheme": "bearer", "description": "An API key: `Authorization: Bearer lum_…`."}}
PROBLEM = {
    "type": "object",
    "required": ["title", "status", "code"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string", "description": "Stable; docs/reference/errors.md lists them."},
        "detail": {"type": "string"},
        "hint": {"type": "string"},
        "instance": {"type": "string", "description": "Id of the request."},
        "errors": {"type": "array", "items": {"type": "object"}},
    },
}


def plugin_document(plugin: str, handlers: Sequence[Any], *, title: str, version: str) -> dict[str, Any]:
    """Return the plugin's OpenAPI 3.1 document. It is made on demand from an app of its own, so that serving costs nothing."""
    app = Litestar.from_config(
        AppConfig(
            route_handlers=[Router(path="/", route_handlers=list(handlers), tags=[plugin])],
            openapi_config=OpenAPIConfig(
                title=title,
                version=version,
                operation_id_creator=lambda handler, method, _path: (
                    f"{plugin}.{handler.handler_name.rpartition('.')[2]}" + (f".{str(method).lower()}" if len(handler.http_methods) > 1 else "")
                ),
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
    document: dict[str, Any] = app.openapi_schema.to_schema()
    document = _rename(document, _names(plugin, document.get("components", {}).get("schemas", {})))
    for path, operations in document.get("paths", {}).items():
        for method, operation in operations.items():
            if isinstance(operation, dict):
                _describe(operation, policies.get((path, method)))
    components = document.setdefault("components", {})
    components["securitySchemes"] = SECURITY
    components.setdefault("schemas", {})["Problem"] = PROBLEM
    return document


def merged_document(documents: Mapping[str, dict[str, Any]], *, version: str) -> dict[str, Any]:
    """Return one document of them all; since every name carries its plugin, nothing can clash."""
    merged: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": "LuminAI Hub", "version": version},
        "paths": {},
        "components": {"schemas": {}, "securitySchemes": SECURITY},
        "tags": [],
    }
    for plugin, document in documents.items():
        merged["paths"] |= document.get("paths", {})
        merged["components"]["schemas"] |= document.get("components", {}).get("schemas", {})
        merged["tags"].append({"name": plugin, "description": document["info"]["title"]})
    return merged


def _describe(operation: dict[str, Any], policy: RoutePolicy | None) -> None:
    """Say who may call the operation and how it fails."""
    if policy is not None:
        operation["security"] = ([{}] if policy.anonymous else []) + [{"api_key": []}]
        operation["x-luminai-scope"] = policy.scope or ""
    responses = operation.setdefault("responses", {})
    responses.pop("400", None)
    responses["default"] = {
        "description": "A problem (RFC 9457).",
        "content": {"application/problem+json": {"schema": {"$ref": f"{_REFERENCE}Problem"}}},
    }


def _names(plugin: str, schemas: Mapping[str, Any]) -> dict[str, str]:
    return {name: f"{plugin}.{_UNSAFE.sub('_', name.rpartition('.')[2]).strip('_')}" for name in schemas}


def _rename(node: Any, names: Mapping[str, str]) -> Any:
    if isinstance(node, dict):
        renamed: dict[str, Any] = {}
        for key, value in node.items():
            if key == "$ref" and isinstance(value, str) and value.startswith(_REFERENCE):
                renamed[key] = _REFERENCE + names.get(value.removeprefix(_REFERENCE), value.removeprefix(_REFERENCE))
            elif key == "schemas" and isinstance(value, dict) and names.keys() >= value.keys():
                renamed[key] = {names[name]: _rename(schema, names) for name, schema in value.items()}
            else:
                renamed[key] = _rename(value, names)
        return renamed
    if isinstance(node, list):
        return [_rename(item, names) for item in node]
    return node
