"""Samples of settings, drawn from the JSON Schema that is committed beside a plugin, so that schema and Struct can be compared.

What ``luminai.config.binding.schema_of`` writes is understood: types, bounds, enum, const, pattern, arrays, objects with and without named
properties, anyOf, oneOf, $ref into the same document, and nullable types. Needs hypothesis, which is loaded on first use.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from luminai.contracts.patterns import as_python

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

_TEXT_MOST: Final = 24
_ITEMS_MOST: Final = 4
_WIDE: Final = 10**6


def from_schema(schema: Mapping[str, Any], *, root: Mapping[str, Any] | None = None, secret: str = "env:LUMINAI_SAMPLE") -> SearchStrategy[Any]:  # noqa: S107 - a reference, no secret
    """Return a strategy of values that the schema accepts.

    Args:
        root: The document that references point into; ``schema`` itself otherwise.
        secret: The reference that stands in every setting that is a secret.

    Raises:
        NotImplementedError: a keyword that is not understood; it is named.
    """
    return _Maker(root if root is not None else schema, secret).make(schema)


_KNOWN: Final = frozenset(
    {
        *("$schema", "$defs", "$ref", "title", "description", "default", "examples", "writeOnly", "type", "enum", "const", "anyOf", "oneOf"),
        *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength", "pattern", "format"),
        *("items", "prefixItems", "minItems", "maxItems", "uniqueItems", "properties", "required", "additionalProperties", "propertyNames"),
        *("minProperties", "maxProperties", "discriminator", "contentEncoding", "deprecated"),
    }
)


class _Maker:
    def __init__(self, root: Mapping[str, Any], secret: str) -> None:
        self._root = root
        self._secret = secret

    def make(self, schema: Mapping[str, Any]) -> SearchStrategy[Any]:
        from hypothesis import strategies as st

        unknown = sorted(key for key in schema if key not in _KNOWN and not key.startswith("x-"))
        if unknown:
            raise NotImplementedError(f"schema keyword {unknown[0]!r} is not understood")
        if "$ref" in schema:
            return st.deferred(lambda: self.make(resolve(self._root, schema["$ref"])))
        if schema.get("writeOnly"):
            return st.just(self._secret)
        if "const" in schema:
            return st.just(schema["const"])
        if "enum" in schema:
            return st.sampled_from(schema["enum"])
        for combined in ("anyOf", "oneOf"):
            if combined in schema:
                return st.one_of([self.make(option) for option in schema[combined]])
        kind = schema.get("type")
        if isinstance(kind, list):
            return st.one_of([self.make({**schema, "type": one}) for one in kind])
        maker = getattr(self, f"_{kind}", None) if kind else self._anything
        if maker is None:
            raise NotImplementedError(f"schema type {kind!r} is not understood")
        made: SearchStrategy[Any] = maker(schema)
        return made

    def _anything(self, _: Mapping[str, Any]) -> SearchStrategy[Any]:
        from hypothesis import strategies as st

        return st.one_of(st.booleans(), st.integers(-_WIDE, _WIDE), st.text(_characters(), max_size=_TEXT_MOST))

    def _null(self, _: Mapping[str, Any]) -> SearchStrategy[Any]:
        from hypothesis import strategies as st

        return st.none()

    def _boolean(self, _: Mapping[str, Any]) -> SearchStrategy[Any]:
        from hypothesis import strategies as st

        return st.booleans()

    def _integer(self, schema: Mapping[str, Any]) -> SearchStrategy[Any]:
        from hypothesis import strategies as st

        low = schema.get("minimum", schema["exclusiveMinimum"] + 1 if "exclusiveMinimum" in schema else None)
        high = schema.get("maximum", schema["exclusiveMaximum"] - 1 if "exclusiveMaximum" in schema else None)
        step = schema.get("multipleOf", 1)
        low = -_WIDE * step if low is None and high is None else (high - _WIDE * step if low is None else low)
        high = low + _WIDE * step if high is None else high
        return st.integers(-(-low // step), high // step).map(lambda number: number * step)

    def _number(self, schema: Mapping[str, Any]) -> SearchStrategy[Any]:
        from hypothesis import strategies as st

        if "multipleOf" in schema:
            return self._integer(schema).map(float)
        return st.floats(
            schema.get("minimum", schema.get("exclusiveMinimum")),
            schema.get("maximum", schema.get("exclusiveMaximum")),
            exclude_min="exclusiveMinimum" in schema,
            exclude_max="exclusiveMaximum" in schema,
            allow_nan=False,
            allow_infinity=False,
        )

    def _string(self, schema: Mapping[str, Any]) -> SearchStrategy[Any]:
        from hypothesis import strategies as st

        low, high = schema.get("minLength", 0), schema.get("maxLength")
        form = schema.get("format")
        if form in ("date-time", "date", "time", "uuid"):
            makers = {"date-time": st.datetimes(timezones=st.timezones(no_cache=True)), "date": st.dates(), "time": st.times(), "uuid": st.uuids()}
            return makers[form].map(lambda value: value.isoformat() if hasattr(value, "isoformat") else str(value))
        if form == "duration":
            return st.integers(0, _WIDE).map(lambda seconds: f"PT{seconds}S")
        if form is not None:
            raise NotImplementedError(f"schema format {form!r} is not understood")
        if "pattern" in schema:
            whole = st.from_regex(as_python(schema["pattern"]), alphabet=_characters()).filter(
                lambda text: "\n" not in text
            )  # a person's settings have none
            return whole.filter(lambda text: low <= len(text) <= (high if high is not None else len(text)))
        return st.text(_characters(), min_size=low, max_size=min(high if high is not None else low + _TEXT_MOST, low + _TEXT_MOST))

    def _array(self, schema: Mapping[str, Any]) -> SearchStrategy[Any]:
        from hypothesis import strategies as st

        if "prefixItems" in schema:
            return st.tuples(*(self.make(item) for item in schema["prefixItems"])).map(list)
        low, high = schema.get("minItems", 0), schema.get("maxItems")
        item = self.make(schema.get("items") or {})
        most = min(high if high is not None else low + _ITEMS_MOST, low + _ITEMS_MOST)
        return st.lists(item, min_size=low, max_size=most, unique_by=repr if schema.get("uniqueItems") else None)

    def _object(self, schema: Mapping[str, Any]) -> SearchStrategy[Any]:
        from hypothesis import strategies as st

        properties, required = schema.get("properties", {}), set(schema.get("required", ()))
        if not properties and schema.get("additionalProperties", True) is not False:
            rest = schema.get("additionalProperties", {})
            keys = self.make({"type": "string", "minLength": 1} | dict(schema.get("propertyNames", {})))
            values = self.make(rest if isinstance(rest, Mapping) else {})
            low, high = schema.get("minProperties", 0), schema.get("maxProperties", _ITEMS_MOST)
            return st.dictionaries(keys, values, min_size=low, max_size=max(low, min(high, low + _ITEMS_MOST)))
        made = {name: self.make(described) for name, described in properties.items()}
        return st.fixed_dictionaries(
            {name: value for name, value in made.items() if name in required},
            optional={name: value for name, value in made.items() if name not in required},
        )


def _characters() -> SearchStrategy[str]:
    """Return all that UTF-8 can write. By the name of the codec, each process would try every character there is first, which takes seconds."""
    from hypothesis import strategies as st

    return st.characters(exclude_categories=["Cs"])


def resolve(root: Mapping[str, Any], reference: str) -> Mapping[str, Any]:
    """Return what a reference such as ``#/$defs/Config`` points to.

    Raises:
        NotImplementedError: it points out of the document.
    """
    if not reference.startswith("#/"):
        raise NotImplementedError(f"a reference out of the document: {reference}")
    found: Any = root
    for part in reference[2:].split("/"):
        found = found[part.replace("~1", "/").replace("~0", "~")]
    target: Mapping[str, Any] = found
    return target
