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
from typing import NamedTuple

import numpy as np
from torch import Tensor

from talewright.config import ModelConfig
from talewright.errors import UserError
from talewright.export.adapters import Llama, folded_shape
from talewright.export.adapters.fold import fold_embedding, fold_scale
from talewright.export.adapters.rules import first_reason
from talewright.export.gguf import gguf_tensors
from talewright.export.target import Source, Target
from talewright.export.vocabulary import BYTES, cuts_as_gpt2, llama_pieces
from talewright.model.positions import rotations
from talewright.tokenizer import Tokenizer
from talewright.tokenizer.fallback import SPACE

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
        pieces = pieces_of(source.tokenizer)
        ids = new_ids(pieces, source.tokenizer.eos_id, config.vocab_size)
        for name in ("embedding.weight", "head.weight"):
            if name in tensors:
                tensors[name] = tensors[name][np.argsort(ids)]
        with (folder / "model.bin").open("wb") as file:
            file.write(struct.pack(HEADER, *header(config)))
            for tensor in _in_order(config, dict(gguf_tensors(config, tensors, "llama"))):
                file.write(tensor.detach().numpy().astype("<f4").tobytes())
        (folder / "tokenizer.bin").write_bytes(tokenizer_bin(pieces, ids))
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
    half = config.head_dim // 2
    yield rotations(config.context_length, config.head_dim, BASE)[..., :half]  # read by its first versions
    if not config.tied:
        yield tensors["output.weight"]


class RunCPieces(NamedTuple):
    """A tokenizer as run.c has it: of two neighbours, those whose joint text has the highest score become one."""

    texts: list[bytes]
    """Of each id, as it stands in tokenizer.bin; nothing where no text has it."""
    scores: list[float]
    single: dict[int, int]
    """The byte of each id that stands for one that has no letters."""


def pieces_of(tokenizer: Tokenizer) -> RunCPieces:
    """The tokenizer's pieces. Raises UserError where it is of a kind that run.c would cut otherwise."""
    if (llama := llama_pieces(tokenizer)) is not None:
        single = {number: BYTES[piece] for number, piece in enumerate(llama.spelled) if piece in BYTES}
        texts = [b"" if n in llama.special else _spelled(piece) for n, piece in enumerate(llama.spelled)]
        return RunCPieces(texts, llama.scores, single)
    if not cuts_as_gpt2(tokenizer):
        raise UserError(
            "the run's tokenizer cuts text neither as GPT-2's nor as Llama's does; run.c's files hold no other"
        )
    bpe, ranks = tokenizer.merges(), dict[str, int]()
    for rank, (left, right) in enumerate(bpe.merges):
        ranks.setdefault(left + right, rank)
    scores = {number: -float(ranks.get(token, 0)) for token, number in bpe.vocab.items()}
    single = {number: text[0] for number, text in enumerate(tokenizer.token_bytes) if len(text) == 1}
    return RunCPieces(tokenizer.token_bytes, [scores.get(n, 0.0) for n in range(tokenizer.vocab_size)], single)


def _spelled(piece: str) -> bytes:
    return piece.replace(SPACE, " ").encode()


def new_ids(pieces: RunCPieces, eos_id: int, vocab_size: int) -> np.ndarray:
    """What run.c calls each of our ids: (vocab_size,). The end of text is 1, a byte b is 3 + b; of the others, those
    that no text has take 0 and 2, else the last two, and the rest follow the bytes in their order.
    """
    ids = np.full(vocab_size, -1)
    ids[eos_id] = BEGIN
    for number, byte in pieces.single.items():
        ids[number] = FIRST_BYTE + byte
    others = np.flatnonzero(ids < 0).tolist()
    unused = [number for number in others if number >= len(pieces.texts) or not pieces.texts[number]]
    odd = [*unused, *(number for number in reversed(others) if number not in unused)][:2]
    ids[odd] = (0, 2)
    ids[[number for number in others if number not in odd]] = SMALLEST + np.arange(len(others) - 2)
    return ids


def tokenizer_bin(pieces: RunCPieces, ids: np.ndarray) -> bytes:
    """The length of the longest token, then of each token its score, its length and its bytes."""
    old = np.argsort(ids).tolist()
    known = len(pieces.texts)
    texts = [pieces.texts[n] if n < known and pieces.texts[n] else f"<unused {n}>".encode() for n in old]
    texts[BEGIN] = b"\n<s>\n"
    scores = [pieces.scores[n] if n < known else 0.0 for n in old]
    parts = [struct.pack("<fi", score, len(text)) + text for score, text in zip(scores, texts, strict=True)]
    return struct.pack("<i", max(map(len, texts))) + b"".join(parts)
