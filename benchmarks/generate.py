"""Generation beside transformers, litgpt and llama.cpp, in turn, greedy, from one token, in models of one shape.

    python benchmarks/generate.py --recipe mini-2m --llama-cpp f32 --rivals ours transformers litgpt
    python benchmarks/generate.py --recipe gpt2-124m --tokens 60 --llama-cpp f32 f16 q8_0
    python benchmarks/generate.py --recipe gpt2-124m --tokens 60 --batches 1 32 --rivals ours

Weights are random: the text is nonsense, at the speed of sense. llama.cpp is given a file that our export makes,
with the tanh GELU, the one that it has.
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from alternate import Rival, alternate, table

from talewright.config import ModelConfig, load_recipe
from talewright.export.gguf import FILE, GGUF
from talewright.export.target import ExportSource
from talewright.generate.batching import Request, generate_all
from talewright.generate.quantization import BYTES, WeightPrecision, decoder_at
from talewright.generate.sampling import Sampling
from talewright.machine import keep_heap
from talewright.model.cost import count_parameters
from talewright.model.gpt import GPT
from talewright.tokenizer.bpe import train_bpe

SIZES = {**BYTES, "f32": 4, "f16": 2, "q8_0": 34 / 32}
"""Bytes of a weight, by a word in the rival's name."""


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--recipe", default="mini-2m")
    options.add_argument("--tokens", type=int, default=200)
    options.add_argument("--batches", type=int, nargs="+", default=[1])
    options.add_argument("--precisions", nargs="+", default=["fp32", "fp16", "int8"])
    options.add_argument("--rivals", nargs="*", default=["ours", "transformers"])
    options.add_argument("--llama-cpp", nargs="*", default=[], metavar="DTYPE", help="f32, f16, bf16, q8_0")
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--json", action="store_true")
    chosen = options.parse_args()
    config = load_recipe(chosen.recipe).model
    rivals: dict[str, Rival] = {}
    for batch in chosen.batches:
        for precision in chosen.precisions:
            rivals[f"ours, {precision}, batch {batch}"] = Rival(ours, (config, chosen.tokens, batch, precision))
        if "transformers" in chosen.rivals:
            rivals[f"transformers, fp32, batch {batch}"] = Rival(theirs, (config, chosen.tokens, batch))
    if "litgpt" in chosen.rivals:
        rivals["litgpt, fp32, batch 1"] = Rival(litgpt, (config, chosen.tokens))
    for dtype in chosen.llama_cpp:
        rivals[f"llama.cpp, {dtype}, batch 1"] = Rival(llama_cpp, (config, dtype, chosen.tokens))
    found = alternate(rivals, chosen.rounds, warm_up=1, calls=2)
    first, parameters = next(iter(found.values())).seconds, count_parameters(config).total
    rows = {}
    for name, (seconds, _) in found.items():
        batch = int(name.rsplit(" ", 1)[1])
        size = next((size for word, size in SIZES.items() if word in name), 4)
        rows[name] = {
            "tokens/s": batch * chosen.tokens / seconds,
            "ms/token": 1000 * seconds / chosen.tokens,
            "GB/s of weights": parameters * size * chosen.tokens / seconds / 1e9,
            "speedup of the first": seconds / first / batch * int(next(iter(found)).rsplit(" ", 1)[1]),
        }
    table(rows, chosen.json)


def ours(config: ModelConfig, tokens: int, batch: int, precision: WeightPrecision) -> Callable[[], object]:
    keep_heap()
    decoder = decoder_at(GPT(config).eval(), config.vocab_size, precision)
    sampling = Sampling(max_new_tokens=tokens, temperature=0)

    def generate_stories() -> None:
        generate_all(decoder, [Request(prompt=[0], sampling=sampling, index=i) for i in range(batch)], [-1])

    return generate_stories


def theirs(config: ModelConfig, tokens: int, batch: int) -> Callable[[], object]:
    from train import gpt2

    model: Any = gpt2(config).eval()
    prompt = torch.zeros(batch, 1, dtype=torch.long)
    options = {"do_sample": False, "min_new_tokens": tokens, "max_new_tokens": tokens, "pad_token_id": 0}
    return lambda: model.generate(prompt, attention_mask=torch.ones_like(prompt), **options)


def litgpt(config: ModelConfig, tokens: int) -> Callable[[], object]:
    from litgpt.generate.base import generate  # pyright: ignore[reportMissingImports]

    from train import litgpt_model

    model = litgpt_model(config).eval()
    model.set_kv_cache(batch_size=1)
    prompt = torch.zeros(1, dtype=torch.long)

    def generate_stories() -> None:
        generate(model, prompt, max_returned_tokens=tokens + 1, temperature=0.0)

    return generate_stories


def llama_cpp(config: ModelConfig, dtype: str, tokens: int) -> Callable[[], object]:
    from llama_cpp import Llama  # pyright: ignore[reportMissingImports]

    with tempfile.TemporaryDirectory() as folder:
        file = write_gguf(config, dtype, Path(folder))
        model = Llama(str(file), n_ctx=config.context_length, n_threads=torch.get_num_threads(), verbose=False)

    def generated() -> Iterator[int]:
        model.reset()
        yield from model.generate([0], temp=0.0)

    return lambda: list(islice(generated(), tokens))


def write_gguf(config: ModelConfig, dtype: str, folder: Path) -> Path:
    """A file of random weights, and a small tokenizer: its ids are fewer, the file's as many."""
    shape = dataclasses.replace(config, activation="gelu_tanh" if config.activation == "gelu" else config.activation)
    recipe = dataclasses.replace(load_recipe("quickstart"), model=shape)
    tokenizer = train_bpe(["Once upon a time there was a little fox.", "The little fox was happy."], 300)
    source = ExportSource(recipe=recipe, model=GPT(shape).eval(), tokenizer=tokenizer, run=folder, checkpoint="step-0")
    GGUF().write(source, folder, dtype)
    return folder / FILE


if __name__ == "__main__":
    main()
