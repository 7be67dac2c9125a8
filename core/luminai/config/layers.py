"""Layers of configuration, each value with its origin: defaults, config.toml, config.d/*.toml, environment, command line."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, time
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from luminai.config.environment import read_environment
from luminai.config.positions import KeyPath, key_lines, line_of, lookup
from luminai.config.settings import PluginSettings, Settings
from luminai.contracts.errors import ConfigRejected, ProblemItem

MAX_FILE_BYTES: Final = 1024 * 1024


class Origin(Struct, frozen=True):
    """Where a value was set: layer ``default``, ``file``, ``environment`` or ``command line``; file and line, or the variable's name."""

    layer: str
    place: str = ""
    line: int = 0

    def __str__(self) -> str:
        where = f"{self.place}:{self.line}" if self.line else self.place
        return f"{self.layer} {where}".strip()


class Setting(Struct, frozen=True):
    """One effective value, or one step of its chain."""

    key: str
    value: Any
    origin: Origin


class Layer:
    """One source of settings."""

    __slots__ = ("lines", "name", "origins", "place", "table")

    def __init__(self, name: str, place: str, table: dict[str, Any], lines: dict[KeyPath, int], origins: dict[KeyPath, str]) -> None:
        self.name = name
        self.place = place
        self.table = table
        self.lines = lines
        self.origins = origins

    def origin(self, path: KeyPath) -> Origin:
        """Return where ``path`` was set in this layer."""
        for depth in range(len(path), 0, -1):
            if path[:depth] in self.origins:
                return Origin(self.name, self.origins[path[:depth]])
        return Origin(self.name, self.place, line_of(self.lines, path))


class Configuration:
    """The effective configuration.

    Attributes:
        problems: Those of reading; shape is judged by ``luminai.config.problems``.
        left_out: What was wrong and has no effect, in safe mode (``luminai.config.sound``).
    """

    def __init__(self, layers: Sequence[Layer], problems: Sequence[ProblemItem], base_dir: Path, left_out: Sequence[ProblemItem] = ()) -> None:
        self.layers = tuple(layers)
        self.problems = tuple(problems)
        self.left_out = tuple(left_out)
        self.base_dir = base_dir
        merged: dict[str, Any] = {}
        for layer in layers:
            _merge(merged, layer.table)
        self.table = merged
        self._settings: Settings | None = None

    @property
    def settings(self) -> Settings:
        """The typed settings.

        Raises:
            ConfigRejected: they have not the right shape (``check_core`` lists everything).
        """
        if self._settings is None:
            try:
                self._settings = msgspec.convert(self.table, Settings, strict=True)
            except msgspec.ValidationError as error:
                raise ConfigRejected(f"The configuration is wrong: {error}", hint="Run `luminai config check`.") from error
        return self._settings

    @property
    def data_dir(self) -> Path:
        """The data folder, absolute."""
        return (self.base_dir / self.settings.hub.data).resolve()

    def origin(self, path: KeyPath) -> Origin:
        """Return where the effective value of ``path`` comes from."""
        for layer in reversed(self.layers):
            if lookup(layer.table, path) is not None:
                return layer.origin(path)
        return Origin("default")

    def explain(self, key: str) -> list[Setting]:
        """Return every layer that sets the dotted key, defaults first, the winner last; [] when there is no such setting."""
        path: KeyPath = tuple(key.split("."))
        chain = []
        default = lookup(_defaults(self.table), path)
        if default is not None:
            chain.append(Setting(key, default, Origin("default")))
        for layer in self.layers:
            value = lookup(layer.table, path)
            if value is not None:
                chain.append(Setting(key, value, layer.origin(path)))
        return chain

    def items(self) -> Iterator[Setting]:
        """Yield every effective value with its origin, by key."""
        effective = _defaults(self.table)
        _merge(effective, self.table)
        for path, value in sorted(_leaves(effective)):
            yield Setting(".".join(path), value, self.origin(path))


