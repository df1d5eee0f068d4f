"""Compare the training step with a plain loop, transformers and litgpt, in turn, on the same shape and tokens.

    python benchmarks/train.py --recipe mini-2m --batch 16
    python benchmarks/train.py --recipe mini-2m --batch 16 --dropout 0.1
    python benchmarks/train.py --recipe neo-41m --batch 8 --length 256 --rivals ours plain
    python benchmarks/train.py --recipe gpt2-124m --batch 8 --length 128 --rivals ours plain

Ours is in bf16. "Default heap" is glibc's; with "kept heap", freed memory stays in the process, as in ours. litgpt's
model has rotary positions, whatever the recipe's. `make bench` installs all rivals.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable
from typing import Any, cast

import torch
from alternate import MIB, Rival, alternate, table
from plain import PlainGPT

from talewright.config import ModelConfig, load_recipe
from talewright.machine import keep_heap
from talewright.machine.compilers import keep_compiled_code
from talewright.machine.peak import known_peak
from talewright.model.cost import count_parameters, training_flops
from talewright.model.gpt import GPT
from talewright.train.objective import Objective
from talewright.train.optimizer import make_optimizer

HELD = 16
"""Bytes a parameter, in float32: itself, its gradient, AdamW's two moments."""


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--recipe", default="mini-2m")
    options.add_argument("--batch", type=int, default=16)
    options.add_argument("--length", type=int, default=None, help="tokens in a window; default: the context length")
    options.add_argument("--dropout", type=float, default=0.0)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--rivals", nargs="+", default=["ours", "plain", "transformers", "litgpt"])
    options.add_argument("--json", action="store_true")
    chosen = options.parse_args()
    config = load_recipe(chosen.recipe, {"model.dropout": str(chosen.dropout)}).model
    length = chosen.length or config.context_length
    shape = (config, chosen.batch, length)
    rivals = {"ours, compiled": Rival(ours, (*shape, True)), "ours, eager": Rival(ours, (*shape, False))}
    for name, make in (("plain", plain), ("transformers", theirs), ("litgpt", litgpts)):
        if name in chosen.rivals:
            rivals[f"{name}, fp32, default heap"] = Rival(make, (*shape, torch.float32, False))
            rivals[f"{name}, bf16, default heap"] = Rival(make, (*shape, torch.bfloat16, False))
            rivals[f"{name}, bf16, kept heap"] = Rival(make, (*shape, torch.bfloat16, True))
    if config.dropout:
        rivals["ours, compiled, without dropout"] = Rival(
            ours, (dataclasses.replace(config, dropout=0.0), *shape[1:], True)
        )
    peak = known_peak(torch.device("cpu"), "bf16")
    found = alternate(rivals, chosen.rounds)
    tokens, flops, held = chosen.batch * length, training_flops(config, length), HELD * count_parameters(config).total
    first = found["ours, compiled"].seconds
    print(f"bf16 matrix products here: {peak / 1e9:,.0f} GFLOP/s; medians of {5 * chosen.rounds} steps\n")
    rows = {
        name: {
            "ms/step": 1000 * seconds,
            "tokens/s": tokens / seconds,
            "% of peak": 100 * tokens * flops / seconds / peak,
            "MiB beyond weights, gradients, optimizer state": (memory - held) / MIB,
            "speedup of compiled": seconds / first,
        }
        for name, (seconds, memory) in found.items()
    }
    table(rows, chosen.json)


def ours(config: ModelConfig, batch: int, length: int, compiled: bool) -> Callable[[], object]:
    keep_heap()
    keep_compiled_code()
    model = GPT(config)
    objective = Objective(model, compiled)
    step, window = stepper(model), windows(config, batch, length)
    inputs, targets = window[:, :-1], window[:, 1:]
    return lambda: step(lambda: objective(inputs, targets) / targets.numel(), torch.bfloat16)


def plain(config: ModelConfig, batch: int, length: int, dtype: torch.dtype, heap: bool) -> Callable[[], object]:
    if heap:
        keep_heap()
    model = PlainGPT(config)
    step, window = stepper(model), windows(config, batch, length)
    return lambda: step(lambda: model(window[:, :-1], window[:, 1:]), dtype)


def theirs(config: ModelConfig, batch: int, length: int, dtype: torch.dtype, heap: bool) -> Callable[[], object]:
    if heap:
        keep_heap()
    model = gpt2(config).train()
    step, tokens = stepper(model), windows(config, batch, length)[:, :-1].contiguous()
    return lambda: step(lambda: model(tokens, labels=tokens, use_cache=False).loss, dtype)


def litgpts(config: ModelConfig, batch: int, length: int, dtype: torch.dtype, heap: bool) -> Callable[[], object]:
    from litgpt.utils import chunked_cross_entropy  # pyright: ignore[reportMissingImports]

    if heap:
        keep_heap()
    model = litgpt_model(config).train()
    step, window = stepper(model), windows(config, batch, length)
    return lambda: step(lambda: chunked_cross_entropy(model(window[:, :-1]), window[:, 1:], chunk_size=0), dtype)


def litgpt_model(config: ModelConfig) -> Any:
    """litgpt's own model of that shape, with random weights and rotary positions."""
    from litgpt import GPT, Config  # pyright: ignore[reportMissingImports]

    shape = Config(
        block_size=config.context_length,
        vocab_size=config.vocab_size,
        padded_vocab_size=config.vocab_size,
        n_layer=config.n_layers,
        n_head=config.n_heads,
        n_embd=config.d_model,
        intermediate_size=config.d_ff,
        bias="mlp" in config.bias,
        parallel_residual=False,
        rotary_percentage=1.0,
        norm_class_name="LayerNorm",
        mlp_class_name="GptNeoxMLP",
        gelu_approximate="tanh" if config.activation == "gelu_tanh" else "none",
    )
    model = GPT(shape)
    if config.tied:
        model.lm_head.weight = model.transformer.wte.weight
    return model


def gpt2(config: ModelConfig) -> torch.nn.Module:
    """transformers' own model of that shape, with random weights."""
    from transformers import GPT2Config, GPT2LMHeadModel

    shape = GPT2Config(
        vocab_size=config.vocab_size,
        n_positions=config.context_length,
        n_embd=config.d_model,
        n_layer=config.n_layers,
        n_head=config.n_heads,
        n_inner=config.d_ff,
        activation_function="gelu_new" if config.activation == "gelu_tanh" else "gelu",
        resid_pdrop=config.dropout,
        embd_pdrop=config.dropout,
        attn_pdrop=config.dropout,
        tie_word_embeddings=config.tied,
        bos_token_id=0,
        eos_token_id=0,
    )
    return GPT2LMHeadModel(shape)


def windows(config: ModelConfig, batch: int, length: int) -> torch.Tensor:
    return torch.randint(config.vocab_size, (batch, length + 1), generator=torch.Generator().manual_seed(0))


def stepper(model: torch.nn.Module) -> Callable[[Callable[[], torch.Tensor], torch.dtype], float]:
    """Forward, backward, clip and update of a model, in a precision."""
    optimizer = make_optimizer(cast(Any, model), load_recipe("mini-2m").optimizer, 1e-4)

    def step(loss_of: Callable[[], torch.Tensor], dtype: torch.dtype) -> float:
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            loss = loss_of()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        return loss.item()

    return step


if __name__ == "__main__":
    main()
