"""One file for llama.cpp and all that is built on it, the tokenizer inside: GGUF."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from talewright.config import ModelConfig
from talewright.errors import UserError
from talewright.export.adapters import Llama, Qwen3, Tensors, folded_shape
from talewright.export.adapters.fold import fold_embedding, fold_scale
from talewright.export.adapters.rules import first_reason, gpt_reason, head_rows, is_local
from talewright.export.target import Source, Target
from talewright.export.vocabulary import BYTES, Pieces, cuts_as_gpt2, llama_pieces, padding
from talewright.tokenizer import Tokenizer

if TYPE_CHECKING:
    from gguf import GGUFWriter

FILE = "model.gguf"
FILE_TYPES = {"f32": "ALL_F32", "f16": "MOSTLY_F16", "bf16": "MOSTLY_BF16", "q8_0": "MOSTLY_Q8_0"}
"""Our words for the precision of the matrices, and the format's own for the whole file."""
BOUNDS = {"f32": 2e-3, "f16": 1e-2, "bf16": 5e-2, "q8_0": 1e-1}  # llama.cpp looks GELU up in a table of float16
NAMES = {
    "norm1": "attn_norm",
    "attention.qkv": "attn_qkv",
    "attention.out": "attn_output",
    "attention.q_norm": "attn_q_norm",
    "attention.k_norm": "attn_k_norm",
    "norm2": "ffn_norm",
    "mlp.up": "ffn_up",
    "mlp.down": "ffn_down",
}
"""What the parts of a block are called there."""
ENDS = {"embedding": "token_embd", "positions": "position_embd", "norm": "output_norm", "head": "output"}
"""The same outside the blocks."""


class GGUF(Target):
    name = "gguf"
    extra = "gguf"
    packages = ("gguf", "llama_cpp")
    bounds = BOUNDS
    client = "gguf"

    def why_not(self, config: ModelConfig) -> str | None:
        shape = dataclasses.replace(folded_shape(config), attention_scaled=True)  # the scale is folded as well
        reason = _choose(shape)[1]
        return reason and f"no model of llama.cpp computes the same, since {reason}; --to hf-remote takes any model"

    def write(self, source: Source, folder: Path, dtype: str) -> None:
        from gguf import GGUFWriter

        config, tensors = fold_scale(*fold_embedding(source.model), scaled=True)
        architecture, _ = _choose(config)
        writer = GGUFWriter(folder / FILE, architecture)
        _write_settings(writer, source.recipe.name, config, architecture, dtype)
        _write_tokenizer(writer, source.tokenizer, config.vocab_size)
        for name, tensor in gguf_tensors(config, tensors, architecture):
            _write_tensor(writer, name, tensor, dtype)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()

    def usage(self, place: str) -> str:
        return USAGE.format(place=place, file=FILE)


USAGE = """```python
from llama_cpp import Llama  # pyright: ignore[reportMissingImports]

model = Llama("{place}/{file}", n_ctx=0)
print(model("Once upon a time", max_tokens=200)["choices"][0]["text"])
```

Or `llama-completion -m {place}/{file} -c 0 -p "Once upon a time"` with llama.cpp itself.
"""


def _choose(config: ModelConfig) -> tuple[str, str | None]:
    """The model of llama.cpp that a folded shape is nearest to, and why it is none of it (None: it is)."""
    local = (is_local(config), "some of its layers see a local window only")
    if config.norm == "layernorm":
        gelu = (config.activation != "gelu_tanh", f"its non-linearity is {config.activation}, there gelu_tanh")
        return "gpt2", gpt_reason(config) or first_reason(local, gelu)
    if not config.qk_norm:
        return "llama", Llama().why_not(config)
    out = ("out" in config.bias, "its attention's output has a bias beside normalised queries and keys")
    return "qwen3", Qwen3().why_not(config) or first_reason(local, out)


def gguf_tensors(config: ModelConfig, ours: Tensors, architecture: str) -> Iterator[tuple[str, Tensor]]:
    """The tensors of a folded model by llama.cpp's names."""
    if architecture == "gpt2":
        ours = _with_biases(config, ours)
    for name, tensor in ours.items():
        module, _, kind = name.rpartition(".")
        if module in ENDS:
            yield f"{ENDS[module]}.{kind}", tensor
            continue
        _, layer, part = module.split(".", 2)
        for there, piece in _split(config, NAMES[part], tensor, architecture):
            yield f"blk.{layer}.{there}.{kind}", piece


