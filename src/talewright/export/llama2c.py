"""The files that llama2.c's run.c reads (github.com/karpathy/llama2.c): model.bin and tokenizer.bin.

run.c begins a story with token 1 and stops at it, and takes token 3 + b for a byte b that it knows no better; so the
ids are numbered anew. `ids.json` holds the new number of each of ours.
"""

from __future__ import annotations

import dataclasses
import json
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from torch import Tensor

from talewright.config import ModelConfig
from talewright.errors import UserError
from talewright.export.gguf import cuts_as_gpt2, gguf_tensors
from talewright.export.layouts import Llama, folded_shape
from talewright.export.layouts.fold import fold_embedding, fold_scale
from talewright.export.layouts.rules import first_reason
from talewright.export.target import Source, Target
from talewright.model.positions import rotations
from talewright.tokenizer import Tokenizer

HEADER = "<7i"
"""d_model, d_ff, n_layers, n_heads, n_kv_heads, vocab_size (negative where the output layer is not tied), context."""
BEGIN, FIRST_BYTE = 1, 3
SMALLEST = FIRST_BYTE + 256
EPS, BASE = 1e-5, 10000.0
"""What run.c has in its code."""
ORDER = ("attn_norm", "attn_q", "attn_k", "attn_v", "attn_output", "ffn_norm", "ffn_gate", "ffn_down", "ffn_up")
"""Each of these stands there for all layers, then the next."""


BOUNDS = {"f32": 1e-4}


class Llama2C(Target):
    name = "llama2c"
    extra = "hf"
    packages = ()
    bounds = BOUNDS
    client = "llama2c"

    def why_not(self, config: ModelConfig) -> str | None:
        shape = dataclasses.replace(folded_shape(config), attention_scaled=True)
        reason = Llama().why_not(shape) or first_reason(
            (bool(config.bias), "its projections have biases"),
            (config.norm_eps != EPS, f"its model.norm_eps is {config.norm_eps}, there {EPS}"),
            (config.rotary_base != BASE, f"its model.rotary_base is {config.rotary_base}, there {BASE}"),
            (
                config.vocab_size < SMALLEST,
                f"its vocabulary of {config.vocab_size} ids is below the {SMALLEST} of there",
            ),
        )
        return reason and f"run.c computes another model, since {reason}; --to hf-remote takes any model"

    def write(self, source: Source, folder: Path, dtype: str) -> None:
        config, tensors = fold_scale(*fold_embedding(source.model), scaled=True)
        if not cuts_as_gpt2(source.tokenizer):
            raise UserError("the run's tokenizer does not cut text as GPT-2's does; run.c's files hold no other")
        ids = new_ids(source.tokenizer, config.vocab_size)
        for name in ("embedding.weight", "head.weight"):
            if name in tensors:
                tensors[name] = tensors[name][np.argsort(ids)]
        with (folder / "model.bin").open("wb") as file:
            file.write(struct.pack(HEADER, *header(config)))
            for tensor in _in_order(config, dict(gguf_tensors(config, tensors, "llama"))):
                file.write(tensor.detach().numpy().astype("<f4").tobytes())
        (folder / "tokenizer.bin").write_bytes(tokenizer_bin(source.tokenizer, ids))
        (folder / "ids.json").write_text(json.dumps(ids.tolist()) + "\n", encoding="utf-8")
        source.tokenizer.save(folder / "tokenizer")

    def usage(self, place: str) -> str:
        return USAGE.format(place=place)


USAGE = """```sh
./run {place}/model.bin -z {place}/tokenizer.bin -t 0.8
```

With llama2.c's `run`. It puts a space before a prompt (`-i "Once upon a time"`), as its own tokenizer does, and joins
letters wherever they make a token: most prompts become the tokens that the model was trained on, not all.
"""


def header(config: ModelConfig) -> tuple[int, ...]:
    vocab = config.vocab_size if config.tied else -config.vocab_size
    shape = (config.d_model, config.d_ff, config.n_layers, config.n_heads, config.kv_heads)
    return (*shape, vocab, config.context_length)


def _in_order(config: ModelConfig, tensors: dict[str, Tensor]) -> Iterator[Tensor]:
    yield tensors["token_embd.weight"]
    for name in ORDER:
        for layer in range(config.n_layers):
            yield tensors[f"blk.{layer}.{name}.weight"]
    yield tensors["output_norm.weight"]
    yield rotations(config.context_length, config.head_dim, BASE)[
        ..., : config.head_dim // 2
    ]  # read by its first versions
    if not config.tied:
        yield tensors["output.weight"]


def new_ids(tokenizer: Tokenizer, vocab_size: int) -> np.ndarray:
    """What run.c calls each of our ids: (vocab_size,). The end of text is 1, a byte b is 3 + b; of the others the last
    two take 0 and 2, and the rest follow the bytes in their order.
    """
    ids = np.full(vocab_size, -1)
    ids[tokenizer.eos_id] = BEGIN
    for number, spelled in enumerate(tokenizer.token_bytes):
        if len(spelled) == 1:
            ids[number] = FIRST_BYTE + spelled[0]
    (others,) = np.nonzero(ids < 0)
    ids[others[-2:]] = (0, 2)
    ids[others[:-2]] = SMALLEST + np.arange(len(others) - 2)
    return ids


def tokenizer_bin(tokenizer: Tokenizer, ids: np.ndarray) -> bytes:
    """The length of the longest token, then of each token its score, its length and its bytes. A token has a higher
    score the earlier it is merged.
    """
    bpe = tokenizer.merges()
    ranks: dict[str, int] = {}
    for rank, (left, right) in enumerate(bpe.merges):
        ranks.setdefault(left + right, rank)
    scores = {number: -float(ranks.get(token, 0)) for token, number in bpe.vocab.items()}
    spelled = dict(enumerate(tokenizer.token_bytes)) | {tokenizer.eos_id: b"\n<s>\n"}
    texts = [spelled.get(number) or f"<unused {number}>".encode() for number in range(len(ids))]
    parts = [struct.pack("<fi", scores.get(n, 0.0), len(texts[n])) + texts[n] for n in np.argsort(ids).tolist()]
    return struct.pack("<i", max(map(len, texts))) + b"".join(parts)
