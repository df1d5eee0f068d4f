"""GGUF: one file with the model and its tokenizer, for llama.cpp and all that is built on it."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from talewright.config import EOT, ModelConfig
from talewright.export.adapters import GPT2Adapter, LlamaAdapter, Qwen3Adapter, fold, folded_config
from talewright.export.adapters.base import difference, first_reason, local_reason
from talewright.export.adapters.ggml import export_ggml
from talewright.export.gguf_contents import check_contents
from talewright.export.target import ExportSource, ExportTarget
from talewright.export.vocabulary import BYTES, ScoredPieces, foreign_vocabulary, padding
from talewright.generate.sampling import Sampling
from talewright.tokenizer import Tokenizer

if TYPE_CHECKING:
    from gguf import GGUFWriter
    from torch import Tensor

    from talewright.export.adapters.tensor_map import Tensors
    from talewright.tokenizer.base import Merges

FILE, MODELFILE = "model.gguf", "Modelfile"
FILE_TYPES = {"f32": "ALL_F32", "f16": "MOSTLY_F16", "bf16": "MOSTLY_BF16", "q8_0": "MOSTLY_Q8_0"}
"""The format's name for the precision of the whole file."""
BOUNDS = {"f32": 2e-3, "f16": 1e-2, "bf16": 5e-2, "q8_0": 1e-1}  # llama.cpp looks up GELU in a float16 table


class GGUF(ExportTarget):
    name = "gguf"
    extra = "gguf"
    packages = ("gguf",)
    reader_packages = ("llama_cpp",)
    reader_requirement = "llama-cpp-python"  # not in the extra: it is compiled where it is installed
    bounds = BOUNDS
    reader = "gguf"
    library = "gguf"
    reads_files = True
    usage_template = f"""```python
from llama_cpp import Llama

model = Llama("{{place}}/{FILE}", n_ctx=0)
print(model("Once upon a time", max_tokens=200)["choices"][0]["text"])
```

Or with llama.cpp itself, or with Ollama, which takes the `{MODELFILE}` beside the file (LM Studio: `lms import`):

```sh
llama-completion -m {{shell}}/{FILE} -c 0 -p "Once upon a time"
ollama create NAME -f {{shell}}/{MODELFILE}
```
"""

    def unsupported_reason(self, config: ModelConfig) -> str | None:
        reason = _choose_architecture(folded_config(config, attention_scaled=True))[1]
        return reason and f"no model of llama.cpp computes the same: {reason}. --to hf-remote takes any model"

    def commands(self, folder: Path) -> dict[str, str]:
        model, recipe = (shlex.quote(str(folder / name)) for name in (FILE, MODELFILE))
        name = re.sub(r"[^a-z0-9]+", "-", folder.resolve().name.lower()).strip("-") or "stories"
        return {
            "llama.cpp": f'llama-completion -m {model} -c 0 -p "Once upon a time"',
            "Ollama": f'ollama create {name} -f {recipe} && ollama run {name} "Once upon a time"',
            "LM Studio": f"lms import {model}",
        }

    def check_contents(self, source: ExportSource, folder: Path, dtype: str) -> str:
        architecture, config, tensors = _as_llama_cpp(source)
        vocabulary = foreign_vocabulary(source.tokenizer)
        settings = {
            "general.architecture": architecture,
            f"{architecture}.context_length": config.context_length,
            f"{architecture}.embedding_length": config.d_model,
            f"{architecture}.feed_forward_length": config.d_ff,
            f"{architecture}.block_count": config.n_layers,
            f"{architecture}.attention.head_count": config.n_heads,
            f"{architecture}.attention.head_count_kv": config.kv_heads,
            "tokenizer.ggml.tokens": _token_names(vocabulary, config.vocab_size),
            "tokenizer.ggml.bos_token_id": source.tokenizer.begin_id,
            "tokenizer.ggml.eos_token_id": source.tokenizer.eos_id,
        }
        if not isinstance(vocabulary, ScoredPieces):
            settings["tokenizer.ggml.merges"] = [" ".join(pair) for pair in vocabulary.merges]
        return check_contents(folder / FILE, settings, tensors)

    def write(self, source: ExportSource, folder: Path, dtype: str) -> None:
        from gguf import GGUFWriter

        architecture, config, tensors = _as_llama_cpp(source)
        writer = GGUFWriter(folder / FILE, architecture)
        _write_settings(writer, source.recipe.name, config, architecture, dtype)
        _write_tokenizer(writer, source.tokenizer, config.vocab_size)
        for name, tensor in tensors.items():
            _write_tensor(writer, name, tensor, dtype)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        (folder / MODELFILE).write_text(_modelfile(config.context_length), encoding="utf-8", newline="\n")


