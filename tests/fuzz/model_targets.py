"""The readers of foreign models and tokenizers, and the server, as functions of bytes."""

from __future__ import annotations

import json
import struct
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from talewright.config import ModelConfig, TokenizerConfig
from talewright.errors import UserError
from talewright.export.adapters import READABLE, Adapter
from talewright.export.importers import read_model
from talewright.export.importers.llama2c import read_llama2c, read_tokenizer_bin
from talewright.export.llama2c import Llama2C
from talewright.export.pretrained import write_tokenizer
from talewright.model.gpt import GPT
from talewright.tokenizer import Tokenizer, make_tokenizer
from talewright.tokenizer.foreign import read_foreign
from tests.data.cases import tales
from tests.export.sources import source_of
from tests.fuzz.target import Target, place, replaced

VOCAB = 270
SHAPE: dict[str, Any] = {
    "n_layers": 2,
    "n_heads": 2,
    "d_model": 8,
    "d_ff": 32,
    "vocab_size": VOCAB,
    "context_length": 16,
}
LLAMA = {"norm": "rmsnorm", "positions": "rotary", "activation": "swiglu", "bias": ()}
GPT2 = {"activation": "gelu_tanh", "bias": ("qkv", "out", "mlp")}
NEO = {"activation": "gelu_tanh", "bias": ("out", "mlp"), "attention": ("global", "local"), "window": 8}
SHAPES: dict[str, dict[str, Any]] = {
    "GPT2LMHeadModel": GPT2,
    "GPTNeoForCausalLM": {**NEO, "attention_scaled": False},
    "LlamaForCausalLM": {**LLAMA, "tied": False},
    "Qwen3ForCausalLM": {**LLAMA, "qk_norm": True, "attention": ("global", "local"), "window": 8},
    "nanoGPT": {**GPT2, "activation": "gelu"},
    "GPTModel": {**GPT2, "bias": ("out", "mlp")},
    "TalewrightForCausalLM": {},
}
"""A model of each class that is read."""
WRITTEN: dict[str, dict[str, Any]] = {
    "nanoGPT": {"n_layer": 2, "n_head": 2, "n_embd": 8, "block_size": 16, "bias": True, "activation_function": "gelu"},
    "GPTModel": {"n_layers": 2, "n_heads": 2, "emb_dim": 8, "context_length": 16, "qkv_bias": False, "drop_rate": 0.1},
}
"""The config.json of classes that nothing is exported to."""
TEXT = "Once upon a time, é😀"


# --- models ----------------------------------------------------------------------------------------------------------


def read_config_json(data: bytes) -> None:
    """The first byte says whose config.json it is."""
    folder = _model_folder(sum(data[:1]) % len(READABLE))
    with replaced(folder / "config.json", data[1:]):
        _read_model(folder)


def in_model(name: str, sharded: bool = False) -> Target:
    def read(data: bytes) -> None:
        folder = _sharded() if sharded else _model_folder(0)
        with replaced(folder / name, data):
            _read_model(folder)

    return Target(read, lambda: [((_sharded() if sharded else _model_folder(0)) / name).read_bytes()])


def _read_model(folder: Path) -> None:
    _, imported = read_model(folder)
    model = GPT(imported.config).eval()
    model.load_state_dict(imported.tensors)
    assert model(torch.tensor([[1, 2, 3]])).shape == (1, 3, imported.config.vocab_size)
    assert imported.tokenizer.decode(imported.tokenizer.encode(TEXT)) == TEXT


@cache
def _model_folder(number: int) -> Path:
    adapter: Adapter = READABLE[number]
    config = ModelConfig(**{**SHAPE, **SHAPES[adapter.architecture]})
    source = source_of(config, _bpe(), number)
    folder = place() / adapter.architecture
    folder.mkdir()
    written = WRITTEN.get(adapter.architecture)
    values = adapter.to_json(config) if written is None else written
    common = {"vocab_size": VOCAB, "tie_word_embeddings": config.tied}
    classes = {"architectures": [adapter.architecture], "model_type": adapter.model_type}
    (folder / "config.json").write_text(json.dumps({**values, **common, **classes}))
    save_file(adapter.export_tensors(config, source.model.state_dict()), folder / "model.safetensors")
    _bpe().save(folder)
    return folder


