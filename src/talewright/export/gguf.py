"""GGUF: one file with the model and its tokenizer, for llama.cpp and all that is built on it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from talewright.config import ModelConfig
from talewright.export.adapters import GPT2Adapter, LlamaAdapter, Qwen3Adapter, fold, folded_config
from talewright.export.adapters.base import difference, first_reason, local_reason
from talewright.export.adapters.ggml import export_ggml
from talewright.export.target import ExportSource, ExportTarget
from talewright.export.vocabulary import BYTES, ScoredPieces, foreign_vocabulary, padding
from talewright.tokenizer import Tokenizer

if TYPE_CHECKING:
    from gguf import GGUFWriter
    from torch import Tensor

FILE = "model.gguf"
FILE_TYPES = {"f32": "ALL_F32", "f16": "MOSTLY_F16", "bf16": "MOSTLY_BF16", "q8_0": "MOSTLY_Q8_0"}
"""The format's name for the precision of the whole file."""
BOUNDS = {"f32": 2e-3, "f16": 1e-2, "bf16": 5e-2, "q8_0": 1e-1}  # llama.cpp looks up GELU in a float16 table


class GGUF(ExportTarget):
    name = "gguf"
    extra = "gguf"
    packages = ("gguf", "llama_cpp")
    bounds = BOUNDS
    reader = "gguf"
    usage_template = f"""```python
from llama_cpp import Llama  # pyright: ignore[reportMissingImports]

model = Llama("{{place}}/{FILE}", n_ctx=0)
print(model("Once upon a time", max_tokens=200)["choices"][0]["text"])
```

Or with llama.cpp itself: `llama-completion -m {{place}}/{FILE} -c 0 -p "Once upon a time"`.
"""

    def unsupported_reason(self, config: ModelConfig) -> str | None:
        shape = dataclasses.replace(folded_config(config), attention_scaled=True)  # the scale is folded too
        reason = _choose_architecture(shape)[1]
        return reason and f"no model of llama.cpp computes the same: {reason}. --to hf-remote takes any model"

    def write(self, source: ExportSource, folder: Path, dtype: str) -> None:
        from gguf import GGUFWriter

        config, tensors = fold(source.model, attention_scaled=True)
        architecture, _ = _choose_architecture(config)
        writer = GGUFWriter(folder / FILE, architecture)
        _write_settings(writer, source.recipe.name, config, architecture, dtype)
        _write_tokenizer(writer, source.tokenizer, config.vocab_size)
        for name, tensor in export_ggml(config, tensors, architecture).items():
            _write_tensor(writer, name, tensor, dtype)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()


def _choose_architecture(config: ModelConfig) -> tuple[str, str | None]:
    """The nearest model of llama.cpp to a folded shape, and why it does not compute the same (None if it does)."""
    if config.norm == "layernorm":
        return "gpt2", GPT2Adapter().unsupported_reason(config) or difference(config, {"activation": "gelu_tanh"})
    if not config.qk_norm:
        return "llama", LlamaAdapter().unsupported_reason(config)
    bias = ("out" in config.bias, "its attention output has a bias together with normalized queries and keys")
    return "qwen3", Qwen3Adapter().unsupported_reason(config) or local_reason(config) or first_reason(bias)


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
    """The tokenizer, with an end of text before each text as in training."""
    from gguf import TokenType

    vocabulary = foreign_vocabulary(tokenizer)
    types = [TokenType.UNUSED] * vocab_size
    if isinstance(vocabulary, ScoredPieces):
        names = dict(enumerate(vocabulary.pieces))
        special = vocabulary.special
        writer.add_tokenizer_model("llama")
        writer.add_tokenizer_pre("default")
        writer.add_token_scores([*vocabulary.scores, *[0.0] * (vocab_size - len(names))])
        writer.add_add_space_prefix(True)
    else:
        names = {number: token for token, number in vocabulary.vocab.items()}
        special = {tokenizer.eos_id}
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre("gpt-2")
        writer.add_token_merges([" ".join(pair) for pair in vocabulary.merges])
    for number, name in names.items():
        single = isinstance(vocabulary, ScoredPieces) and name in BYTES
        types[number] = TokenType.CONTROL if number in special else TokenType.BYTE if single else TokenType.NORMAL
    writer.add_token_list([names.get(number, padding(number)) for number in range(vocab_size)])
    writer.add_token_types(types)
    writer.add_bos_token_id(tokenizer.eos_id)
    writer.add_eos_token_id(tokenizer.eos_id)
    writer.add_add_bos_token(True)


def _write_tensor(writer: GGUFWriter, name: str, tensor: Tensor, dtype: str) -> None:
    """A matrix in the given precision. Vectors, positions, and rows that do not fill whole blocks stay float32."""
    from gguf import GGMLQuantizationType, quants

    values = tensor.detach().contiguous().numpy()
    exact = tensor.dim() == 1 or name == "position_embd.weight" or (dtype == "q8_0" and tensor.shape[1] % 32)
    kind = GGMLQuantizationType["F32" if exact else dtype.upper()]
    writer.add_tensor(name, quants.quantize(values, kind), raw_dtype=kind)