def _as_llama_cpp(source: ExportSource) -> tuple[str, ModelConfig, Tensors]:
    """The model as llama.cpp has it: its architecture, shape and tensors."""
    config, tensors = fold(source.model, attention_scaled=True)
    architecture, _ = _choose_architecture(config)
    tensors = export_ggml(config, tensors, architecture)
    return architecture, config, {name: tensor.detach() for name, tensor in tensors.items()}


def _modelfile(context_length: int) -> str:
    """What Ollama needs to know: plain text in, without a chat's roles, and the sampling of the command line."""
    parameters = {
        "num_ctx": context_length,
        "temperature": Sampling.temperature,
        "top_p": Sampling.top_p or 1.0,
        "top_k": Sampling.top_k or 0,
        "repeat_penalty": Sampling.repetition_penalty,
        "num_predict": Sampling.max_new_tokens,
        "stop": f'"{EOT}"',
    }
    lines = [f"FROM ./{FILE}", 'TEMPLATE """{{ .Prompt }}"""', *(f"PARAMETER {k} {v}" for k, v in parameters.items())]
    return "\n".join(lines) + "\n"


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
    """The tokenizer, which begins each text as in training."""
    from gguf import TokenType

    vocabulary = foreign_vocabulary(tokenizer)
    types = [TokenType.UNUSED] * vocab_size
    if isinstance(vocabulary, ScoredPieces):
        special = vocabulary.special
        writer.add_tokenizer_model("llama")
        writer.add_tokenizer_pre("default")
        writer.add_token_scores([*vocabulary.scores, *[0.0] * (vocab_size - len(vocabulary.scores))])
        writer.add_add_space_prefix(True)
    else:
        special = {number for number, text in enumerate(tokenizer.token_bytes) if not text}
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre("gpt-2")
        writer.add_token_merges([" ".join(pair) for pair in vocabulary.merges])
    names = _token_names(vocabulary, vocab_size)
    for number, name in enumerate(names[: tokenizer.vocab_size]):
        single = isinstance(vocabulary, ScoredPieces) and name in BYTES
        types[number] = TokenType.CONTROL if number in special else TokenType.BYTE if single else TokenType.NORMAL
    writer.add_token_list(names)
    writer.add_token_types(types)
    writer.add_bos_token_id(tokenizer.begin_id)
    writer.add_eos_token_id(tokenizer.eos_id)
    for other in tokenizer.ends[1:2]:  # the format has one more place
        writer.add_eot_token_id(other)
    writer.add_add_bos_token(True)


def _token_names(vocabulary: Merges | ScoredPieces, vocab_size: int) -> list[str]:
    """The name of each id; those without a token have names of their own."""
    if isinstance(vocabulary, ScoredPieces):
        names = dict(enumerate(vocabulary.pieces))
    else:
        names = {number: token for token, number in vocabulary.vocab.items()}
    return [names.get(number, padding(number)) for number in range(vocab_size)]


def _write_tensor(writer: GGUFWriter, name: str, tensor: Tensor, dtype: str) -> None:
    """A matrix in the given precision. Vectors, positions, and rows that do not fill whole blocks stay float32."""
    from gguf import GGMLQuantizationType, quants

    values = tensor.detach().contiguous().numpy()
    exact = tensor.dim() == 1 or name == "position_embd.weight" or (dtype == "q8_0" and tensor.shape[1] % 32)
    kind = GGMLQuantizationType["F32" if exact else dtype.upper()]
    writer.add_tensor(name, quants.quantize(values, kind), raw_dtype=kind)