def _split(config: ModelConfig, name: str, tensor: Tensor, architecture: str) -> Iterator[tuple[str, Tensor]]:
    """What Llama and Qwen3 hold apart and we in one."""
    if architecture == "gpt2" or name not in ("attn_qkv", "ffn_up"):
        yield name, tensor
    elif name == "ffn_up":
        yield from zip(("ffn_gate", "ffn_up"), tensor.chunk(2), strict=True)
    else:
        q, k, v = tensor.split(head_rows(config))
        if architecture == "llama":
            q, k = in_turns(q, config.head_dim), in_turns(k, config.head_dim)
        yield from (("attn_q", q), ("attn_k", k), ("attn_v", v))


def in_turns(rows: Tensor, head_dim: int) -> Tensor:
    """Rows of queries or keys (n_heads * d, ...) for a rotation of neighbours (0 with 1, 2 with 3), as the first Llama
    had it, where ours turns the halves of a head (0 with d/2, 1 with d/2 + 1).
    """
    return rows.unflatten(0, (-1, 2, head_dim // 2)).transpose(1, 2).flatten(0, 2)


def _with_biases(config: ModelConfig, ours: Tensors) -> Tensors:
    """The same with zeros for the biases that llama.cpp's GPT-2 must have."""
    found = dict(ours)
    for name, tensor in ours.items():
        if name.endswith(("qkv.weight", "out.weight", "up.weight", "down.weight")):
            found.setdefault(name.removesuffix("weight") + "bias", torch.zeros(len(tensor)))
    return found


def _write_settings(writer: GGUFWriter, name: str, config: ModelConfig, architecture: str, dtype: str) -> None:
    from gguf import LlamaFileType

    writer.add_name(name)
    writer.add_file_type(LlamaFileType[FILE_TYPES[dtype]])
    writer.add_quantization_version(2)
    writer.add_vocab_size(config.vocab_size)
    writer.add_context_length(config.context_length)
    writer.add_embedding_length(config.d_model)
    writer.add_feed_forward_length(config.d_ff)
    writer.add_block_count(config.n_layers)
    writer.add_head_count(config.n_heads)
    writer.add_head_count_kv(config.kv_heads)
    if architecture == "gpt2":
        writer.add_layer_norm_eps(config.norm_eps)
        return
    writer.add_layer_norm_rms_eps(config.norm_eps)
    writer.add_rope_freq_base(config.rotary_base)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)


def _write_tokenizer(writer: GGUFWriter, tokenizer: Tokenizer, vocab_size: int) -> None:
    """The tokenizer, as GPT-2's kind or as Llama's, and an end of text before each text as in training."""
    pieces = llama_pieces(tokenizer)
    if pieces is not None:
        _write_pieces(writer, pieces, vocab_size)
    elif cuts_as_gpt2(tokenizer):
        _write_merges(writer, tokenizer, vocab_size)
    else:
        raise UserError(
            "the run's tokenizer cuts text neither as GPT-2's nor as Llama's does, so llama.cpp would read other tokens"
        )
    writer.add_bos_token_id(tokenizer.eos_id)
    writer.add_eos_token_id(tokenizer.eos_id)
    writer.add_add_bos_token(True)


def _write_merges(writer: GGUFWriter, tokenizer: Tokenizer, vocab_size: int) -> None:
    from gguf import TokenType

    bpe = tokenizer.merges()
    spelled = {number: token for token, number in bpe.vocab.items()}
    types = [TokenType.NORMAL if number in spelled else TokenType.UNUSED for number in range(vocab_size)]
    types[tokenizer.eos_id] = TokenType.CONTROL
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list([spelled.get(number, padding(number)) for number in range(vocab_size)])
    writer.add_token_types(types)
    writer.add_token_merges([" ".join(pair) for pair in bpe.merges])


def _write_pieces(writer: GGUFWriter, pieces: Pieces, vocab_size: int) -> None:
    from gguf import TokenType

    spare = range(len(pieces.spelled), vocab_size)
    types = [TokenType.BYTE if piece in BYTES else TokenType.NORMAL for piece in pieces.spelled]
    for number in pieces.special:
        types[number] = TokenType.CONTROL
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list([*pieces.spelled, *map(padding, spare)])
    writer.add_token_scores([*pieces.scores, *(0.0 for _ in spare)])
    writer.add_token_types([*types, *(TokenType.UNUSED for _ in spare)])
    writer.add_add_space_prefix(True)


def _write_tensor(writer: GGUFWriter, name: str, tensor: Tensor, dtype: str) -> None:
    """A matrix in the precision asked for; vectors, positions and rows that fill no whole group stay float32."""
    from gguf import GGMLQuantizationType, quants

    values = tensor.detach().contiguous().numpy()
    kept = tensor.dim() == 1 or name == "position_embd.weight" or (dtype == "q8_0" and tensor.shape[1] % 32)
    kind = GGMLQuantizationType["F32" if kept else dtype.upper()]
    writer.add_tensor(name, quants.quantize(values, kind), raw_dtype=kind)
