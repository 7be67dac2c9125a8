"""Run the tests that failed in the run before once more, alone; arguments are handed to pytest.

Three thousand tests with real servers, processes and browsers share two cores in CI. As CPython's own suite does, a few that failed there get a second
run without the others; it passes when all of them do, and names them: such a test depends on timing, which is a fault to be found. Many failures are none of that
kind, and a run that broke off before it noted failures is none either: both stay failed.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
NOTED = ROOT / ".pytest_cache" / "v" / "cache" / "lastfailed"
MOST = 3


def main() -> int:
    """Return 0 when there were one to three failures and all of them passed this time."""
    failed = sorted(json.loads(NOTED.read_text())) if NOTED.exists() else []
    if not 1 <= len(failed) <= MOST:
        print(f"{len(failed)} failed tests are noted; only one to {MOST} are run again.")
        return 1
    code = subprocess.run([sys.executable, "-m", "pytest", *sys.argv[1:], *failed], cwd=ROOT, check=False).returncode  # noqa: S603 - pytest of this environment
    if code == 0:
        print("FAILED FIRST, PASSED ALONE, so they depend on timing: " + ", ".join(failed))
    return int(code != 0)


if __name__ == "__main__":
    raise SystemExit(main())
