"""Change the code that guards the hub, one small change at a time, and see whether the tests notice. Prints every change that they did not.

    python scripts/mutants.py [guard screen signatures …] [--jobs 2] [--least 90]

A changed copy of the core stands first on the path of a test run of its own; the repository itself is never touched. Each run is forked from a
process that has loaded every library already, which halves its time.
"""

from __future__ import annotations

import argparse
import ast
import compileall
import gc
import multiprocessing
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.util import cache_from_source
from multiprocessing.connection import Connection
from pathlib import Path
from queue import Queue
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
HTTP, IDENTITY, PERMISSIONS = "tests/http", "tests/identity", "tests/permissions"
GATE = [f"{HTTP}/test_gate.py"]
LIVE = f"{PERMISSIONS}/test_live.py"
KEYS = [
    f"{HTTP}/test_idempotency.py",
    f"{HTTP}/test_idempotency_bounds.py",
    f"--deselect={HTTP}/test_idempotency.py::test_killed_hub__does_everything_once",
]
OWNERS = ["tests/data/test_owned_statements.py"]
TARGETS = {
    "guard": (
        "http/guard.py",
        [
            *GATE,
            f"{LIVE}::test_guard__asks_for_ticket_and_seat_before_anything_opens",
            f"{LIVE}::test_revocation__in_the_same_process__ends_streams_before_time_goes_on[sqlite]",
        ],
    ),
    "screen": ("http/screen.py", GATE),
    "signatures": ("http/signatures.py", [f"{HTTP}/test_webhooks_signatures.py", f"{HTTP}/test_signature_bounds.py"]),
    "idempotency": ("http/idempotency.py", KEYS),
    "keyed": ("data/keyed.py", ["tests/data/test_keyed.py", *KEYS]),
    "jwt": ("identity/jwt.py", [f"{IDENTITY}/test_access_tokens.py"]),
    "actor": ("contracts/identity.py", GATE),
    "owners": ("data/owners.py", OWNERS),
    "owned-statements": ("data/owned_statements.py", OWNERS),
}
SPARES = "only spares work that would change nothing"
BY_LIBRARY = "PyJWT refuses it too, which is not relied upon"
EQUIVALENT: dict[tuple[str, str, str], str] = {
    (
        "guard",
        "if state.actor is None and (self.limits.is_on or state.authorization is not None or state.ticket):  # a known actor is this process itself",
        "without `self.limits.is_on or state.authorization is not None or stat`",
    ): SPARES,
    (
        "screen",
        "_HOST, _AUTHORIZATION, _API_KEY, _GOOGLE_KEY, _ENCODING, _ORIGIN, _LENGTH, _TYPE, _KEY, _CODING = (1 << bit for bit in range(10))",
        "1 -> 2",
    ): "the bits must differ, no more",
    ("screen", 'if b"%" in raw and _ENCODED.search(raw):', "without `b'%' in raw`"): SPARES,
    ("screen", "if not query:", "never `not query`"): SPARES,
    ("idempotency", "if self._is_whole:", "always `self._is_whole`"): "only spares memory: what is not whole is not kept",
    ("idempotency", 'key = _text(state.idempotency_key or b"")', "without `b''`"): "the guard begins only where there is a key",
    (
        "jwt",
        'claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": person, "sid": session, "jti": secrets.token_urlsafe(16)}',
        "16 -> 17",
    ): "the id is as good",
    ("jwt", "if key is None:", "never `key is None`"): BY_LIBRARY,
    (
        "jwt",
        'options: Any = {"require": list(_REQUIRED), "strict_aud": True, "verify_exp": False, "verify_nbf": False, "verify_iat": False}',
        "True -> False",
    ): "the claims' own type takes one audience only",
    ("jwt", '_decode(token.rpartition(".")[2])', "without `_decode(token.rpartition('.')[2])`"): BY_LIBRARY,
    ("jwt", "if head.alg != ALGORITHM or head.typ != ACCESS:", "without `head.alg != ALGORITHM`"): BY_LIBRARY,
    **{
        ("owners", 'if claims_of(mapper.local_table) and not event.contains(Session, "do_orm_execute", _add_criteria):', what): SPARES
        for what in (
            "always `claims_of(mapper.local_table) and (not event.contains(Sessio`",
            "And -> Or",
            "without `claims_of(mapper.local_table)`",
            "without `not event.contains(Session, 'do_orm_execute', _add_criteria)`",
        )
    },
    ("owned-statements", "if kept is compiled:", "always `kept is compiled`"): SPARES,
}
"""Changes that nobody can see from outside, by target, line of code and change, and why. They are not run, and counted apart."""
RAN = 10
"""A run ends with this and pytest's own result: one that never came so far has noticed nothing."""
Site = tuple[ast.stmt | ast.expr, Callable[[], object], str]
"""Where something can be changed, what changes it, and what to call that."""
COMPARED = {
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
COUNTED = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd}


