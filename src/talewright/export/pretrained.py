"""What both Hugging Face formats share: config.json, model.safetensors, the tokenizer, generation_config.json."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from talewright.config import EOT, ModelConfig
from talewright.files import write_json
from talewright.generate.sampling import Sampling
from talewright.tokenizer import Tokenizer
from talewright.tokenizer.ends import begins_with
from talewright.tokenizer.pad_token import PAD, pad_token, renamed, with_pad_token

if TYPE_CHECKING:
    from torch import Tensor

    from talewright.export.adapters import Adapter

EXTRA = "hf"
READER_PACKAGES = ("transformers",)
BOUNDS = {"f32": 2e-5, "bf16": 5e-2, "f16": 5e-3}
DTYPES = {"f32": "float32", "bf16": "bfloat16", "f16": "float16"}
"""Names of the precisions in torch and in config.json."""


def write_config(
    folder: Path,
    adapter: Adapter,
    config: ModelConfig,
    tokenizer: Tokenizer,
    dtype: str,
    own: Mapping[str, Any] | None = None,
) -> None:
    """config.json of a model of that class, with settings of the format's own, and generation_config.json."""
    name = DTYPES[dtype]
    _, pad = pad_token(tokenizer)
    tokens = {"bos_token_id": tokenizer.begin_id, "eos_token_id": tokenizer.eos_id, "pad_token_id": pad}
    ends = [*tokenizer.ends] if len(tokenizer.ends) > 1 else tokenizer.eos_id
    no_tokens = {*tokenizer.unused, *range(tokenizer.vocab_size, config.vocab_size)}
    common = {"vocab_size": config.vocab_size, "tie_word_embeddings": config.tied, "dtype": name, "torch_dtype": name}
    sampling = {
        "do_sample": True,
        "temperature": Sampling.temperature,
        "top_k": Sampling.top_k or 0,  # transformers would take 50
        "top_p": Sampling.top_p,
        "max_length": config.context_length,
    }
    kind = {"architectures": [adapter.architecture], "model_type": adapter.model_type}
    write_json(folder / "config.json", {**kind, **(own or {}), **adapter.to_json(config), **common, **tokens})
    if pad != tokenizer.eos_id:
        no_tokens.add(pad)
    if no_tokens:  # a model may have more ids than its tokenizer, which are never generated
        sampling["suppress_tokens"] = sorted(no_tokens)
    write_json(folder / "generation_config.json", {**tokens, "eos_token_id": ends, **sampling})


def write_weights(folder: Path, tensors: dict[str, Tensor], dtype: str) -> None:
    """model.safetensors, as transformers writes it."""
    import torch
    from safetensors.torch import save_file

    precision = getattr(torch, DTYPES[dtype])
    converted = {name: tensor.detach().to(precision).contiguous() for name, tensor in tensors.items()}
    save_file(converted, folder / "model.safetensors", metadata={"format": "pt"})


def write_tokenizer(folder: Path, tokenizer: Tokenizer, context_length: int) -> None:
    """The fast tokenizer, which begins a text with the token that was before each story in training, and has a pad
    token.
    """
    tokenizer.save(folder)
    old, number = pad_token(tokenizer)
    path = folder / "tokenizer.json"
    values = with_pad_token(json.loads(path.read_text(encoding="utf-8")), old, number)
    values["post_processor"] = begins_with(tokenizer.begin, {tokenizer.begin: tokenizer.begin_id})
    path.write_text(json.dumps(values, ensure_ascii=False), encoding="utf-8", newline="\n")
    path = folder / "vocab.json"
    vocab = renamed(json.loads(path.read_text(encoding="utf-8")), old)
    path.write_text(json.dumps(vocab, ensure_ascii=False), encoding="utf-8", newline="\n")
    path = folder / "tokenizer_config.json"
    values = json.loads(path.read_text(encoding="utf-8"))
    pad = EOT if old == EOT else PAD
    # transformers.js begins with it, and converters to GGUF write it, only if add_bos_token says so:
    own = {"add_bos_token": True, "model_max_length": context_length, "padding_side": "left", "pad_token": pad}
    write_json(path, {**values, **own})


def pipeline_command(folder: Path, options: str = "") -> str:
    """A shell command that generates a story with transformers."""
    model = json.dumps(str(folder), ensure_ascii=False)
    code = f'print(pipeline("text-generation", {model}{options})("Once upon a time")[0]["generated_text"])'
    return "python -c " + shlex.quote(f"from transformers import pipeline; {code}")
