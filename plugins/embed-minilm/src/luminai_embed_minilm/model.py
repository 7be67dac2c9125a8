"""all-MiniLM-L6-v2 in numpy: BERT with six layers (Devlin et al., "BERT", NAACL 2019), the mean over tokens, length 1 (Reimers & Gurevych,
"Sentence-BERT", EMNLP 2019). The weights stay on disk and are mapped into memory.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from luminai_embed_minilm.published import WEIGHTS_SHA256, UnusableWeights

HEADS: Final = 12
LAYERS: Final = 6
EPSILON: Final = 1e-12
_MAX_HEADER: Final = 1024 * 1024
Floats = npt.NDArray[np.float32]


class MiniLM:
    """The model.

    Args:
        folder: Has ``model.safetensors`` and ``tokenizer.json``.
        max_tokens: Tokens of a text that count.

    Raises:
        UnusableWeights: something is missing, or is not what was published.
    """

    def __init__(self, folder: Path, max_tokens: int) -> None:
        self._weights = _mapped(folder / "model.safetensors")
        self._tokenizer = _tokenizer(folder / "tokenizer.json", max_tokens)

    def embed(self, texts: Sequence[str]) -> tuple[Floats, int]:
        """Return a row of length 1 for each text, and how many tokens they have. Texts of about one length together are quickest."""
        encoded = self._tokenizer.encode_batch(list(texts))
        tokens = [np.asarray(one.ids, dtype=np.int64) for one in encoded]
        width = max(len(ids) for ids in tokens)
        padded = np.zeros((len(tokens), width), dtype=np.int64)
        mask = np.zeros((len(tokens), width), dtype=np.float32)
        for row, ids in enumerate(tokens):
            padded[row, : len(ids)] = ids
            mask[row, : len(ids)] = 1
        hidden = self._hidden(padded, mask)
        mean = (hidden * mask[:, :, np.newaxis]).sum(axis=1) / mask.sum(axis=1, keepdims=True)
        return mean / np.linalg.norm(mean, axis=1, keepdims=True), int(mask.sum())

    def _hidden(self, tokens: npt.NDArray[np.int64], mask: Floats) -> Floats:
        weights, width = self._weights, tokens.shape[1]
        start = weights["embeddings.word_embeddings.weight"][tokens]
        start = start + weights["embeddings.position_embeddings.weight"][:width] + weights["embeddings.token_type_embeddings.weight"][0]
        hidden = self._normal(start, "embeddings.LayerNorm")
        away = (1 - mask)[:, np.newaxis, np.newaxis, :] * np.float32(-1e9)
        for layer in range(LAYERS):
            name = f"encoder.layer.{layer}."
            attended = self._linear(self._attended(hidden, away, f"{name}attention.self."), f"{name}attention.output.dense")
            hidden = self._normal(attended + hidden, f"{name}attention.output.LayerNorm")
            wide = _gelu(self._linear(hidden, f"{name}intermediate.dense"))
            hidden = self._normal(self._linear(wide, f"{name}output.dense") + hidden, f"{name}output.LayerNorm")
        return hidden

    def _attended(self, hidden: Floats, away: Floats, name: str) -> Floats:
        batch, width, size = hidden.shape

        def heads(part: str) -> Floats:
            return self._linear(hidden, name + part).reshape(batch, width, HEADS, -1).transpose(0, 2, 1, 3)

        scores = heads("query") @ heads("key").transpose(0, 1, 3, 2) / np.float32(math.sqrt(size // HEADS)) + away
        scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
        mixed: Floats = (scores / scores.sum(axis=-1, keepdims=True)) @ heads("value")
        return mixed.transpose(0, 2, 1, 3).reshape(batch, width, size)

    def _linear(self, values: Floats, name: str) -> Floats:
        found: Floats = values @ self._weights[f"{name}.weight"].T + self._weights[f"{name}.bias"]
        return found

    def _normal(self, values: Floats, name: str) -> Floats:
        centred = values - values.mean(axis=-1, keepdims=True)
        spread = np.sqrt((centred * centred).mean(axis=-1, keepdims=True) + np.float32(EPSILON))
        found: Floats = centred / spread * self._weights[f"{name}.weight"] + self._weights[f"{name}.bias"]
        return found


def _gelu(values: Floats) -> Floats:
    """Return x·Φ(x), with the error function by Abramowitz & Stegun 7.1.26: off by less than 1.5e-7, as numpy has none."""
    scaled = np.abs(values) * np.float32(1 / math.sqrt(2))
    part = 1 / (1 + np.float32(0.3275911) * scaled)
    series = part * (0.254829592 + part * (-0.284496736 + part * (1.421413741 + part * (-1.453152027 + part * 1.061405429))))
    error = 1 - series * np.exp(-scaled * scaled)
    found: Floats = (values * np.float32(0.5) * (1 + np.copysign(error, values))).astype(np.float32)
    return found


def _mapped(file: Path) -> dict[str, Floats]:
    """Return the tensors of a safetensors file (eight bytes with the length of a JSON header, the header, the data), after a look at its digest."""
    try:
        with file.open("rb") as opened:
            digest = hashlib.file_digest(opened, "sha256").hexdigest()
            if digest != WEIGHTS_SHA256:
                raise UnusableWeights(f"{file.name} is not the one that was published (SHA-256 {digest[:12]}…)")
            opened.seek(0)
            length = int.from_bytes(opened.read(8), "little")
            header: dict[str, Any] = msgspec.json.decode(opened.read(min(length, _MAX_HEADER)))
        data = np.memmap(file, dtype=np.uint8, mode="r", offset=8 + length)
    except (OSError, ValueError) as error:
        raise UnusableWeights(f"{file.name} cannot be read: {error}") from error
    tensors: dict[str, Floats] = {}
    for name, told in header.items():
        if name != "__metadata__" and told["dtype"] == "F32":
            start, end = told["data_offsets"]
            tensors[name] = data[start:end].view("<f4").reshape(told["shape"])
    return tensors


def _tokenizer(file: Path, max_tokens: int) -> Any:
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise UnusableWeights("the package tokenizers is not installed") from error
    try:
        tokenizer: Any = Tokenizer.from_file(str(file))
    except Exception as error:  # the Rust side raises plain Exception
        raise UnusableWeights(f"{file.name} cannot be read") from error
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_tokens)
    return tokenizer
