"""Scoring stories beside transformers, in turn: the same stories, random weights of one shape, the same precision.

    python benchmarks/score.py --recipe gpt2-124m --stories 40 ../shared/tinystories/valid.txt

transformers is given the stories as one pads them: in batches of equal length, longest first, each token scored once.
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
    options.add_argument("--batch", type=int, default=16, help="stories that transformers scores at once")
    options.add_argument("--json", action="store_true")
    chosen = options.parse_args()
    text = chosen.text.read_text(encoding="utf-8").split("<|endoftext|>")[: chosen.stories]
    rivals = {
        f"{name}, {precision}": Rival(make, (chosen.recipe, text, precision, chosen.batch))
        for precision in ("bf16", "fp32")
        for name, make in (("ours", ours), ("transformers", theirs))
    }
    found = alternate(rivals, chosen.rounds, warm_up=1, calls=1)
    rows: dict[str, dict[str, float | str]] = {}
    for name, (seconds, _) in found.items():
        first = found[name.replace("transformers", "ours")].seconds
        rows[name] = {"seconds": seconds, "stories/s": len(text) / seconds, "ours is faster by": seconds / first}
    table(rows, chosen.json)


def stories_of(recipe: str, text: list[str]) -> list[np.ndarray]:
    """The stories as ids of about their number of tokens: what they are does not change the time."""
    config = load_recipe(recipe).model
    numbers = np.random.default_rng(0)
    lengths = [min(len(story.split()) * 5 // 4 + 1, config.context_length - 1) for story in text]
    return [numbers.integers(1, config.vocab_size, n) for n in lengths]


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


def theirs(recipe: str, text: list[str], precision: str, batch: int) -> Callable[[], object]:
    keep_heap()
    model, stories = gpt2(load_recipe(recipe).model).eval(), stories_of(recipe, text)
    ordered, context = sorted(stories, key=lambda story: -len(story)), in_precision(precision)

    @torch.inference_mode()
    def score() -> float:
        total = 0.0
        for first in range(0, len(ordered), batch):
            rows = [torch.from_numpy(np.concatenate(([EOS], story))) for story in ordered[first : first + batch]]
            tokens = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=-100)
            with context():
                logits = model(tokens.clamp_min(0)[:, :-1]).logits
            total += F.cross_entropy(logits.flatten(0, 1).float(), tokens[:, 1:].flatten(), reduction="sum").item()
        return total

    return score


if __name__ == "__main__":
    main()
