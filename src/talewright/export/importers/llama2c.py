"""Import model.bin of llama2.c: a Llama with the constants of run.c (see `export/llama2c.py`)."""

from __future__ import annotations

import dataclasses
import json
import math
import struct
from pathlib import Path
from typing import Any

import numpy as np
import torch

from talewright.config import EOT, ModelConfig
from talewright.errors import UserError
from talewright.export.adapters import LlamaAdapter, Tensors
from talewright.export.adapters.config_json import MOST
from talewright.export.adapters.ggml import LLAMA_MAP, import_llama
from talewright.export.importers.tokenizer import read_tokenizer
from talewright.export.llama2c import (
    CONSTANTS,
    FIRST_BYTE,
    HEADER,
    IDS,
    MIN_VOCAB,
    MODEL,
    ROTATIONS,
    TOKENIZER,
    tensor_order,
)
from talewright.export.vocabulary import BYTES, MAX_PIECE, ScoredPieces, tokenizer_from_pieces
from talewright.files import expand_home
from talewright.run.checkpoint import not_finite
from talewright.tokenizer import Tokenizer
from talewright.tokenizer.fallback import SPACE

NAME_ONE = "name a folder with the model's tokenizer.json with --tokenizer"
LATER = b"24ka"
"""How the later formats of llama2.c begin, which run.c does not read."""


def llama2c_file(source: str) -> Path | None:
    """The file of a source that is llama2.c's: a .bin that is not pickled, or the model.bin of an export."""
    path = expand_home(source)
    if path.is_dir() and not (path / "config.json").exists():
        path = path / MODEL
    if not path.is_file() or path.suffix != ".bin":
        return None
    with path.open("rb") as file:
        start = file.read(4)
    narrow = start[2:] == b"\0\0"  # a width below 65,536; a pickle has other bytes here
    return path if narrow or start == LATER else None


def read_llama2c(path: Path, tokenizer: str | None) -> tuple[ModelConfig, Tensors, Tokenizer]:
    """The model in the file, and its tokenizer. Raises UserError if one of the two is damaged or missing."""
    config, tensors = _read_model(path)
    ids = _read_ids(path.with_name(IDS), config.vocab_size)
    if ids is not None:
        tensors |= {name: tensors[name][ids] for name in ("embedding.weight", "head.weight") if name in tensors}
    return config, tensors, _find_tokenizer(path, tokenizer, config.vocab_size, ours=ids is not None)


def read_tokenizer_bin(path: Path, vocab_size: int) -> Tokenizer:
    """The tokenizer in a tokenizer.bin of llama2.c; every pair of pieces that makes a third is a merge.

    Raises UserError if it belongs to another model, is damaged, or lacks the single bytes where run.c expects them.
    """
    data, offset = path.read_bytes(), 4
    pieces, scores = [], []
    try:
        for _ in range(vocab_size):
            score, length = struct.unpack_from("<fi", data, offset)
            text = data[offset + 8 : offset + 8 + length]
            if len(text) != length or length > MAX_PIECE:
                raise struct.error
            pieces.append(text.decode().replace(" ", SPACE))
            scores.append(score)
            offset += 8 + length
    except (struct.error, UnicodeDecodeError):
        problem = f"piece {len(pieces)} of {vocab_size:,} is cut off, not text, or longer than {MAX_PIECE:,} bytes"
        raise UserError(
            f"{path} is not a SentencePiece tokenizer, or belongs to another model: {problem}; {NAME_ONE}"
        ) from None
    if offset < len(data):
        raise UserError(f"{path} has more than the model's {vocab_size:,} pieces, so it belongs to another model")
    if pieces[FIRST_BYTE:MIN_VOCAB] != list(BYTES):
        single = "the 256 single bytes <0x00> to <0xFF> after its first three pieces"
        raise UserError(f"{path} does not have {single}, as SentencePiece writes them; {NAME_ONE}")
    pieces[:FIRST_BYTE] = ["<unk>", EOT, "</s>"]
    return tokenizer_from_pieces(ScoredPieces(pieces, scores, frozenset(range(FIRST_BYTE))))


