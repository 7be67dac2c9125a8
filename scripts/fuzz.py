"""Fuzz a hub with every plugin for longer than the tests do, then ledger, wallets and payments by their state machines. Prints its seed; the same draws the same.

python scripts/fuzz.py [--examples 1000] [--ledger-steps 200000] [--credits-steps 200000] [--payments-steps 200000] [--seed N] [--anonymous]
"""

from __future__ import annotations

import argparse
import secrets
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

import credits_machine
import ledger_machine
import payments_machine
from fuzzing import cases, failed_requests, full_hub, fuzz, operator_key

STEPS = 200
"""Steps of one run of a state machine."""
EXAMPLES = 5
"""Runs in one hub where what was paid is compared as a whole: the later ones would cost most."""


def main() -> int:
    """Run once and return the exit code: 0 when nothing failed and nothing was answered with 500 or more."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=int, default=1000, help="most requests an operation and phase")
    parser.add_argument("--seed", type=int, default=0, help="0 draws one")
    parser.add_argument("--anonymous", action="store_true", help="without a credential")
    parser.add_argument("--ledger-steps", type=int, default=200_000, help="steps of the ledger against its model; 0 for none")
    parser.add_argument("--payments-steps", type=int, default=200_000, help="steps of payments against ledger and provider; 0 for none")
    parser.add_argument("--credits-steps", type=int, default=200_000, help="steps of a wallet against its model; 0 for none")
    asked = parser.parse_args()
    seed = asked.seed or secrets.randbelow(2**31) + 1
    print(f"seed {seed}, {asked.examples} examples", flush=True)
    with tempfile.TemporaryDirectory(prefix="luminai-fuzz-") as folder, full_hub(Path(folder)) as home:
        key = "" if asked.anonymous else operator_key(home)
        code, report = fuzz(home, Path(folder), key=key, examples=asked.examples, seed=seed)
        failed = failed_requests(home)
    print(report)
    print("\n".join(failed))
    print(f"seed {seed}: {cases(report)} requests, {len(failed)} answers of 500 or more")
    if asked.ledger_steps:
        ledger_machine.run(max(1, asked.ledger_steps // STEPS), STEPS, seed=seed)
        print(f"seed {seed}: the ledger did what its model does in {asked.ledger_steps} steps")
    if asked.payments_steps:
        for number in range(max(1, asked.payments_steps // (EXAMPLES * STEPS))):
            payments_machine.run(EXAMPLES, STEPS, seed=seed + number, shrink=False)
        print(f"seed {seed}: payments, ledger and provider agreed in {asked.payments_steps} steps")
    if asked.credits_steps:
        with tempfile.TemporaryDirectory(prefix="luminai-fuzz-") as folder:
            credits_machine.run(Path(folder), max(1, asked.credits_steps // STEPS), STEPS, seed=seed)
        print(f"seed {seed}: a wallet did what its model does in {asked.credits_steps} steps")
    return code or bool([line for line in failed if "/api/admin/audit/aud_" not in line])


if __name__ == "__main__":
    sys.exit(main())