def mutants(source: str) -> Iterator[tuple[int, str, str]]:
    """Yield line, what was changed, and the changed source, for every single change. Texts for people and annotations stay as they are."""
    total = len(list(_sites(ast.parse(source))))
    for number in range(total):
        tree = ast.parse(source)
        node, change, what = list(_sites(tree))[number]
        line = node.lineno
        change()
        yield line, what, ast.unparse(ast.fix_missing_locations(tree))


def _sites(tree: ast.AST) -> Iterator[Site]:
    for name, value in ast.iter_fields(tree):
        if name in ("annotation", "returns", "decorator_list", "bases", "keywords" if isinstance(tree, ast.ClassDef) else ""):
            continue
        for node in value if isinstance(value, list) else [value]:
            if isinstance(node, ast.AST):
                yield from _changes(node)
                yield from _sites(node)


def _changes(node: ast.AST) -> Iterator[Site]:
    if isinstance(node, ast.Compare):
        for place, operator in enumerate(node.ops):
            other = COMPARED.get(type(operator))
            if other is not None:
                yield node, lambda place=place, other=other: node.ops.__setitem__(place, other()), f"{type(operator).__name__} -> {other.__name__}"
    elif isinstance(node, ast.BoolOp):
        other = ast.Or if isinstance(node.op, ast.And) else ast.And
        yield node, lambda: setattr(node, "op", other()), f"{type(node.op).__name__} -> {other.__name__}"
        for place in range(len(node.values)):
            if len(node.values) > 1:
                yield node, lambda place=place: node.values.pop(place), f"without `{ast.unparse(node.values[place])[:60]}`"
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield node, lambda: (setattr(node, "op", ast.Not()), setattr(node, "operand", ast.UnaryOp(ast.Not(), node.operand))), "not removed"
    elif isinstance(node, ast.BinOp | ast.AugAssign) and type(node.op) in COUNTED:
        other = COUNTED[type(node.op)]
        if not (isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add) and _is_text(node.left, node.right)):
            yield node, lambda: setattr(node, "op", other()), f"{type(node.op).__name__} -> {other.__name__}"
    elif isinstance(node, ast.If | ast.While | ast.IfExp) and ast.unparse(node.test) != "TYPE_CHECKING":
        yield node, lambda: setattr(node, "test", ast.Constant(True)), f"always `{ast.unparse(node.test)[:60]}`"
        yield node, lambda: setattr(node, "test", ast.Constant(False)), f"never `{ast.unparse(node.test)[:60]}`"
    yield from _values(node)
    yield from _statements(node)


def _values(node: ast.AST) -> Iterator[Site]:
    if isinstance(node, ast.Constant) and type(node.value) is int:
        number = node.value
        yield node, lambda: setattr(node, "value", number + 1), f"{number} -> {number + 1}"
    elif isinstance(node, ast.Constant) and type(node.value) is bool:
        truth = node.value
        yield node, lambda: setattr(node, "value", not truth), f"{truth} -> {not truth}"


def _is_text(*nodes: ast.expr) -> bool:
    return any(isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str)) for node in nodes)


def _statements(node: ast.AST) -> Iterator[Site]:
    """Yield the statements that can be left out: what is raised, what is called for its effect alone, what is set."""
    if isinstance(node, ast.ClassDef):
        return
    for name in ("body", "orelse", "finalbody"):
        block = getattr(node, name, None)
        if not isinstance(block, list):
            continue
        for place, statement in enumerate(block):
            is_call = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call | ast.Await)
            if is_call or (isinstance(statement, ast.Raise) and statement.exc is not None) or isinstance(statement, ast.AugAssign):
                what = f"without `{ast.unparse(statement)[:70]}`"
                yield statement, lambda block=block, place=place: block.__setitem__(place, ast.Pass()), what
            elif isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Attribute):
                yield statement, lambda block=block, place=place: block.__setitem__(place, ast.Pass()), f"without `{ast.unparse(statement)[:70]}`"
            elif isinstance(statement, ast.Return) and statement.value is not None and not isinstance(statement.value, ast.Constant):
                yield (
                    statement,
                    lambda statement=statement: setattr(statement, "value", ast.Constant(None)),
                    f"None for `{ast.unparse(statement)[:60]}`",
                )


def run(core: str, tests: list[str], libraries: Connection | None = None) -> None:
    """Run the tests with this copy of the core, in a process of its own, and end it with their result. Tell which libraries they loaded."""
    os.chdir(ROOT)
    os.environ["PYTHONPATH"] = core
    sys.path.insert(0, core)
    sys.dont_write_bytecode = True
    gc.freeze()  # what is loaded already needs no collection
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    import pytest

    try:
        # plain asserts, else the whole core is rewritten, for 2 s a run
        result = int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", "--assert=plain", *tests]))
    except Exception:  # noqa: BLE001 - a plugin of pytest's, which loads the core, fails at it
        result = pytest.ExitCode.INTERNAL_ERROR
    if libraries is not None:
        places = (sys.prefix, f"{sys.base_prefix}/lib")
        files = {name: getattr(module, "__file__", None) or "" for name, module in list(sys.modules.items())}
        libraries.send([name for name, file in files.items() if file.startswith(places) and not name.startswith(("luminai", "__"))])
    os._exit(RAN + result)


