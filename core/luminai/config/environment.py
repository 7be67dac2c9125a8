"""Settings from environment variables."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from typing import Any, Final

from luminai.config.settings import Settings
from luminai.contracts.errors import ProblemItem

ALIASES: Final[dict[str, tuple[str, ...]]] = {
    "LUMINAI_PORT": ("server", "port"),
    "LUMINAI_HOST": ("server", "host"),
    "LUMINAI_DATA": ("hub", "data"),
    "LUMINAI_ENV": ("hub", "environment"),
    "LUMINAI_DATABASE_URL": ("database", "url"),
    "DATABASE_URL": ("database", "url"),
}
NOT_SETTINGS: Final = frozenset(
    {
        "LUMINAI_API_KEY",
        "LUMINAI_CONFIG",
        "LUMINAI_HOME",
        "LUMINAI_MASTER_KEY",
        "LUMINAI_NO_COLOR",
        "LUMINAI_ONLY",
        "LUMINAI_OUTPUT",
        "LUMINAI_PROFILE",
        "LUMINAI_REQUIRE_SERVICES",
        "LUMINAI_URL",
    }
)
_TABLES: Final = Settings.__struct_encode_fields__


def read_environment(environ: Mapping[str, str]) -> tuple[dict[tuple[str, ...], tuple[Any, str]], list[ProblemItem]]:
    """Return settings as key path → (value, variable), and problems with names that mean nothing.

    ``LUMINAI_SERVER__PORT`` is ``server.port``, ``LUMINAI_PLUGINS__STORAGE_LOCAL__CONFIG__MAX_BYTES`` is
    ``plugins.storage-local.config.max-bytes``. A value that reads as a TOML value is one (``true``, ``8``, ``["a"]``), else it is text.
    """
    found: dict[tuple[str, ...], tuple[Any, str]] = {}
    problems: list[ProblemItem] = []
    for name in sorted(environ):
        text = environ[name]
        if name in ALIASES:
            if text:
                found.setdefault(ALIASES[name], (text if ALIASES[name][-1] != "port" else _value(text), name))
        elif name.startswith("LUMINAI_") and name not in NOT_SETTINGS and not name.startswith("LUMINAI_TEST_"):
            path = tuple(part.lower().replace("_", "-") for part in name.removeprefix("LUMINAI_").split("__"))
            if len(path) > 1 and path[0] in _TABLES and all(path):
                found[path] = (_value(text), name)
            else:
                near = difflib.get_close_matches(name, [*ALIASES, *NOT_SETTINGS], n=1)
                hint = f"Did you mean {near[0]}?" if near else "Write LUMINAI_<TABLE>__<KEY>, for example LUMINAI_SERVER__PORT."
                problems.append(ProblemItem(detail=f"the variable {name} is no setting", pointer=name, hint=hint, code="unknown-variable"))
    return found, problems


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"v = {text}")["v"]
    except tomllib.TOMLDecodeError:
        return text
