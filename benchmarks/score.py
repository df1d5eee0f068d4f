"""Scoring stories beside transformers, in turn: the same stories, random weights of one shape, the same precision.

    python benchmarks/score.py stories.txt --recipe gpt2-124m --stories 1000

transformers runs twice. Default: its own loss on padded batches, in the file's order, with glibc's heap. Tuned: longest
story first, the loss without its copies of the logits, freed memory kept. Both cut a story at the model's context.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from alternate import Rival, alternate, table

from talewright.config import load_recipe
from talewright.evaluate.likelihood import score_stories
from talewright.machine import keep_heap
from talewright.model.gpt import GPT
from train import gpt2

EOS = 0


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("text", type=Path)
    options.add_argument("--recipe", default="gpt2-124m")
    options.add_argument("--stories", type=int, default=1000)
    options.add_argument("--rounds", type=int, default=2)
    options.add_argument("--precisions", nargs="+", default=["bf16", "fp32"])
    options.add_argument("--batch", type=int, default=16, help="stories that transformers scores at once")
    options.add_argument("--json", action="store_true")
    chosen = options.parse_args()
    text = chosen.text.read_text(encoding="utf-8").split("<|endoftext|>")[: chosen.stories]
    rivals = {
        f"{name}, {precision}": Rival(make, (chosen.recipe, text, precision, chosen.batch))
        for precision in chosen.precisions
        for name, make in (
            ("ours", ours),
            ("transformers, default", default_transformers),
            ("transformers, tuned", theirs),
        )
    }
    found = alternate(rivals, chosen.rounds, warm_up=1, calls=1)
    rows: dict[str, dict[str, float | str]] = {}
    for name, (seconds, _) in found.items():
        first = found[f"ours, {name.rsplit(' ', 1)[1]}"].seconds
        rows[name] = {"seconds": seconds, "stories/s": len(text) / seconds, "speedup of ours": seconds / first}
    table(rows, chosen.json)


def stories_of(recipe: str, text: list[str]) -> list[np.ndarray]:
    """The stories as ids of about their number of tokens: what they are does not change the time."""
    config = load_recipe(recipe).model
    numbers = np.random.default_rng(0)
    lengths = [min(len(story.split()) * 5 // 4 + 1, config.context_length - 1) for story in text]
    return [numbers.integers(1, config.vocab_size, n) for n in lengths]


def padded(stories: list[np.ndarray]) -> torch.Tensor:
    """Each after an end of text; -100 where a row is at its end."""
    rows = [torch.from_numpy(np.concatenate(([EOS], story))) for story in stories]
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=-100)


def in_precision(precision: str) -> Callable[[], torch.autocast | nullcontext[None]]:
    return lambda: torch.autocast("cpu", torch.bfloat16) if precision == "bf16" else nullcontext()


def ours(recipe: str, text: list[str], precision: str, batch: int) -> Callable[[], object]:
    keep_heap()
    model, stories = GPT(load_recipe(recipe).model).eval(), stories_of(recipe, text)
    sizes, context = np.asarray([len(story) for story in text]), in_precision(precision)

    def score() -> None:
        with context():
            score_stories(model, stories, sizes, EOS)

    return score


def default_transformers(recipe: str, text: list[str], precision: str, batch: int) -> Callable[[], object]:
    model, stories = gpt2(load_recipe(recipe).model).eval(), stories_of(recipe, text)
    context = in_precision(precision)

    @torch.inference_mode()
    def score() -> float:
        total = 0.0
        for first in range(0, len(stories), batch):
            tokens = padded(stories[first : first + batch])
            with context():
                loss = model(tokens.clamp_min(0), labels=tokens).loss
            total += loss.item() * (tokens[:, 1:] >= 0).sum().item()
        return total

    return score


def theirs(recipe: str, text: list[str], precision: str, batch: int) -> Callable[[], object]:
    keep_heap()
    model, stories = gpt2(load_recipe(recipe).model).eval(), stories_of(recipe, text)
    ordered, context = sorted(stories, key=lambda story: -len(story)), in_precision(precision)

    @torch.inference_mode()
    def score() -> float:
        total = 0.0
        for first in range(0, len(ordered), batch):
            tokens = padded(ordered[first : first + batch])
            with context():
                logits = model(tokens.clamp_min(0)[:, :-1]).logits
            total += F.cross_entropy(logits.flatten(0, 1).float(), tokens[:, 1:].flatten(), reduction="sum").item()
        return total

    return score


if __name__ == "__main__":
    main()
