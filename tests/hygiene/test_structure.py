"""Who may import whom, what the public face is, and what each hook takes."""

import ast
import inspect
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import luminai
from luminai._face import FACE
from luminai.contracts.hookspecs import Contributions, Lifecycle

ROOT = Path(__file__).parents[2]
CORE = ROOT / "core" / "luminai"
ROOMS = ("contracts", "telemetry", "config", "data", "audit", "work", "identity", "http", "host", "cli", "testing")
"""From low to high: a room imports itself and lower ones."""
HERE = Path(__file__).parent


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """Yield every imported module of a file, and whether only type checkers see it."""
    tree = ast.parse(path.read_text())
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module, id(node) in typing_only
        elif isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, id(node) in typing_only


def test_rooms_of_the_core__import_downwards_only() -> None:
    wrong = []
    for path in CORE.rglob("*.py"):
        room = path.relative_to(CORE).parts[0]
        if room not in ROOMS:
            continue
        for module, typing_only in imports(path):
            parts = module.split(".")
            if parts[0].startswith("luminai_"):
                wrong.append(f"{path.relative_to(ROOT)} imports the plugin {module}")
            if parts[0] != "luminai" or len(parts) == 1 or parts[1] not in ROOMS or typing_only:
                continue
            if ROOMS.index(parts[1]) > ROOMS.index(room):
                wrong.append(f"{path.relative_to(ROOT)} imports {module}")
            if room == "contracts" and parts[1] != "contracts":
                wrong.append(f"{path.relative_to(ROOT)} imports {module}: contracts import nothing of the hub")

    assert wrong == []


GATEWAY_DATA = {"causes", "database", "keyed", "owners", "rates", "tables"}
"""What the gateway takes of the database: who asks, exact limits, and one table, for answers that are asked for again."""


@pytest.mark.shows("PX-02")
def test_gateway__answers_by_what_the_host_hands_it__and_has_no_table_of_its_own() -> None:
    taken: set[tuple[str, str]] = set()
    for path in (CORE / "http").rglob("*.py"):
        source = path.read_text()
        assert "Table(" not in source, f"{path.name} keeps rows"
        taken |= {(module, path.name) for module, typing_only in imports(path) if module.startswith("luminai.") and not typing_only}
    rooms = {module.split(".")[1] for module, _ in taken}
    assert rooms == {"contracts", "config", "data", "http", "identity", "telemetry"}
    assert {module for module, _ in taken if module.startswith("luminai.identity")} == {"luminai.identity.tickets"}, "what a ticket opens"
    assert {module.split(".")[2] for module, _ in taken if module.startswith("luminai.data.")} == GATEWAY_DATA
    (tables,) = [
        [alias.name for alias in node.names]
        for path in (CORE / "http").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and node.module == "luminai.data.tables"
    ]
    assert tables == ["idempotency"]


def test_plugins__import_only_the_faces() -> None:
    wrong = []
    for folder in (ROOT / "plugins").iterdir():
        package = f"luminai_{folder.name.replace('-', '_')}"
        manifest = tomllib.loads((folder / "src" / package / "luminai-plugin.toml").read_text())
        allowed = {"luminai", *(f"luminai_{other.replace('-', '_')}" for other in manifest.get("requires", {}))}
        for path in folder.rglob("*.py"):
            in_tests = "tests" in path.relative_to(folder).parts
            for module, _ in imports(path):
                root = module.partition(".")[0]
                own = root == package
                is_face = module in allowed or (in_tests and (root == "luminai" or module.removesuffix(".testing") in allowed))
                if root.startswith("luminai") and not own and not is_face:
                    wrong.append(f"{path.relative_to(ROOT)} imports {module}")

    assert wrong == []


def test_core__has_no_feature() -> None:
    assert sorted(path.name for path in CORE.iterdir() if path.is_dir() and path.name != "__pycache__") == sorted(
        room for room in ROOMS if (CORE / room).is_dir()
    )


def test_public_face__is_pinned_and_importable() -> None:
    pinned = (HERE / "public_face.txt").read_text().split()

    assert sorted(luminai.__all__) == pinned, (
        "If the change is meant, write the new list into tests/hygiene/public_face.txt and say so in a news fragment."
    )
    assert [name for name in pinned if getattr(luminai, name, None) is None] == []
    assert {name for names in FACE.values() for name in names} == set(pinned)


def test_hookspecs__are_as_recorded() -> None:
    lines = []
    for family in (Contributions, Lifecycle):
        for name, function in vars(family).items():
            if not name.startswith("_"):
                assert inspect.getdoc(function), f"{name} has no docstring"
                kind = "async " if inspect.iscoroutinefunction(function) else ""
                lines.append(f"{family.__name__}.{name}: {kind}{inspect.signature(function)}".replace("'", ""))

    recorded = (HERE / "hookspecs.txt").read_text().splitlines()
    assert lines == recorded, (
        "A hook may gain an argument, never lose or retype one. If the change is meant, record it in tests/hygiene/hookspecs.txt."
    )