def first_run(name: str, core: Path) -> tuple[float, list[str]]:
    """Return how many seconds the tests take without any change, and the libraries that they load."""
    context = multiprocessing.get_context("spawn")
    receiving, sending = context.Pipe(duplex=False)
    started = time.monotonic()
    process = context.Process(target=run, args=(str(core), TARGETS[name][1], sending))
    process.start()
    sending.close()
    libraries: list[str] = receiving.recv()
    process.join()
    if process.exitcode != RAN:
        sys.exit(f"{name}: the tests fail without any change")
    return time.monotonic() - started, libraries


def judge(name: str, seconds: float, copies: Queue[Path], pool: ThreadPoolExecutor) -> float:
    """Return the share of changes, in percent, that the tests noticed within ``seconds`` (a longer run hangs); say which they did not."""
    path, tests = TARGETS[name]
    source = (ROOT / "core" / "luminai" / path).read_text()
    lines = source.splitlines()
    context: Any = multiprocessing.get_context("forkserver")

    def outcome(mutant: tuple[int, str, str]) -> str:
        core = copies.get()
        file = core / "luminai" / path
        try:
            file.write_text(mutant[2])
            process = context.Process(target=run, args=(str(core), tests))
            process.start()
            process.join(seconds)
            if process.exitcode is None:
                process.kill()
                process.join()
                return "hangs"
            if process.exitcode == 1:
                raise RuntimeError("the run ended before there was a test")
            return "SURVIVES" if process.exitcode == RAN else "noticed"
        finally:
            file.write_text(source)
            copies.put(core)

    for copy in copies.queue:
        Path(cache_from_source(str(copy / "luminai" / path))).unlink(missing_ok=True)
    if outcome((0, "nothing", ast.unparse(ast.parse(source)))) != "SURVIVES":
        sys.exit(f"{name}: the tests fail without any change, forked")
    every = [mutant for mutant in mutants(source) if mutant[2] != ast.unparse(ast.parse(source))]
    reasons = [EQUIVALENT.get((name, lines[line - 1].strip(), what)) for line, what, _ in every]
    asked = [mutant for mutant, reason in zip(every, reasons, strict=True) if reason is None]
    found = list(zip(asked, pool.map(outcome, asked), strict=True))
    count = Counter(how for _, how in found)
    share = 100 * (1 - count["SURVIVES"] / len(asked))
    equivalent = len(every) - len(asked)
    print(
        f"{name}: {len(every)} changes, {equivalent} equivalent; {len(asked) - count['SURVIVES']} of {len(asked)} noticed, {share:.1f} %", flush=True
    )
    for (line, what, _), how in found:
        if how != "noticed":
            print(f"  core/luminai/{path}:{line}: {how}: {what}", flush=True)
    for (line, what, _), reason in zip(every, reasons, strict=True):
        if reason is not None:
            print(f"  core/luminai/{path}:{line}: equivalent: {what} ({reason})", flush=True)
    return share


def stale() -> list[str]:
    """Return what EQUIVALENT names and no change is: the code has moved on."""
    made = set()
    for name, (path, _) in TARGETS.items():
        source = (ROOT / "core" / "luminai" / path).read_text()
        made |= {(name, source.splitlines()[line - 1].strip(), what) for line, what, _ in mutants(source)}
    return [": ".join(key) for key in EQUIVALENT if key not in made]


def main() -> int:
    """Return 0 when every module reaches the share that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[*TARGETS, []], help="all without one")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--least", type=float, default=90.0, help="percent that must be noticed")
    asked = parser.parse_args()
    if left := stale():
        sys.exit("EQUIVALENT names changes that nobody makes any more:\n" + "\n".join(left))
    names = asked.names or list(TARGETS)
    copies: Queue[Path] = Queue()
    with tempfile.TemporaryDirectory(prefix="luminai-mutants-") as folder, ThreadPoolExecutor(asked.jobs) as pool:
        for number in range(asked.jobs):
            core = Path(folder) / str(number)
            shutil.copytree(ROOT / "core", core, ignore=shutil.ignore_patterns("__pycache__"))
            compileall.compile_dir(core, quiet=2)
            copies.put(core)
        first = {name: first_run(name, core) for name in names}
        loaded = dict.fromkeys(library for _, libraries in first.values() for library in libraries)
        multiprocessing.set_forkserver_preload(list(loaded))  # in this order: asyncio does not bear another
        shares = [judge(name, 15 + 4 * first[name][0], copies, pool) for name in names]
    return int(min(shares) < asked.least)


if __name__ == "__main__":
    sys.exit(main())
