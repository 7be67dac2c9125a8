"""A plugin's section of config.toml as text to start from: every setting with its description, bounds and default."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from luminai.config.problems import shape
from luminai.config.toml_text import comment, dotted, inline, key
from luminai.config.whole import branches, is_secret, resolved
from luminai.contracts.manifest import Manifest

_GRANTS: Final = {
    "anonymous-routes": "people without a key may call some of its routes",
    "secrets": "it reads secrets",
    "site-root": "its pages are at /",
    "webhooks": "outside services may deliver to it, and it verifies them",
}
_EMPTY: Final[dict[str, Any]] = {"string": "", "integer": 0, "number": 0.0, "boolean": False, "array": [], "object": {}}
_NESTED: Final = 6
REQUIRED: Final = "Required: write your own value."


def scaffold(manifest: Manifest, schema: Mapping[str, Any] | None) -> str:
    """Return the section of a plugin as TOML.

    Settings with a default are comments, required ones stand open with a placeholder. Grants are a comment too: only the operator gives them.

    Args:
        schema: Its committed schema, None when it has no settings.
    """
    at = ("plugins", manifest.id)
    lines = [*comment(f"{manifest.title}: {manifest.summary}"), f"[{dotted(at)}]", "enabled = true"]
    if manifest.requires:
        lines += comment(f"It requires {', '.join(manifest.requires)}.")
    if manifest.grants:
        lines += comment("It asks for these grants and does not run without them; take the mark away if you agree.")
        lines += [line for grant in manifest.grants for line in comment(f"{grant}: {_GRANTS.get(grant, 'it calls this service')}.")]
        lines.append(f"# approve = {inline(list(manifest.grants))}")
    lines += [
        *comment("required: the hub does not start without it; optional: it goes on; quarantine: it also stays off."),
        '# on-failure = "optional"',
    ]
    if schema is not None:
        lines += ["", *_table((*at, "config"), resolved(schema, schema), schema, live=True)]
    return "\n".join(lines) + "\n"


def _table(
    path: tuple[str, ...], schema: Mapping[str, Any], root: Mapping[str, Any], *, live: bool, array: bool = False, defaults: Any = None
) -> Iterator[str]:
    """Yield a table's lines: single values first, as TOML wants it, then the tables in it. Without ``live`` all are comments."""
    header = f"[[{dotted(path)}]]" if array else f"[{dotted(path)}]"
    yield header if live else f"# {header}"
    needed = schema.get("required", ())
    inner: list[tuple[str, Mapping[str, Any], Mapping[str, Any], bool]] = []
    for name, described in schema.get("properties", {}).items():
        setting = resolved(described, root)
        if isinstance(defaults, Mapping) and name in defaults:  # the default of the table that holds it is the one in force
            setting = {**setting, "default": defaults[name]}
        nested, is_array = _nested(setting, root)
        if nested is not None and len(path) < _NESTED:
            inner.append((name, setting, nested, is_array))
        else:
            yield from _setting(name, setting, root, required=name in needed, live=live)
    for name, setting, nested, is_array in inner:
        yield ""
        yield from comment(_about(setting, root, required=name in needed))
        yield from _table((*path, name), nested, root, live=live and name in needed, array=is_array, defaults=setting.get("default"))


def _setting(name: str, schema: Mapping[str, Any], root: Mapping[str, Any], *, required: bool, live: bool) -> Iterator[str]:
    yield from comment(_about(schema, root, required=required))
    line = f"{key(name)} = {_value(name, schema, root)}"
    yield line if required and live else f"# {line}"


def _about(schema: Mapping[str, Any], root: Mapping[str, Any], *, required: bool) -> str:
    kind = "a reference such as env:NAME or file:/path, never the secret itself" if is_secret(schema, root) else shape(_flat(schema, root))
    parts = [str(schema.get("description", "")), f"{kind[:1].upper()}{kind[1:]}."]
    if required:
        parts.append(REQUIRED)
    elif schema.get("default") is None:
        parts.append("Not set by default.")
    return " ".join(part for part in parts if part)


def _value(name: str, schema: Mapping[str, Any], root: Mapping[str, Any]) -> str:
    """Return the default, an example, or a value of the right kind to start from."""
    for candidate in (schema.get("default"), *schema.get("examples", ())):
        try:
            return inline(candidate)
        except ValueError:
            continue
    if is_secret(schema, root):
        return inline(f"env:{name.upper().replace('-', '_')}")
    if "const" in schema:
        return inline(schema["const"])
    if schema.get("enum"):
        return inline(schema["enum"][0])
    options = [option for option in branches(schema, root) if option.get("type") != "null"]
    if options:
        return _value(name, options[0], root)
    kinds = schema.get("type", "string")
    kind = kinds if isinstance(kinds, str) else next((one for one in kinds if one != "null"), "string")
    least = schema.get("minimum")
    return inline(least if least is not None and kind in ("integer", "number") else _EMPTY.get(kind, ""))


def _nested(schema: Mapping[str, Any], root: Mapping[str, Any]) -> tuple[Mapping[str, Any] | None, bool]:
    """Return the schema of the table, or of the tables in an array, that a setting is; None for a single value."""
    for option in (schema, *(branches(schema, root) if len(branches(schema, root)) <= 2 else ())):
        if "properties" in option:
            return option, False
        items = option.get("items")
        if isinstance(items, Mapping) and "properties" in resolved(items, root):
            return resolved(items, root), True
    return None, False


def _flat(schema: Mapping[str, Any], root: Mapping[str, Any]) -> dict[str, Any]:
    """Return a schema whose alternatives and items are resolved, so that it can be told in words."""
    flat = dict(schema)
    for kind in ("anyOf", "oneOf"):
        if kind in flat:
            options = [resolved(option, root) for option in flat[kind]]
            flat[kind] = [option for option in options if option.get("type") != "null"]
    if isinstance(flat.get("items"), Mapping):
        flat["items"] = resolved(flat["items"], root)
    return flat
