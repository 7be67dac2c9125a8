"""Bronze rules that need nothing of the plugin to run, or only its object."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Final

from packaging.specifiers import SpecifierSet

from luminai.config.binding import render_schema, schema_of
from luminai.contracts.manifest import PLUGIN_API, SCHEMA_FILE
from luminai.host.hooks import CONTRIBUTIONS, BadHooks
from luminai.testing.conformance.rules import RuleBroken
from luminai.testing.conformance.subject import Subject

GUARDED: Final = frozenset({"subprocess", "ctypes", "socket", "multiprocessing", "pty"})
"""Modules that reach outside of what the hub can see."""
GUARDED_CALLS: Final = frozenset({"os.system", "os.popen", "os.fork", "asyncio.create_subprocess_exec", "asyncio.create_subprocess_shell"})
_REASON: Final = re.compile(r"#\s*conformance:\s*\S+")


def manifest_is_valid(subject: Subject) -> str:
    """B01."""
    plugin = subject.plugin
    if plugin.manifest is None:
        raise RuleBroken(plugin.problem or "the manifest cannot be used")
    if not SpecifierSet(plugin.manifest.api).contains(PLUGIN_API):
        raise RuleBroken(f"it works with plugin API {plugin.manifest.api}, this hub has {PLUGIN_API}")
    missing = [other for other in plugin.manifest.requires if all(one.id != other for one in subject.installed)]
    if missing:
        raise RuleBroken(f"it requires {', '.join(missing)}, not installed here")
    return f"manifest {plugin.manifest.manifest}, plugin API {plugin.manifest.api}"


def schema_is_fresh(subject: Subject) -> str:
    """B02."""
    path = subject.plugin.schema_path
    if subject.struct is None:
        if path.exists():
            raise RuleBroken(f"{SCHEMA_FILE} is there, and its plugin object has no `config`")
        return "It has no settings."
    if subject.schema is None:
        raise RuleBroken(f"its plugin object has `config`, and there is no {SCHEMA_FILE}")
    if render_schema(subject.schema) != render_schema(schema_of(subject.struct)):
        raise RuleBroken(f"{SCHEMA_FILE} is not what {subject.struct.__name__} gives")
    return f"{SCHEMA_FILE} equals {subject.struct.__name__}"


def imports_are_allowed(subject: Subject) -> str:
    """B03."""
    faces = {one.package: one.id for one in subject.installed if one.id != subject.id}
    wrong: list[str] = []
    count = 0
    root = Path(subject.plugin.package_dir)
    for path in sorted(root.rglob("*.py")):
        count += 1
        code = path.read_text()
        lines = code.splitlines()
        for line, module in _imports(ast.parse(code, str(path))):
            problem = _judge(module, subject, faces, has_reason=bool(_REASON.search(lines[line - 1])))
            if problem:
                wrong.append(f"{path.relative_to(root)}:{line} {problem}")
    if wrong:
        raise RuleBroken("; ".join(wrong[:10]))
    return f"{count} files"


def hooks_fit(subject: Subject) -> str:
    """B05."""
    try:
        names = subject.hooks.names
    except BadHooks as bad:
        raise RuleBroken("; ".join(f"{item.detail}. {item.hint}" for item in bad.errors)) from bad
    return ", ".join(sorted(names)) or "no hooks"


def contributions_are_declared(subject: Subject) -> str:
    """B06."""
    manifest = subject.manifest
    implemented = {name for name in subject.hooks.names if name in CONTRIBUTIONS}
    declared = set(manifest.provides) - {"commands"}
    wrong = [f"it implements {name}, which `provides` does not name" for name in sorted(implemented - declared)]
    wrong += [f"`provides` names {name}, which it does not implement" for name in sorted(declared - implemented)]
    if manifest.tables != ("models" in implemented):
        wrong.append("`tables` and the hook models disagree")
    if bool(manifest.commands) != ("commands" in manifest.provides):
        wrong.append("`commands` and `provides` disagree")
    for name, claim in manifest.commands.items():
        module, _, attribute = claim.target.partition(":")
        if not callable(getattr(import_module(module), attribute, None)):
            wrong.append(f"the target {claim.target} of command {name} is no command")
    if wrong:
        raise RuleBroken("; ".join(wrong))
    return ", ".join(manifest.provides) or "nothing"


def _imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield line and full name of every import, also of those by ``import_module`` with a literal, and of guarded calls."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [f"{node.module}.{alias.name}" for alias in node.names if f"{node.module}.{alias.name}" in GUARDED_CALLS]
            yield from ((node.lineno, name) for name in names or [node.module])
        elif isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            first = node.args[0] if node.args else None
            if called in GUARDED_CALLS:
                yield node.lineno, called
            elif called.rpartition(".")[2] in ("import_module", "__import__") and isinstance(first, ast.Constant) and isinstance(first.value, str):
                yield node.lineno, first.value


def _judge(module: str, subject: Subject, faces: dict[str, str], *, has_reason: bool) -> str:
    root = module.partition(".")[0]
    if root in GUARDED or module in GUARDED_CALLS:
        return "" if has_reason else f"uses {module} without a reason"
    if root == "luminai" and module != "luminai":
        return f"imports {module}; only `luminai` itself is the plugin API"
    if root in faces:
        if faces[root] not in subject.manifest.requires:
            return f"imports {module}; plugin {faces[root]} is not in `requires`"
        if module != root:
            return f"imports {module}; the face of plugin {faces[root]} is {root}"
    elif root.startswith("luminai_") and root != subject.plugin.package:
        return f"imports {module}, of a plugin that is not installed"
    return ""
