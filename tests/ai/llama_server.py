"""Serves a language model with random weights by llama.cpp's own server, on a free port of loopback; runs in the environment of the peers.

The model is made here: half a megabyte, two layers, a vocabulary of bytes. It speaks nonsense, with real tokens, counts, limits and cancelling, and
JSON where a schema asks for it.
"""

import sys
import tempfile
import time
from pathlib import Path

import gguf
import numpy as np
import xllamacpp

WIDTH, INNER, HEADS, LAYERS, CONTEXT = 64, 128, 4, 2, 2048
TEMPLATE = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}assistant:"


def write(path: Path) -> None:
    """Write the model."""
    out = gguf.GGUFWriter(path, "llama")
    out.add_name("tiny-random")
    out.add_context_length(CONTEXT)
    out.add_embedding_length(WIDTH)
    out.add_block_count(LAYERS)
    out.add_feed_forward_length(INNER)
    out.add_head_count(HEADS)
    out.add_head_count_kv(HEADS)
    out.add_layer_norm_rms_eps(1e-5)
    out.add_rope_dimension_count(WIDTH // HEADS)
    out.add_file_type(gguf.LlamaFileType.ALL_F32)
    plain = [chr(code) for code in range(33, 127)] + ["\u2581"]
    tokens = [b"<unk>", b"<s>", b"</s>"] + [b"<0x%02X>" % code for code in range(256)] + [word.encode() for word in plain]
    kind = gguf.TokenType
    out.add_tokenizer_model("llama")
    out.add_token_list(tokens)
    out.add_token_scores([0.0] * 259 + [-float(place) for place in range(len(plain))])
    out.add_token_types([kind.UNKNOWN, kind.CONTROL, kind.CONTROL] + [kind.BYTE] * 256 + [kind.NORMAL] * len(plain))
    out.add_bos_token_id(1)
    out.add_eos_token_id(2)
    out.add_unk_token_id(0)
    out.add_vocab_size(len(tokens))
    out.add_chat_template(TEMPLATE)
    random = np.random.default_rng(0)
    ones = np.ones(WIDTH, np.float32)

    def noise(*shape: int) -> np.ndarray:
        return (random.standard_normal(shape) * 0.05).astype(np.float32)

    out.add_tensor("token_embd.weight", noise(len(tokens), WIDTH))
    out.add_tensor("output_norm.weight", ones)
    out.add_tensor("output.weight", noise(len(tokens), WIDTH))
    for layer in range(LAYERS):
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            out.add_tensor(f"blk.{layer}.{name}.weight", noise(WIDTH, WIDTH))
        out.add_tensor(f"blk.{layer}.attn_norm.weight", ones)
        out.add_tensor(f"blk.{layer}.ffn_norm.weight", ones)
        out.add_tensor(f"blk.{layer}.ffn_gate.weight", noise(INNER, WIDTH))
        out.add_tensor(f"blk.{layer}.ffn_up.weight", noise(INNER, WIDTH))
        out.add_tensor(f"blk.{layer}.ffn_down.weight", noise(WIDTH, INNER))
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()


with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "tiny.gguf"
    write(path)
    settings = xllamacpp.CommonParams()
    settings.model.path = str(path)
    settings.n_ctx = 1024
    settings.n_predict = 64
    settings.hostnames = ["127.0.0.1"]
    settings.port = int(sys.argv[1])
    settings.warmup = False
    settings.use_jinja = True
    settings.embedding = len(sys.argv) > 2
    server = xllamacpp.Server(settings)
    sys.stdout.write(f"{server.listening_address}\n")
    sys.stdout.flush()
    while True:
        time.sleep(3600)
