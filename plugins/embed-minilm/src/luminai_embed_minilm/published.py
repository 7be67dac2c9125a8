"""What is known of the model before anything of it is loaded."""

from __future__ import annotations

from typing import Final

DIMENSIONS: Final = 384
WEIGHTS_SHA256: Final = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""Of ``model.safetensors`` of sentence-transformers/all-MiniLM-L6-v2, revision 1110a243; other weights are not loaded."""


class UnusableWeights(Exception):
    """The weights or the tokenizer cannot be used; the text says why."""
