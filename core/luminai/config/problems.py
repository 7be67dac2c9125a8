"""All that is wrong with a configuration, at once: file, line, key, expected shape, nearest key.

msgspec makes the typed object but stops at its first error, so JSON Schema judges first. Importing ``jsonschema`` takes 40 to 65 ms; a section whose
verdict is known from an earlier start is not judged again.
"""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from luminai.config.binding import schema_of
from luminai.config.layers import Configuration
from luminai.config.positions import KeyPath
from luminai.config.settings import Settings
from luminai.contracts.errors import ConfigRejected, ProblemItem
from luminai.contracts.patterns import as_python
from luminai.telemetry.alert_rules import problems_of_settings

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError

_DURATION: Final = re.compile(r"^P(?!\Z)(\d+W|(\d+Y)?(\d+M)?(\d+D)?(T(?=\d)(\d+H)?(\d+M)?(\d+S)?)?)\Z")
_JUDGE: Final = "2"
MAX_PROBLEMS: Final = 100


class VerdictCache:
    """Remembers sections that were found right, by hash. Only good verdicts are kept: a problem is always judged afresh."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "config-verdicts"
        try:
            self._good = set(self._file.read_text().split())
        except (OSError, UnicodeDecodeError):
            self._good = set()

    def knows(self, verdict: str) -> bool:
        """Tell whether this was judged right before."""
        return verdict in self._good

    def add(self, verdict: str) -> None:
        """Remember a good verdict; where the disk does not allow it, do without."""
        self._good.add(verdict)
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            self._file.write_text("\n".join(sorted(self._good)[-2000:]))
        except OSError:
            return


def check_core(config: Configuration, *, installed_ids: Iterable[str] = ()) -> list[ProblemItem]:
    """Return every problem with the core's own settings and with what could not be read. Plugins' own sections are not looked into."""
    problems = list(config.problems)
    table = {key: value for key, value in config.table.items() if key != "plugins"}
    sections = config.table.get("plugins", {})
    if isinstance(sections, dict):
        bare = {plugin: _without_config(section) for plugin, section in sections.items()}
        problems += _judge_core(table | {"plugins": bare}, config)
        near_to = list(installed_ids)
        for plugin in sections if near_to else ():
            near = difflib.get_close_matches(plugin, near_to, n=1)
            if plugin not in near_to and near:
                problems.append(_item(config, ("plugins", plugin), f"no plugin {plugin} is installed", f"Did you mean {near[0]}?", "unknown-plugin"))
    else:
        problems += _judge_core(config.table, config)
    return (problems or _judge_alerts(config))[:MAX_PROBLEMS]


def _judge_core(table: dict[str, Any], config: Configuration) -> list[ProblemItem]:
    """Judge the core's settings; what makes the typed settings keeps to their schema, so that a start with sound ones need not load jsonschema."""
    try:
        msgspec.convert(table, Settings, strict=True)
    except msgspec.ValidationError:
        return judge(schema_of(Settings), table, config, ())
    return []


def _judge_alerts(config: Configuration) -> list[ProblemItem]:
    """Return which rules and channels of alerts make no sense, each at its table."""
    try:
        alerts = config.settings.alerts
    except ConfigRejected:
        return []
    found = [
        msgspec.structs.replace(_item(config, ("alerts", "rules", name), f"{name}: {one.detail}", one.hint, one.code), pointer="alerts.rules")
        for name, one in problems_of_settings(alerts.rules)
    ]
    for name, channel in alerts.channels.items():
        key = "to" if channel.kind == "mail" else "url"
        if not getattr(channel, key):
            found.append(_item(config, ("alerts", "channels", name, key), f"is missing, a channel of kind {channel.kind} needs it", "", "missing"))
    return found


def check_plugin_config(config: Configuration, plugin_id: str, schema: dict[str, Any] | None, cache: VerdictCache) -> list[ProblemItem]:
    """Return every problem with ``[plugins.<id>.config]``, judged by the plugin's committed schema (None: it has no settings)."""
    settings = config.settings.plugins.get(plugin_id)
    section = settings.config if settings else {}
    path: KeyPath = ("plugins", plugin_id, "config")
    if schema is None:
        return [_item(config, path, f"plugin {plugin_id} has no settings", "Take the table out.")] if section else []
    verdict = hashlib.blake2b(msgspec.json.encode((_JUDGE, schema, section)), digest_size=16).hexdigest()
    if cache.knows(verdict):
        return []
    problems = judge(schema, section, config, path)
    if not problems:
        cache.add(verdict)
    return problems[:MAX_PROBLEMS]


def judge(schema: dict[str, Any], section: Any, config: Configuration, at: KeyPath) -> list[ProblemItem]:
    """Return every way in which ``section``, which stands at ``at``, breaks the schema. References to other documents are refused, never fetched."""
    from referencing import Registry
    from referencing.exceptions import Unresolvable

    wrong = _wrong_in(msgspec.json.encode(schema))
    if wrong:
        return [_item(config, at, f"the plugin's own schema is wrong: {wrong}", "Tell its author.", "schema-invalid")]
    kind, formats = _validator()
    try:
        errors = kind(schema, format_checker=formats, registry=Registry()).iter_errors(section)
        found = sorted(errors, key=lambda error: [str(part) for part in error.absolute_path])
    except Unresolvable as error:
        return [_item(config, at, f"the plugin's schema refers to {error.ref}, which is never fetched", "Tell its author.", "schema-invalid")]
    return [item for error in found for item in _explain(_branch(error), config, at)]


