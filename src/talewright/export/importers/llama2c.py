"""llama2.c's model.bin, in: a Llama with what run.c has in its code (see `export/llama2c.py`)."""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from talewright.config import EOT, ModelConfig
from talewright.errors import UserError
from talewright.export.adapters import Tensors
from talewright.export.importers.tokenizer import read_tokenizer
from talewright.export.llama2c import BASE, EPS, FIRST_BYTE, HEADER, ORDER, SMALLEST
from talewright.export.vocabulary import BYTES, LONGEST, Pieces, tokenizer_of_pieces
from talewright.tokenizer import Tokenizer
from talewright.tokenizer.fallback import SPACE

FILE = "model.bin"
OTHERWISE = "name a folder that has the model's tokenizer.json with --tokenizer"
LATER = b"24ka"
"""How llama2.c's later formats begin, which run.c does not read."""


def llama2c_file(source: str) -> Path | None:
    """The file of a source that is llama2.c's: a .bin that is not pickled, or the model.bin of an export."""
    path = Path(source).expanduser()
    if path.is_dir() and not (path / "config.json").exists():
        path = path / FILE
    if not path.is_file() or path.suffix != ".bin":
        return None
    with path.open("rb") as file:
        begin = file.read(4)
    narrow = begin[2:] == b"\0\0"  # a width below 65,536; what is pickled has letters or signs in these places
    return path if narrow or begin == LATER else None


def read_llama2c(path: Path, tokenizer: str | None) -> tuple[ModelConfig, Tensors, Tokenizer]:
    """The model in the file, with its tokenizer. Raises UserError where one of the two is none."""
    config, tensors = _read_model(path)
    ids = _own_ids(path.with_name("ids.json"), config.vocab_size)
    if ids is not None:
        turned = {name: tensors[name][ids] for name in ("embedding.weight", "head.weight") if name in tensors}
        tensors |= turned
    return config, tensors, _tokenizer(path, tokenizer, config.vocab_size, ids is not None)


def _tokenizer(model: Path, named: str | None, vocab_size: int, ours: bool) -> Tokenizer:
    """The one that is named; else, of an export of ours, its own; else that of the tokenizer.bin beside the model."""
    own, pieces = model.with_name("tokenizer"), model.with_name("tokenizer.bin")
    if named is not None and Path(named).suffix == ".bin":
        pieces = Path(named).expanduser()
    elif named is not None or (ours and own.is_dir()):
        return read_tokenizer(own, named, vocab_size)
    if not pieces.is_file():
        raise UserError(
            f"{model} has no tokenizer: there is no {pieces}; name the model's tokenizer.bin, or a folder that has its "
            "tokenizer.json, with --tokenizer"
        )
    return read_pieces(pieces, vocab_size)


def read_pieces(path: Path, vocab_size: int) -> Tokenizer:
    """The tokenizer in a tokenizer.bin of llama2.c, of which every pair that makes a third piece is a merge.

    Raises UserError where it is another model's, is damaged, or has not the single bytes where run.c looks for them.
    """
    data, place = path.read_bytes(), 4
    spelled, scores = [], []
    try:
        for _ in range(vocab_size):
            score, length = struct.unpack_from("<fi", data, place)
            text = data[place + 8 : place + 8 + length]
            if len(text) != length or length > LONGEST:
                raise struct.error
            spelled.append(text.decode().replace(" ", SPACE))
            scores.append(score)
            place += 8 + length
    except (struct.error, UnicodeDecodeError):
        where = f"piece {len(spelled)} of {vocab_size:,} is cut off, no text, or longer than {LONGEST:,} bytes"
        raise UserError(f"{path} is not SentencePiece's, or another model's: {where}; {OTHERWISE}") from None
    if place < len(data):
        raise UserError(f"{path} holds more than the {vocab_size:,} pieces of the model; it is another model's")
    if spelled[FIRST_BYTE:SMALLEST] != list(BYTES):
        bytes_ = "the 256 single bytes <0x00> to <0xFF> after its first three pieces"
        raise UserError(f"{path} has not {bytes_}, as SentencePiece writes them; {OTHERWISE}")
    spelled[:FIRST_BYTE] = ["<unk>", EOT, "</s>"]
    return tokenizer_of_pieces(Pieces(spelled, scores, frozenset(range(FIRST_BYTE))))