def _find_tokenizer(model: Path, named: str | None, vocab_size: int, ours: bool) -> Tokenizer:
    """The named tokenizer; otherwise that of our own export; otherwise the tokenizer.bin next to the model."""
    own, pieces = model.with_name("tokenizer"), model.with_name(TOKENIZER)
    if named is not None and Path(named).suffix == ".bin":
        pieces = expand_home(named)
    elif named is not None or (ours and own.is_dir()):
        return read_tokenizer(own, named, vocab_size)
    if not pieces.is_file():
        raise UserError(f"{model} has no tokenizer: there is no {pieces}; name another with --tokenizer, or {NAME_ONE}")
    return read_tokenizer_bin(pieces, vocab_size)


def _read_ids(path: Path, vocab_size: int) -> np.ndarray | None:
    """The numbers that our export gave to our ids; None if there is no such file."""
    if not path.is_file():
        return None
    try:
        ids = np.array(json.loads(path.read_text(encoding="utf-8")), dtype=np.int64)
    except (OSError, ValueError, TypeError, OverflowError, RecursionError):
        raise UserError(f"{path} is not a list of integers") from None
    if ids.ndim != 1 or sorted(ids.tolist()) != list(range(vocab_size)):
        raise UserError(f"{path} does not number the {vocab_size:,} ids of the model next to it")
    return ids


def _read_model(path: Path) -> tuple[ModelConfig, Tensors]:
    """Shape and tensors, with ids as numbered in the file."""
    data = path.read_bytes()
    if data.startswith(LATER):
        raise UserError(f"{path} is in a later format of llama2.c. Write it with its export.py --version 0 instead")
    if len(data) < HEADER.size:
        raise UserError(f"{path} has {len(data)} bytes, too few for a model of llama2.c")
    config = _read_header(path, data)
    expected = _expected_bytes(config)
    if len(data) != expected:
        raise UserError(f"{path} has {len(data):,} bytes; the model that its header describes has {expected:,}")
    shapes, tensors = _shapes(config), {}
    numbers = torch.from_numpy(np.frombuffer(data, "<f4", offset=HEADER.size).copy())
    for name in tensor_order(config):
        size = math.prod(shapes[name])
        tensors[name], numbers = numbers[:size].view(shapes[name]), numbers[size:]
    if faults := not_finite({name: tensor for name, tensor in tensors.items() if name != ROTATIONS}):
        raise UserError(f"the weights in {path} contain NaN or infinite values: {faults}")
    return config, import_llama(config, tensors)


def _shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    return LLAMA_MAP.shapes(config) | {ROTATIONS: (config.context_length, config.head_dim)}


def _expected_bytes(config: ModelConfig) -> int:
    """Size of the file, from one layer: a damaged header may say that there are a billion."""
    sizes = {name: math.prod(shape) for name, shape in _shapes(dataclasses.replace(config, n_layers=1)).items()}
    layer = sum(size for name, size in sizes.items() if name.startswith("blk."))
    return HEADER.size + 4 * (sum(sizes.values()) + (config.n_layers - 1) * layer)


def _read_header(path: Path, data: bytes) -> ModelConfig:
    names = ("d_model", "d_ff", "n_layers", "n_heads", "n_kv_heads", "vocab_size", "context_length")
    sizes: dict[str, Any] = dict(zip(names, HEADER.unpack_from(data), strict=True))
    sizes |= {"vocab_size": abs(sizes["vocab_size"]), "tied": sizes["vocab_size"] > 0}
    config = ModelConfig(**{**LlamaAdapter.fixed, **CONSTANTS, **sizes})
    too_large = [f"{name} is {size:,}, above {MOST:,}" for name, size in sizes.items() if size > MOST]
    if problems := [*too_large, *config.problems()]:
        raise UserError(f"{path} is not a model of llama2.c; its header says: " + "; ".join(problems))
    return config