@lru_cache(maxsize=64)
def _wrong_in(schema: bytes) -> str:
    """Return what is wrong with a schema itself, "" when nothing is. It takes longer than judging by it, and one schema judges many sections."""
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError

    try:
        Draft202012Validator.check_schema(msgspec.json.decode(schema))
    except SchemaError as error:
        return error.message or "it is none"
    return ""


@cache
def _validator() -> tuple[Any, Any]:
    """Return the class of validators, and what knows the formats."""
    from jsonschema import Draft202012Validator, FormatChecker
    from jsonschema.validators import extend

    formats = FormatChecker()
    formats.checks("duration")(lambda value: not isinstance(value, str) or bool(_DURATION.match(value)))
    return extend(Draft202012Validator, {"pattern": _fits}), formats


def _fits(_: Any, pattern: str, value: Any, __: Any) -> Iterator[ValidationError]:
    """Judge a text as ECMA-262 reads the pattern; jsonschema reads it as Python does."""
    from jsonschema.exceptions import ValidationError

    if isinstance(value, str) and not re.search(as_python(pattern), value):
        yield ValidationError(f"{value!r} does not match {pattern!r}")


def _branch(error: Any) -> Any:
    """Of a failed anyOf or oneOf, return the error in the branch that fits best: the one that the tag names, else the deepest."""
    if error.validator not in ("anyOf", "oneOf") or not error.context:
        return error
    wrong_tag = {inner.schema_path[0] for inner in error.context if inner.validator in ("const", "enum", "type") and len(inner.path) <= 1}
    fitting = [inner for inner in error.context if inner.schema_path[0] not in wrong_tag] or list(error.context)
    return _branch(max(fitting, key=lambda inner: len(inner.absolute_path)))


def _explain(error: Any, config: Configuration, at: KeyPath) -> list[ProblemItem]:
    path: KeyPath = (*at, *error.absolute_path)
    if error.validator == "additionalProperties" and isinstance(error.instance, Mapping):
        known = list(error.schema.get("properties", {}))
        return [
            _item(config, (*path, key), f"there is no key {key}", _nearest(key, known), "unknown-key") for key in error.instance if key not in known
        ]
    if error.validator == "required":
        missing = [key for key in error.validator_value if key not in error.instance]
        return [_item(config, (*path, key), "is missing", f"Write {key} = {shape(_property(error.schema, key))}.", "missing") for key in missing[:1]]
    value = error.instance
    if error.validator == "enum":
        options = [str(option) for option in error.validator_value]
        return [_item(config, path, f"is {value!r}, expected one of {', '.join(options)}", _nearest(str(value), options), "not-allowed")]
    if error.schema.get("writeOnly"):  # a secret: never echo what stands there
        hint = "Write a reference such as env:NAME or file:/path."
        return [_item(config, path, "must be a reference to a secret, not the secret", hint, "literal-secret")]
    detail = f"is {_short(value)}, expected {shape(error.schema)}"
    return [_item(config, path, detail, str(error.schema.get("description", "")), "wrong-value")]


def _item(config: Configuration, path: KeyPath, detail: str, hint: str = "", code: str = "") -> ProblemItem:
    origin = config.origin(path)
    if origin.layer == "default":  # a missing key: point at the table that should hold it
        origin = next((found for depth in range(len(path) - 1, 0, -1) if (found := config.origin(path[:depth])).layer != "default"), origin)
    file = origin.place if origin.layer != "default" else "config.toml"
    return ProblemItem(detail=detail, pointer=".".join(map(str, path)), code=code, hint=hint, file=file, line=origin.line)


def _nearest(word: str, options: Sequence[str]) -> str:
    near = difflib.get_close_matches(word, options, n=1, cutoff=0.5)
    if near:
        return f"Did you mean {near[0]}?"
    return f"Known: {', '.join(options[:12])}." if options else ""


def _property(schema: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = schema.get("properties", {}).get(key, {})
    return found


def shape(schema: Mapping[str, Any]) -> str:
    """Say in words what a schema takes."""
    if "enum" in schema:
        return "one of " + ", ".join(map(str, schema["enum"]))
    for combined in ("anyOf", "oneOf"):
        if combined in schema:
            return " or ".join(shape(option) for option in schema[combined])
    kind = schema.get("type", "a value")
    words = {
        "integer": "a whole number",
        "number": "a number",
        "string": "text",
        "boolean": "true or false",
        "array": "a list",
        "object": "a table",
    }
    text = words.get(kind, str(kind)) if isinstance(kind, str) else " or ".join(words.get(one, one) for one in kind)
    low, high = schema.get("minimum"), schema.get("maximum")
    text += f" from {low}" if low is not None else f" above {schema['exclusiveMinimum']}" if "exclusiveMinimum" in schema else ""
    text += f" to {high}" if high is not None else f" below {schema['exclusiveMaximum']}" if "exclusiveMaximum" in schema else ""
    text += _count(schema.get("minLength"), schema.get("maxLength"), "characters")
    if schema.get("pattern"):
        text += f" like {schema['pattern']}"
    if schema.get("format"):
        text += f" ({schema['format']})"
    if kind == "array" and isinstance(schema.get("items"), Mapping) and schema["items"]:
        text += f" of {shape(schema['items'])}"
    return text + _count(schema.get("minItems"), schema.get("maxItems"), "items", ",")


def _count(least: int | None, most: int | None, what: str, comma: str = "") -> str:
    if not least:
        return f"{comma} of at most {most} {what}" if most is not None else ""
    return f"{comma} of {least} to {most} {what}" if most is not None else f"{comma} of at least {least} {what}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def _without_config(section: Any) -> Any:
    return {key: value for key, value in section.items() if key != "config"} if isinstance(section, dict) else section
