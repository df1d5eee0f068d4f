"""The command `plan`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from talewright.cli.common import Json, logger, to_json

if TYPE_CHECKING:
    from talewright.config import Recipe
    from talewright.scaling.plan import Plan, Speed


def plan(minutes: float, size: str | None = None, json: Json = False) -> None:
    """Choose the model size that gives the lowest loss in the given training time on this machine.

    Measures each size's speed here for some seconds; the rest follows from its parameters and from finished runs of the
    story ladder. The last line is the command that trains the best one.

    Args:
        minutes: Minutes of training.
        size: Plan only this size: 1m, 5m, 15m, 40m or 125m.
    """
    from talewright.scaling import plan as planning

    def speed(recipe: Recipe) -> Speed:
        logger.info("measuring how fast %s trains here, about half a minute", recipe.name)
        return planning.measure_speed(recipe)

    plans = planning.plan_sizes(minutes, planning.SIZES if size is None else (size,), speed)
    print(to_json([asdict(each) for each in plans]) if json else plan_table(plans))


def plan_table(plans: Sequence[Plan]) -> str:
    """The plans as text, the best one marked, and its command."""
    from talewright.scaling.law import law_source

    best = min(plans, key=lambda each: each.bits_per_byte)
    lines = ["size   parameters   tokens/s       tokens      FLOPs  tokens/parameter  expected bits/byte"]
    for each in plans:
        mark = "  <- this one" if each is best else ""
        lines.append(
            f"{each.size:5}  {each.parameters:>11,}  {each.tokens_per_second:>9,.0f}  {each.tokens:>11,}  "
            f"{each.flops:.2e}  {each.tokens / each.parameters:>16,.1f}  {each.bits_per_byte:>18.3f}{mark}"
        )
    return "\n".join([*lines, law_source(), "", best.command])
