"""A training step of ours beside the plain loop's and transformers', in turn, on the same shape and tokens.

    python benchmarks/train.py --recipe mini-2m --batch 16 --dropout 0
    python benchmarks/train.py --recipe neo-41m --batch 8 --length 256 --dropout 0

As it comes, a loop runs on the heap that glibc gives it. `--heap as-it-comes` leaves it so for all, in its own run,
because the heap cannot be given back once it is kept.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable

import torch
from alternate import alternate, report
from plain import PlainGPT

from talewright.config import ModelConfig, load_recipe
from talewright.machine import keep_heap, matmul_peak
from talewright.model.cost import training_flops
from talewright.model.gpt import GPT
from talewright.train.optimizer import make_optimizer


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--recipe", default="mini-2m")
    options.add_argument("--batch", type=int, default=16)
    options.add_argument("--length", type=int, default=None, help="tokens in a window; the context length unless told")
    options.add_argument("--dropout", type=float, default=0.0)
    options.add_argument("--rounds", type=int, default=7)
    options.add_argument("--heap", choices=["kept", "as-it-comes"], default="kept")
    options.add_argument("--json", action="store_true")
    chosen = options.parse_args()
    recipe = load_recipe(chosen.recipe, {"model.dropout": str(chosen.dropout)})
    config, length = recipe.model, chosen.length or recipe.model.context_length
    if chosen.heap == "kept":
        keep_heap()
    window = torch.randint(config.vocab_size, (chosen.batch, length + 1), generator=torch.Generator().manual_seed(0))
    rivals = {
        "ours, bf16": ours(config, window),
        "plain loop, fp32": plain(config, window, torch.float32),
        "plain loop, bf16": plain(config, window, torch.bfloat16),
        "transformers, fp32": theirs(config, window, torch.float32),
        "transformers, bf16": theirs(config, window, torch.bfloat16),
    }
    if config.dropout:
        rivals["ours, bf16, without dropout"] = ours(dataclasses.replace(config, dropout=0.0), window)
    peak = matmul_peak(torch.device("cpu"), torch.bfloat16, seconds=2.0)
    medians = alternate(rivals, chosen.rounds)
    report(medians, chosen.batch * length, training_flops(config, length), peak, chosen.json)


def ours(config: ModelConfig, window: torch.Tensor) -> Callable[[], object]:
    model = GPT(config)
    step = stepper(model)
    return lambda: step(lambda: model(window[:, :-1], window[:, 1:]) / window[:, 1:].numel(), torch.bfloat16)


def plain(config: ModelConfig, window: torch.Tensor, dtype: torch.dtype) -> Callable[[], object]:
    model = PlainGPT(config)
    step = stepper(model)
    return lambda: step(lambda: model(window[:, :-1], window[:, 1:]), dtype)


def theirs(config: ModelConfig, window: torch.Tensor, dtype: torch.dtype) -> Callable[[], object]:
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
    )
    model = GPT2LMHeadModel(shape).train()
    step, tokens = stepper(model), window[:, :-1].contiguous()
    return lambda: step(lambda: model(tokens, labels=tokens, use_cache=False).loss, dtype)


def stepper(model: torch.nn.Module) -> Callable[[Callable[[], torch.Tensor], torch.dtype], float]:
    """Forward, backward, clip and update of a model, in a precision."""
    optimizer = make_optimizer(model, load_recipe("mini-2m").optimizer, 1e-4)

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
