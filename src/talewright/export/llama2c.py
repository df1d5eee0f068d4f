"""The files that run.c of llama2.c reads (github.com/karpathy/llama2.c): model.bin and tokenizer.bin.

run.c begins a story with token 1 and stops at it, and takes token 3 + b for a byte b without a token of its own, so
the ids are renumbered. `ids.json` holds the new number of each of our ids.
"""

from __future__ import annotations

import json
import shlex
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np

from talewright.config import ModelConfig
from talewright.errors import UserError
from talewright.export.adapters import LlamaAdapter, fold, folded_config
from talewright.export.adapters.base import difference
from talewright.export.adapters.ggml import export_ggml
from talewright.export.target import ExportSource, ExportTarget
from talewright.export.vocabulary import BYTES, ScoredPieces, foreign_vocabulary
from talewright.tokenizer import Tokenizer
from talewright.tokenizer.fallback import SPACE

MODEL, TOKENIZER, IDS = "model.bin", "tokenizer.bin", "ids.json"
HEADER = struct.Struct("<7i")
"""d_model, d_ff, n_layers, n_heads, n_kv_heads, vocab_size (negative if the output layer is not tied), context."""
BEGIN, FIRST_BYTE = 1, 3
MIN_VOCAB = FIRST_BYTE + 256
CONSTANTS = {"norm_eps": 1e-5, "rotary_base": 10000.0, "bias": ()}
"""Settings of every model of run.c."""
ROTATIONS = "rotations"
"""The tensor of cosines and sines that the first versions of run.c read."""
LAYER_TENSORS = ("attn_norm", "attn_q", "attn_k", "attn_v", "attn_output", "ffn_norm", "ffn_gate", "ffn_down", "ffn_up")


def tensor_order(config: ModelConfig) -> Iterator[str]:
    """llama.cpp's names of the tensors in model.bin: each tensor of a layer for all layers, then the next."""
    yield "token_embd.weight"
    yield from (f"blk.{layer}.{name}.weight" for name in LAYER_TENSORS for layer in range(config.n_layers))
    yield from ("output_norm.weight", ROTATIONS)
    if not config.tied:
        yield "output.weight"


class Llama2C(ExportTarget):
    name = "llama2c"
    extra = "hf"
    bounds: ClassVar[Mapping[str, float]] = {"f32": 1e-4}
    reader = "llama2c"
    reads_files = True
    usage_template = """With the `run` program of llama2.c:

```sh
./run {shell}/model.bin -z {shell}/tokenizer.bin -t 0.8
```

It puts a space before a prompt (`-i "Once upon a time"`), as its own tokenizer does, and joins letters wherever they
make a token. Most prompts, but not all, become the tokens that the model was trained on.
"""

    def unsupported_reason(self, config: ModelConfig) -> str | None:
        shape = folded_config(config, attention_scaled=True)
        reason = LlamaAdapter().unsupported_reason(shape) or difference(config, CONSTANTS)
        if reason is None and config.vocab_size < MIN_VOCAB:
            reason = f"its model.vocab_size is {config.vocab_size}, below the {MIN_VOCAB} tokens that it needs"
        return reason and f"run.c does not compute the same: {reason}. --to hf-remote takes any model"

    def commands(self, folder: Path) -> dict[str, str]:
        model, tokenizer = (shlex.quote(str(folder / name)) for name in (MODEL, TOKENIZER))
        return {"run.c": f'./run {model} -z {tokenizer} -t 0.8 -i "Once upon a time"'}

    def write(self, source: ExportSource, folder: Path, dtype: str) -> None:
        from talewright.model.positions import rotations

        config, tensors = fold(source.model, attention_scaled=True)
        tokens = run_c_tokens(source.tokenizer)
        ids = new_ids(tokens, source.tokenizer.eos_id, config.vocab_size)
        for name in ("embedding.weight", "head.weight"):
            if name in tensors:
                tensors[name] = tensors[name][np.argsort(ids)]
        foreign = export_ggml(config, tensors, "llama")
        foreign[ROTATIONS] = rotations(config.context_length, config.head_dim, config.rotary_base)[
            ..., : config.head_dim // 2
        ]
        vocab_size = config.vocab_size if config.tied else -config.vocab_size
        sizes = (config.d_model, config.d_ff, config.n_layers, config.n_heads, config.kv_heads)
        with (folder / MODEL).open("wb") as file:
            file.write(HEADER.pack(*sizes, vocab_size, config.context_length))
            for name in tensor_order(config):
                file.write(foreign[name].detach().numpy().astype("<f4").tobytes())
        (folder / TOKENIZER).write_bytes(tokenizer_bin(tokens, ids))
        (folder / IDS).write_text(json.dumps(ids.tolist()) + "\n", encoding="utf-8", newline="\n")
        source.tokenizer.save(folder / "tokenizer")