def _own_ids(path: Path, vocab_size: int) -> np.ndarray | None:
    """What an export of ours calls each of our ids; None where the file is not there."""
    if not path.is_file():
        return None
    try:
        ids = np.array(json.loads(path.read_text(encoding="utf-8")), dtype=np.int64)
    except (OSError, ValueError, TypeError, OverflowError, RecursionError):
        raise UserError(f"{path} is no list of whole numbers") from None
    if ids.ndim != 1 or sorted(ids.tolist()) != list(range(vocab_size)):
        raise UserError(f"{path} does not number the {vocab_size:,} ids of the model beside it")
    return ids


def _read_model(path: Path) -> tuple[ModelConfig, Tensors]:
    """Shape and tensors, the ids numbered as in the file."""
    data = path.read_bytes()
    if data.startswith(LATER):
        raise UserError(
            f"{path} is of a later format of llama2.c, which run.c does not read; its export.py --version 0 does"
        )
    config = _config(path, data)
    shapes = _shapes(config)
    wanted = struct.calcsize(HEADER) + 4 * sum(math.prod(shape) for _, shape in shapes)
    if len(data) != wanted:
        raise UserError(f"{path} has {len(data):,} bytes; the model that its header describes has {wanted:,}")
    words, found = torch.from_numpy(np.frombuffer(data, "<f4", offset=struct.calcsize(HEADER)).copy()), {}
    for name, shape in shapes:
        size = math.prod(shape)
        found[name], words = words[:size].view(shape), words[size:]
    return config, _ours(config, found)


def _config(path: Path, data: bytes) -> ModelConfig:
    if len(data) < struct.calcsize(HEADER):
        raise UserError(f"{path} has {len(data)} bytes, too few for a model of llama2.c")
    d_model, d_ff, n_layers, n_heads, n_kv_heads, vocab_size, context = struct.unpack_from(HEADER, data)
    config = ModelConfig(
        d_model=d_model,
        d_ff=d_ff,
        n_layers=n_layers,
        n_heads=n_heads,
        n_kv_heads=n_kv_heads,
        vocab_size=abs(vocab_size),
        context_length=context,
        norm="rmsnorm",
        norm_eps=EPS,
        positions="rotary",
        rotary_base=BASE,
        activation="swiglu",
        bias=(),
        tied=vocab_size > 0,
    )
    if problems := list(config.problems()):
        raise UserError(f"{path} is no model of llama2.c; its header says: " + "; ".join(problems))
    return config


def _shapes(config: ModelConfig) -> list[tuple[str, tuple[int, ...]]]:
    """Names and shapes of what stands in the file, in its order; each layer's tensors stacked."""
    L, D, F, kv = config.n_layers, config.d_model, config.d_ff, config.kv_heads * config.head_dim
    sizes = {"attn_q": (D, D), "attn_k": (kv, D), "attn_v": (kv, D), "attn_output": (D, D)}
    sizes |= {"ffn_gate": (F, D), "ffn_down": (D, F), "ffn_up": (F, D), "attn_norm": (D,), "ffn_norm": (D,)}
    found = [("embedding", (config.vocab_size, D)), *((name, (L, *sizes[name])) for name in ORDER), ("norm", (D,))]
    found.append(("rotations", (config.context_length, config.head_dim)))
    return found if config.tied else [*found, ("head", (config.vocab_size, D))]


def _ours(config: ModelConfig, theirs: Tensors) -> Tensors:
    found = {f"{name}.weight": theirs[name] for name in ("embedding", "norm", "head") if name in theirs}
    for i in range(config.n_layers):
        q, k = (in_halves(theirs[name][i], config.head_dim) for name in ("attn_q", "attn_k"))
        parts = {
            "norm1": theirs["attn_norm"][i],
            "attention.qkv": torch.cat((q, k, theirs["attn_v"][i])),
            "attention.out": theirs["attn_output"][i],
            "norm2": theirs["ffn_norm"][i],
            "mlp.up": torch.cat((theirs["ffn_gate"][i], theirs["ffn_up"][i])),
            "mlp.down": theirs["ffn_down"][i],
        }
        found |= {f"blocks.{i}.{name}.weight": tensor for name, tensor in parts.items()}
    return found


def in_halves(rows: Tensor, head_dim: int) -> Tensor:
    """What `gguf.in_turns` made of rows of queries or keys, undone."""
    return rows.unflatten(0, (-1, head_dim // 2, 2)).transpose(1, 2).flatten(0, 2)
