"""The twin of Stripe is a package of this folder."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