class RunCTokens(NamedTuple):
    """A tokenizer as run.c has it: of two neighbors, those whose joint text has the highest score become one."""

    texts: list[bytes]
    """The text of each id; empty if no text contains it."""
    scores: list[float]
    single: dict[int, int]
    """Ids that stand for a single byte, and that byte."""


def run_c_tokens(tokenizer: Tokenizer) -> RunCTokens:
    """The tokenizer's tokens. Raises UserError if it is of a kind that run.c would tokenize differently, or if a text
    does not begin and end with the same token, the only one that run.c knows.
    """
    if tokenizer.begin_id != tokenizer.eos_id:
        raise UserError(
            f"the run's tokenizer begins a text with {tokenizer.begin} and ends it with another token; run.c ends a "
            "story only at the token that begins one. --to hf-remote takes any model"
        )
    vocabulary = foreign_vocabulary(tokenizer)
    if isinstance(vocabulary, ScoredPieces):
        single = {number: BYTES[piece] for number, piece in enumerate(vocabulary.pieces) if piece in BYTES}
        texts = [piece.replace(SPACE, " ").encode() for piece in vocabulary.pieces]
        texts = [b"" if number in vocabulary.special else text for number, text in enumerate(texts)]
        return RunCTokens(texts, vocabulary.scores, single)
    ranks: dict[str, int] = {}
    for rank, (left, right) in enumerate(vocabulary.merges):
        ranks.setdefault(left + right, rank)
    scores = {number: -float(ranks.get(token, 0)) for token, number in vocabulary.vocab.items()}
    single = {number: text[0] for number, text in enumerate(tokenizer.token_bytes) if len(text) == 1}
    return RunCTokens(tokenizer.token_bytes, [scores.get(n, 0.0) for n in range(tokenizer.vocab_size)], single)


def new_ids(tokens: RunCTokens, eos_id: int, vocab_size: int) -> np.ndarray:
    """The number of each of our ids in run.c, (vocab_size,).

    The end of text is 1 and a byte b is 3 + b. Ids that no text contains take 0 and 2, otherwise the last two; the
    rest follow the bytes in their order.
    """
    ids = np.full(vocab_size, -1)
    ids[eos_id] = BEGIN
    for number, byte in tokens.single.items():
        ids[number] = FIRST_BYTE + byte
    others = np.flatnonzero(ids < 0).tolist()
    unused = [number for number in others if number >= len(tokens.texts) or not tokens.texts[number]]
    spare = [*unused, *(number for number in reversed(others) if number not in unused)][:2]
    ids[spare] = (0, 2)
    ids[[number for number in others if number not in spare]] = MIN_VOCAB + np.arange(len(others) - 2)
    return ids


def tokenizer_bin(tokens: RunCTokens, ids: np.ndarray) -> bytes:
    """The length of the longest token, then the score, the length and the bytes of each token."""
    old = np.argsort(ids).tolist()
    known = len(tokens.texts)
    texts = [tokens.texts[n] if n < known and tokens.texts[n] else f"<unused {n}>".encode() for n in old]
    texts[BEGIN] = b"\n<s>\n"
    scores = [tokens.scores[n] if n < known else 0.0 for n in old]
    parts = [struct.pack("<fi", score, len(text)) + text for score, text in zip(scores, texts, strict=True)]
    return struct.pack("<i", max(map(len, texts))) + b"".join(parts)
