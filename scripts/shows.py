"""Write into ``docs/products/`` which tests show which requirement lines; with ``--check`` only tell what is stale.

A test shows a line by the marker ``@pytest.mark.shows("LR-21", …)``. An id that no page knows fails in both modes.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
PRODUCTS = ROOT / "docs" / "products"
ROW = re.compile(r"^\| ([A-Z]{2}-D?\d+[a-g]?) \| (.*?) \| (.*?) \|(.*)\|$")


def main() -> int:
    """Return 1 for an unknown id, or when a page was stale and ``--check`` was given."""
    check = "--check" in sys.argv
    shown: dict[str, list[str]] = {}
    for test, ids in marked_tests():
        for one in ids:
            shown.setdefault(one, []).append(test)
    known = {found[1] for page in PRODUCTS.glob("*.md") for line in page.read_text().splitlines() if (found := ROW.match(line))}
    unknown = sorted(set(shown) - known)
    if unknown:
        print("Unknown requirement ids: " + ", ".join(f"{one} in {shown[one][0]}" for one in unknown))
        return 1
    stale = []
    for page in sorted(PRODUCTS.glob("*.md")):
        text = filled(page.read_text(), shown)
        if page.read_text() != text:
            stale.append(page.name)
            if not check:
                page.write_text(text)
    if stale:
        print(("Stale, run `make shows`: " if check else "Written: ") + ", ".join(stale))
    return int(check and bool(stale))


def filled(text: str, shown: dict[str, list[str]]) -> str:
    """Return a page with its last column and its count filled in."""
    lines, total, done = [], 0, 0
    for line in text.splitlines():
        found = ROW.match(line)
        if found:
            tests = shown.get(found[1], [])
            total, done = total + 1, done + bool(tests)
            lines.append(f"| {found[1]} | {found[2]} | {found[3]} | {'<br>'.join(f'`{test}`' for test in sorted(tests))} |")
        else:
            lines.append(line)
    text = "\n".join(lines) + "\n"
    return re.sub(r"^\*\*.* lines shown\.\*\*$", f"**{done} of {total} lines shown.**", text, flags=re.MULTILINE)


def marked_tests() -> Iterator[tuple[str, list[str]]]:
    """Yield each marked test with the ids it shows, read from the source without importing it."""
    for path in sorted([*ROOT.glob("tests/**/test_*.py"), *ROOT.glob("plugins/*/tests/**/test_*.py")]):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                ids = [one for decorator in node.decorator_list for one in marker_ids(decorator)]
                if ids:
                    yield f"{path.relative_to(ROOT).as_posix()}::{node.name}", ids


def marker_ids(decorator: ast.expr) -> list[str]:
    """Return the ids of a ``shows`` marker, [] for any other decorator."""
    if isinstance(decorator, ast.Call) and isinstance(decorator.func, ast.Attribute) and decorator.func.attr == "shows":
        return [argument.value for argument in decorator.args if isinstance(argument, ast.Constant) and isinstance(argument.value, str)]
    return []


if __name__ == "__main__":
    sys.exit(main())
