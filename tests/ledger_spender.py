"""Spends from the wallet of a ledger with many callers until it is empty or each has tried so often; counts what became of it. A process for tests.

python tests/ledger_spender.py URL CALLERS TRIES NAME FOLDER [KILL]

With KILL it kills itself (-9) when the callers have asked for so many, in the middle of their transfers.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from ledger_bank import bank

from luminai_ledger import Account, Guard, Journal


async def main(url: str, callers: int, tries: int, name: str, folder: Path, kill: int = -1) -> None:
    """Spend."""
    wallet = Account(purpose="wallet", asset="EUR", guard=Guard.DEBITS).id
    counted: Counter[str] = Counter()
    left = iter(range(tries))
    with (folder / "issued").open("a", buffering=1) as issued:
        async with bank(folder=folder, database_url=url) as made:

            async def caller() -> None:
                for number in left:
                    key = f"{name}.{os.getpid()}.{number}"
                    issued.write(key + "\n")
                    if number == kill:
                        os.kill(os.getpid(), signal.SIGKILL)
                    journal = Journal(scope="spender", key=key, legs=(made.transfer(wallet, made.clearing, 1),))
                    (outcome,) = await made.ledger.submit(journal)
                    counted[outcome.result.value] += 1

            await asyncio.gather(*(caller() for _ in range(callers)))
    sys.stdout.write(json.dumps({"ok": 0} | counted) + "\n")


if __name__ == "__main__":
    Path(sys.argv[5]).mkdir(parents=True, exist_ok=True)
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4], Path(sys.argv[5]), *map(int, sys.argv[6:])))