def load(path: Path | None, environ: Mapping[str, str], overrides: Sequence[str] = (), *, lenient: bool = False) -> Configuration:
    """Read every layer.

    Args:
        path: config.toml; None for ``./config.toml`` if there is one.
        environ: Environment variables.
        overrides: ``key.path=value`` from the command line.
        lenient: Take a file that cannot be read at all as one problem more, and go on without it.

    Raises:
        ConfigRejected: a file cannot be read at all, or an override has no ``=``.
    """
    problems: list[ProblemItem] = []
    layers: list[Layer] = []
    base = path.parent if path is not None else Path()
    main = path if path is not None else Path("config.toml")
    files = [main] if path is not None or main.is_file() else []
    for file in [*files, *sorted((base / "config.d").glob("*.toml"))]:
        try:
            layers.append(_file_layer(file, problems))
        except ConfigRejected as unreadable:
            if not lenient:
                raise
            problems += unreadable.errors
    values, wrong = read_environment(environ)
    problems += wrong
    layers.append(_flat_layer("environment", {key: (value, name) for key, (value, name) in values.items()}))
    layers.append(_flat_layer("command line", dict(_override(text) for text in overrides)))
    return Configuration(layers, problems, base.resolve())


def _file_layer(path: Path, problems: list[ProblemItem]) -> Layer:
    def unreadable(detail: str, hint: str = "", line: int = 0) -> ConfigRejected:
        item = ProblemItem(detail=detail, file=path.name, line=line, hint=hint)
        return ConfigRejected(f"{path.name} {detail}", code="config-unreadable", hint=hint, errors=[item])

    try:
        raw = path.read_bytes()
    except OSError as error:
        raise unreadable(f"cannot be read ({error.strerror})", "Name another file with --config.") from error
    if len(raw) > MAX_FILE_BYTES:
        raise unreadable("is larger than 1 MiB")
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise unreadable("is not UTF-8", line=raw[: error.start].count(b"\n") + 1) from error
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        line = int(str(error).rpartition("line ")[2].partition(",")[0] or 0) if "line " in str(error) else text.count("\n") + 1
        problems.append(ProblemItem(detail=f"is not TOML: {error}", file=path.name, line=line, code="toml-syntax", hint="Correct the line."))
        return Layer("file", path.name, {}, {}, {})
    return Layer("file", path.name, _plain(table), key_lines(text.replace("\r\n", "\n")), {})


def _flat_layer(name: str, values: Mapping[tuple[str, ...], tuple[Any, str]]) -> Layer:
    table: dict[str, Any] = {}
    for path, (value, _) in values.items():
        here = table
        for part in path[:-1]:
            if not isinstance(here.get(part), dict):
                here[part] = {}
            here = here[part]
        here[path[-1]] = _plain(value)
    return Layer(name, "", table, {}, {path: place for path, (_, place) in values.items()})


def _override(text: str) -> tuple[tuple[str, ...], tuple[Any, str]]:
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise ConfigRejected(f"--set {text!r} has no value", hint="Write --set server.port=9000.")
    try:
        parsed = tomllib.loads(f"v = {value}")["v"]
    except tomllib.TOMLDecodeError:
        parsed = value
    return tuple(key.strip().split(".")), (parsed, f"--set {key.strip()}")


def _plain(value: Any) -> Any:
    """Make TOML's own dates into ISO text, which both JSON Schema and msgspec read."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return value.isoformat() if isinstance(value, datetime | date | time) else value


def _merge(into: dict[str, Any], table: Mapping[str, Any]) -> None:
    for key, value in table.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = _copy(value)


def _copy(value: Any) -> Any:
    return {key: _copy(inner) for key, inner in value.items()} if isinstance(value, dict) else value


def _defaults(table: Mapping[str, Any]) -> dict[str, Any]:
    plugins = table.get("plugins")
    settings = Settings(plugins={plugin: PluginSettings() for plugin in plugins} if isinstance(plugins, dict) else {})
    defaults: dict[str, Any] = msgspec.to_builtins(settings)
    return defaults


def _leaves(table: Mapping[str, Any], prefix: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for key, value in table.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, (*prefix, key))
        elif not isinstance(value, dict):
            yield (*prefix, key), value