@cache
def _sharded() -> Path:
    """The first model in two files of weights, and their index."""
    whole, folder = _model_folder(0), place() / "sharded"
    folder.mkdir()
    (folder / "config.json").write_bytes((whole / "config.json").read_bytes())
    _bpe().save(folder)
    tensors = load_file(whole / "model.safetensors")
    files = {name: f"model-{1 + number % 2}.safetensors" for number, name in enumerate(sorted(tensors))}
    for file in set(files.values()):
        save_file({name: tensor for name, tensor in tensors.items() if files[name] == file}, folder / file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": files}))
    return folder


# --- llama2.c --------------------------------------------------------------------------------------------------------


def read_model_bin(data: bytes) -> None:
    folder = _llama2c()
    with replaced(folder / "model.bin", data):
        config, tensors, _ = read_llama2c(folder / "model.bin", None)
        GPT(config).load_state_dict(tensors)


def read_pieces(data: bytes) -> None:
    """tokenizer.bin; its first two bytes are the size of the vocabulary."""
    path = place() / "tokenizer.bin"
    path.write_bytes(data[2:])
    tokenizer = read_tokenizer_bin(path, int.from_bytes(data[:2], "little"))
    assert tokenizer.decode(tokenizer.encode(TEXT)) == TEXT


@cache
def _llama2c() -> Path:
    folder = place() / "llama2c"
    folder.mkdir()
    Llama2C().write(source_of(ModelConfig(**{**SHAPE, **LLAMA, "norm_eps": 1e-5}), _bpe()), folder, "f32")
    return folder


def _pieces() -> list[bytes]:
    """As SentencePiece's: three pieces that no text has, the single bytes, letters, and longer pieces."""
    single = [f"<0x{byte:02X}>" for byte in range(256)]
    pieces = ["<unk>", "\n<s>\n", "\n</s>\n", *single, " ", *"acehimnopt", " t", "he", " the"]
    parts = [struct.pack("<fi", -float(n), len(text)) + text.encode() for n, text in enumerate(pieces)]
    return [len(pieces).to_bytes(2, "little") + struct.pack("<i", 6) + b"".join(parts)]


# --- tokenizers ------------------------------------------------------------------------------------------------------


def read_foreign_tokenizer(data: bytes) -> None:
    """tokenizer.json, tokenizer_config.json and generation_config.json, a NUL between them.

    What is read loses no text, is the same when it is saved, and when it is exported with a pad token.
    """
    folder = place() / "foreign"
    folder.mkdir(exist_ok=True)
    names = ("tokenizer.json", "tokenizer_config.json", "generation_config.json")
    parts = [*data.split(b"\0", 2), b"", b""]
    for name, part in zip(names, parts, strict=False):
        (folder / name).write_bytes(part)
    tokenizer = read_foreign(folder, 300)
    check_tokenizer(tokenizer)


def check_tokenizer(tokenizer: Tokenizer) -> None:
    assert tokenizer.decode(tokenizer.encode(TEXT)) == TEXT
    assert {tokenizer.eos_id, tokenizer.begin_id} <= {*range(tokenizer.vocab_size)}
    tokenizer.save(place() / "saved")
    assert Tokenizer.load(place() / "saved").fingerprint == tokenizer.fingerprint
    write_tokenizer(place() / "exported", tokenizer, 16)
    again = read_foreign(place() / "exported")
    assert again.encode(TEXT) == tokenizer.encode(TEXT)
    assert (again.eos_id, again.begin_id) == (tokenizer.eos_id, tokenizer.begin_id)
    assert again.token_bytes == tokenizer.token_bytes


@cache
def _bpe() -> Tokenizer:
    return make_tokenizer(TokenizerConfig(kind="bpe"), VOCAB, lambda: tales(5))


def _foreign() -> list[bytes]:
    from tests.tokenizer.foreign import GPT4, added, byte_level, changed, sequence, split

    splitters = [byte_level(), sequence(split({"Regex": GPT4}), byte_level(use_regex=False))]
    tokens = [added(VOCAB, "<s>", special=True), added(VOCAB + 1, "fox")]
    begin = {
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {"<s>": {"id": "<s>", "ids": [VOCAB], "tokens": ["<s>"]}},
    }
    texts = [changed(_bpe(), {"pre_tokenizer": each, "added_tokens": tokens}) for each in splitters]
    texts += [changed(_bpe(), {"added_tokens": tokens, "post_processor": begin}), _small_llama()]
    settings = b'\0{"bos_token": "<s>", "eos_token": "<|endoftext|>"}\0{"eos_token_id": [256]}'
    return [text.encode().replace(b"\0", b"") + settings for text in texts]


def _small_llama() -> str:
    """With byte fallback and a mark for each space."""
    path = place() / "seed-tokenizer.bin"
    [data] = _pieces()
    path.write_bytes(data[2:])
    return read_tokenizer_bin(path, int.from_bytes(data[:2], "little")).files()["tokenizer.json"]


# --- the server ------------------------------------------------------------------------------------------------------


def read_request(data: bytes) -> None:
    """The body of a request to the server: answered, or refused with a message in JSON."""
    answer = _client().post("/v1/completions", content=data, headers={"Content-Type": "application/json"})
    if answer.status_code != 200:
        assert 400 <= answer.status_code < 500, answer.text
        raise UserError(answer.json()["error"]["message"])


@cache
def _client() -> Any:
    from dataclasses import replace

    from fastapi.testclient import TestClient

    from talewright.config import load_recipe
    from talewright.export.importers import write_run
    from talewright.server.completions import Service, build_app
    from talewright.server.registry import ModelRegistry
    from talewright.server.scheduler import GenerationScheduler

    source, run = source_of(ModelConfig(**SHAPE), _bpe()), place() / "tales"
    write_run(run, replace(load_recipe("quickstart"), model=source.recipe.model), source.model, _bpe(), 1)
    registry = ModelRegistry([run], "cpu")
    scheduler = GenerationScheduler(registry, per_user=128)
    return TestClient(build_app(Service(registry, scheduler, max_tokens=4)))


def _requests() -> list[bytes]:
    whole = {"model": "tales", "prompt": "A cat", "max_tokens": 3, "temperature": 0.8, "top_p": 0.9, "seed": 1}
    whole |= {"stop": ["."], "n": 2, "logprobs": 2, "top_k": 5, "min_p": 0.1, "repetition_penalty": 1.1}
    bodies: list[dict[str, Any]] = [
        whole,
        {"model": "tales", "prompt": [[1, 2], [3]], "stream": True, "stream_options": {"include_usage": True}},
        {"model": "tales", "prompt": ["A", "B"], "echo": True, "user": "é", "logit_bias": {}},
    ]
    return [json.dumps(body).encode() for body in bodies]


def _configs() -> list[bytes]:
    names = range(len(READABLE))
    return [bytes([number]) + (_model_folder(number) / "config.json").read_bytes() for number in names]


MODEL_TARGETS: dict[str, Target] = {
    "config": Target(read_config_json, _configs),
    "weights-index": in_model("model.safetensors.index.json", sharded=True),
    "foreign-weights": in_model("model.safetensors"),
    "llama2c": Target(read_model_bin, lambda: [(_llama2c() / "model.bin").read_bytes()]),
    "pieces": Target(read_pieces, _pieces),
    "foreign": Target(read_foreign_tokenizer, _foreign),
}
if find_spec("fastapi") is not None:
    MODEL_TARGETS["request"] = Target(read_request, _requests)
