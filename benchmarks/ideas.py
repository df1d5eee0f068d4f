"""Ideas to learn more in the same time, each against the base: equal seconds, paired seeds, in turn.

    python -m benchmarks.ideas 'stories/train*.txt' --valid valid.txt --seconds 120 --ideas value-residual heads-64

Each run is a process of its own and trains for so many seconds (compiling and evaluations not counted). After each
round the table is printed: the mean difference in bits per byte over the seeds with its 95 % interval (Student's paired
t), and the steps made. An idea counts from 0.004 bits per byte whose interval excludes 0; what is below 0 is better.
An idea is a few settings, or a change of our classes in this file: what does not win never enters the package.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from talewright.evaluate.seeds import difference
from talewright.model import gpt
from talewright.train import muon

COUNTS = 0.004
"""Bits per byte that an idea must win."""


class Idea(NamedTuple):
    """What is different from the base: settings, and a change of classes before the model is built."""

    about: str
    settings: Mapping[str, str] = {}
    change: Callable[[], None] = lambda: None


def value_residual() -> None:
    """Zhou et al. 2024 (arXiv:2410.17897): each layer's values are mixed with the first layer's, by a learned share."""
    plain, init = gpt.Attention.project, gpt.Attention.__init__
    first: dict[str, Tensor] = {}

    def build(self: Any, config: Any, layer: int) -> None:
        init(self, config, layer)
        self.layer = layer
        self.mix = nn.Parameter(torch.full((1,), 0.5)) if layer else None

    def project(self: Any, x: Tensor, metadata: Any) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v = plain(self, x, metadata)
        if self.mix is None:
            first["v"] = v
        else:
            v = ((1 - self.mix) * v + self.mix * first["v"]).type_as(v)
        return q, k, v

    gpt.Attention.__init__, gpt.Attention.project = build, project


def key_shift() -> None:
    """Half of each head's key is that of the position before (RWKV's token shift, on keys alone)."""
    plain = gpt.Attention.project

    def project(self: Any, x: Tensor, metadata: Any) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v = plain(self, x, metadata)
        half = k.shape[-1] // 4
        before = F.pad(k, (0, 0, 1, 0))[:, :, :-1]
        return q, torch.cat((before[..., :half], k[..., half:]), -1), v

    gpt.Attention.project = project


def short_convolution() -> None:
    """Canon layers (Allen-Zhu 2025): a causal convolution over four positions, channel by channel, added to what
    attention and the feed-forward layer read.
    """
    init, attend, feed_forward = gpt.Block.__init__, gpt.Block.attend, gpt.Block.feed_forward

    def build(self: Any, config: Any, layer: int) -> None:
        init(self, config, layer)
        self.taps1, self.taps2 = (nn.Parameter(torch.zeros(4, config.d_model)) for _ in range(2))

    def mixed(x: Tensor, taps: Tensor) -> Tensor:
        padded = F.pad(x, (0, 0, 3, 0))
        return x + sum(padded[:, i : i + x.shape[1]] * taps[i] for i in range(4))

    def attend_mixed(self: Any, x: Tensor, metadata: Any, cache: Any = None) -> Tensor:
        return x + self.attention(mixed(self.norm1(x), self.taps1), metadata, cache)

    def feed_forward_mixed(self: Any, x: Tensor) -> Tensor:
        return x + self.mlp(mixed(self.norm2(x), self.taps2))

    del attend, feed_forward
    gpt.Block.__init__, gpt.Block.attend, gpt.Block.feed_forward = build, attend_mixed, feed_forward_mixed


def parallel_block() -> None:
    """GPT-J and Cohere: attention and the feed-forward layer read the same normalized input."""

    def forward(self: Any, x: Tensor, metadata: Any, cache: Any = None) -> Tensor:
        h = self.norm1(x)
        return x + self.attention(h, metadata, cache) + self.mlp(h)

    gpt.Block.forward = forward


def fewer_newton_schulz_steps() -> None:
    muon.STEPS = 3


IDEAS = {
    "base": Idea("the recipe as it is"),
    "value-residual": Idea("values mixed with the first layer's", change=value_residual),
    "key-shift": Idea("a quarter of each key from the position before", change=key_shift),
    "canon": Idea("a causal convolution over four positions in each block", change=short_convolution),
    "parallel": Idea("attention and feed-forward side by side", change=parallel_block),
    "heads-64": Idea("two heads of 64 in place of four of 32", {"model.n_heads": "2"}),
    "muon-3": Idea("three Newton-Schulz steps in place of five", change=fewer_newton_schulz_steps),
    "decay-x4": Idea("weight decay four times as large", {"optimizer.weight_decay": "0.4"}),
    "vocabulary-8000": Idea("8,000 tokens in place of 4,096", {"model.vocab_size": "8000"}),
}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("data", help="training stories: a file, a folder or a pattern")
    options.add_argument("--valid", required=True)
    options.add_argument("--recipe", default="story-1m")
    options.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="settings of the base")
    options.add_argument("--ideas", nargs="+", default=list(IDEAS)[1:], choices=list(IDEAS)[1:])
    options.add_argument("--seconds", type=float, default=120.0, help="training time of a run")
    options.add_argument("--seeds", type=int, default=3)
    options.add_argument("--stories", type=int, default=2000, help="validation stories that are scored")
    options.add_argument("--one", nargs=2, metavar=("IDEA", "SEED"), help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.one:
        print(json.dumps(train(chosen, chosen.one[0], int(chosen.one[1]))))
        return
    found: dict[str, dict[int, dict[str, float]]] = {name: {} for name in ("base", *chosen.ideas)}
    for seed in range(chosen.seeds):
        order = list(found) if seed % 2 == 0 else list(found)[::-1]  # so that a drift of the machine is fair
        for name in order:
            command = [sys.executable, "-m", "benchmarks.ideas", *sys.argv[1:], "--one", name, str(seed)]
            run = subprocess.run(command, capture_output=True, text=True)
            if run.returncode:
                raise SystemExit(f"{name}, seed {seed}, failed:\n{run.stderr}")
            found[name][seed] = json.loads(run.stdout.splitlines()[-1])
            print(name, seed, found[name][seed], file=sys.stderr, flush=True)
        print(table(found), flush=True)


def train(chosen: argparse.Namespace, name: str, seed: int) -> dict[str, float]:
    """Train one run in a temporary folder: its bits per byte at the end, steps and parameters."""
    import talewright
    from talewright.config import load_recipe
    from talewright.model.cost import count_parameters
    from talewright.run.log import read_log

    idea = IDEAS[name]
    idea.change()
    settings = {
        "data.source": json.dumps(chosen.data),
        "data.valid": chosen.valid,
        "train.max_minutes": str(chosen.seconds / 60),
        "train.max_tokens": "null",
        "train.evaluate_every": "10000000",
        "train.checkpoint_every": "10000000",
        "train.evaluate_stories": str(chosen.stories),
        "seed": str(seed),
        **dict(pair.split("=", 1) for pair in chosen.set),
        **idea.settings,
    }
    recipe = load_recipe(chosen.recipe, settings)
    with tempfile.TemporaryDirectory() as folder:
        run = talewright.fit(recipe, Path(folder) / "run")
        events = list(read_log(run.path / "log.jsonl"))
    last = [event for event in events if event["event"] == "evaluation"][-1]
    return {
        "bits_per_byte": last["bits_per_byte"],
        "steps": last["step"],
        "parameters": count_parameters(recipe.model).total,
    }


def table(found: Mapping[str, Mapping[int, Mapping[str, float]]]) -> str:
    """Markdown: each idea beside the base."""

    def values(name: str, key: str) -> dict[int, float]:
        return {seed: figures[key] for seed, figures in found[name].items()}

    lines = ["| idea | bits/byte | difference | 95 % interval | steps | seeds | |", "|---|---|---|---|---|---|---|"]
    for name, runs in found.items():
        mean, steps = average(values(name, "bits_per_byte")), average(values(name, "steps"))
        gain = difference(values("base", "bits_per_byte"), values(name, "bits_per_byte"))
        interval, verdict = "", ""
        if name != "base" and gain.low is not None and gain.high is not None:
            interval = f"{gain.low:+.4f} to {gain.high:+.4f}"
            clear = not gain.tied and abs(gain.mean) >= COUNTS
            verdict = ("better" if gain.mean < 0 else "worse") if clear else "no difference that counts"
        shown = f"{gain.mean:+.4f}" if name != "base" else ""
        lines.append(f"| {name} | {mean:.4f} | {shown} | {interval} | {steps:,.0f} | {len(runs)} | {verdict} |")
    return "\n".join(lines)


def average(values: Mapping[int, float] | Sequence[float]) -> float:
    numbers = list(values.values()) if isinstance(values, Mapping) else list(values)
    return sum(numbers) / len(numbers)


if __name__ == "__main__":
    main()
