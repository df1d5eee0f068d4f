"""The command `plan`."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from tyro.conf import OmitArgPrefixes

from talewright.cli.common import DataOptions, Json, Overrides, to_json
from talewright.cli.words import show

if TYPE_CHECKING:
    from talewright.scaling.plan import Goal, Plan


def plan(
    overrides: Overrides,
    minutes: float,
    data: OmitArgPrefixes[DataOptions] = DataOptions(),  # noqa: B008  (it is immutable)
    size: str | None = None,
    ladder: str = "story",
    json: Json = False,
) -> None:
    """Choose the model size that gives the lowest loss in the given training time on this machine.

    Measures each size's speed here for some seconds, unless it is known; the rest follows from the amount of text and
    from finished runs of the story ladder. The last lines are the commands that train the best one.

    Args:
        minutes: Minutes of training.
        size: Plan only this size: 300k, 1m, 3m, 5m, 15m, 40m or 125m.
        ladder: `story` exports to transformers, llama.cpp, ONNX and the web. `storyx` learns more in the same time,
            but exports to `hf-remote`, `onnx`, `web` and `space` only; up to 15m.
    """
    from talewright.scaling import plan as planning

    goal = planning.goal_of(minutes, data.added_to(overrides), ladder)
    plans = planning.plan_sizes(goal, None if size is None else (size,))
    best = planning.best_plan(plans)
    if json:
        show(to_json([_plain(each, goal, each is best) for each in plans]))
    else:
        show(plan_table(plans, goal))


def plan_table(plans: Sequence[Plan], goal: Goal) -> str:
    """The plans as text, at most 80 columns wide, the best one marked; why; and its commands."""
    from talewright.scaling import plan as planning

    best = planning.best_plan(plans)
    lines = [_text_line(goal), "", "  size   parameters  vocabulary  tokens/s     tokens  epochs  minutes  bits/byte"]
    for each in plans:
        loss = "?" if each.expected == "unknown" else f"{each.bits_per_byte:.3f}"
        loss += "*" if each.expected == "extrapolated" else " "
        epochs = f"{each.epochs:.2g}" if each.epochs else "-"
        lines.append(
            f"{'>' if each is best else ' '} {each.size:5}  {each.parameters:>11,}  {each.vocab_size:>9,}  "
            f"{each.tokens_per_second:>8,.0f}  {_millions(each.tokens):>9}  {epochs:>6}  {each.seconds / 60:>7.1f}  "
            f"{loss:>9}"
        )
    if any(each.expected == "extrapolated" for each in plans):
        lines.append("* extrapolated: no finished run has such a size or vocabulary")
    lines += [
        "",
        textwrap.fill(planning.summary(best, goal), 80),
        "",
        planning.dial_command(goal),
        "",
        "The same in full, to change it:",
    ]
    return "\n".join([*lines, planning.explicit_command(best, goal)])


def _text_line(goal: Goal) -> str:
    size = goal.text.bytes
    if size == float("inf"):
        return "text: more than can be read in the time"
    return f"text: about {size / 1e6:.2g} MB" if size >= 1e6 else f"text: about {size / 1e3:.0f} kB"


def _millions(tokens: int) -> str:
    return f"{tokens / 1e6:.2f}M" if tokens < 1e9 else f"{tokens / 1e9:.2f}B"


def _plain(each: Plan, goal: Goal, best: bool) -> dict[str, object]:
    """A plan as plain values; bits per byte are null where they are not known."""
    from talewright.scaling.plan import explicit_command

    values = {**asdict(each), "best": best, "command": explicit_command(each, goal)}
    return {**values, "bits_per_byte": None if each.expected == "unknown" else each.bits_per_byte}
