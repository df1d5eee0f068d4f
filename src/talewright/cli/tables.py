"""What the commands `recipes` and `demo` print."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from talewright.cli.common import program
from talewright.cli.words import print_message
from talewright.config import HUB_TINYSTORIES, Recipe, recipe_to_dict, recipe_to_yaml
from talewright.model.cost import count_parameters, training_flops

if TYPE_CHECKING:
    from talewright.evaluate.likelihood import Likelihood

TOKENS_PER_STORY = 207
"""GPT-2 tokens in an average TinyStories story, with its end-of-text: 4.10M in 19,796 stories."""
STORIES = {HUB_TINYSTORIES: 2_120_000, "bundled": 20_000}
"""Number of stories in the sources that the recipes name."""
PEAK_FRACTION = 0.4
"""Fraction of the matrix-product peak that the estimate of a run's time assumes."""
MONTH = 30 * 86_400
"""Seconds; recipes that take longer are only listed with --all."""


def recipe_facts(recipe: Recipe) -> dict[str, Any]:
    """What a recipe costs, and all its settings, as plain values."""
    from talewright.export import supported_targets

    parameters = count_parameters(recipe.model)
    tokens = training_tokens(recipe)
    per_token = training_flops(recipe.model, recipe.sequence_length)
    return {
        "name": recipe.name,
        "about": recipe.about,
        "parameters": {"total": parameters.total, **asdict(parameters)},
        "tokens": tokens,
        "flops_per_token": per_token,
        "flops": None if tokens is None else tokens * per_token,
        "exports": supported_targets(recipe.model),
        "recipe": recipe_to_dict(recipe),
    }


def training_tokens(recipe: Recipe) -> int | None:
    """Tokens of the recipe's whole budget, estimated if it counts epochs; None for a time budget."""
    train, budgets = recipe.train, []
    if train.max_steps is not None:
        budgets.append(train.max_steps * train.micro_batch * train.accumulation * recipe.sequence_length)
    if train.max_tokens is not None:
        budgets.append(train.max_tokens)
    stories = recipe.data.limit or STORIES.get(recipe.data.source)
    if train.max_epochs is not None and stories is not None:
        shares = recipe.data.splits or (1.0,)
        budgets.append(int(train.max_epochs * stories * shares[0] / sum(shares) * TOKENS_PER_STORY))
    return min(budgets, default=None)


def recipe_page(recipe: Recipe) -> str:
    """One recipe: what it costs and where its model can go, as comments, and its settings as YAML."""
    facts = recipe_facts(recipe)
    components = dict(facts["parameters"])
    total = components.pop("total")
    lines = [f"# {recipe.name}: {recipe.about}", "#", f"# parameters  {total:>13,}"]
    lines += [f"#   {name:10}{count:>13,}  {100 * count / total:4.1f} %" for name, count in components.items()]
    lines += [f"# training FLOPs per token: {facts['flops_per_token']:.3g}"]
    lines += [f"# exports to: {', '.join(facts['exports'])}", ""]
    return "\n".join(lines) + recipe_to_yaml(recipe)


def print_recipes(recipes: Sequence[Recipe], every: bool = False) -> None:
    """The recipes with parameters, tokens, and the time that each would take here; without `every`, only those that
    take no more than a month.
    """
    from rich.console import Console
    from rich.table import Table

    from talewright.machine import choose_precision, default_device, device_name
    from talewright.machine.peak import known_peak

    device = default_device()
    precision = choose_precision("auto", device)
    peak = known_peak(device, precision)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("recipe", "size", "tokens", "time here"):
        table.add_column(title, justify="left" if title == "recipe" else "right", no_wrap=True)
    table.add_column("what it is", style="dim")
    shown = [recipe for recipe in recipes if every or (seconds_here(recipe, peak) or 0) <= MONTH]
    for recipe in sorted(shown, key=lambda recipe: count_parameters(recipe.model).total):
        table.add_row(*_row(recipe, peak))
    console = Console(highlight=False)
    with console.capture() as captured:
        console.print(table)
    sys.stdout.write(captured.get())  # rich itself would end the program, as failed, if the reader has left
    notes = [
        f"size: parameters. time here: estimated from the matrix products of {device_name(device)} in {precision}, "
        f"at {100 * PEAK_FRACTION:.0f} % of {_two_digits(peak / 1e9):,.0f} GFLOP/s."
    ]
    if len(shown) < len(recipes):
        notes.append(f"{len(recipes) - len(shown)} more would take over a month here; --all shows them.")
    notes.append(f"Not sure which? `{program()} train --data stories.txt --minutes 20` chooses one for this machine.")
    for note in notes:
        print_message(note)


def seconds_here(recipe: Recipe, peak: float) -> float | None:
    """How long a recipe trains at that peak, roughly; None if its number of tokens is unknown."""
    tokens, minutes = training_tokens(recipe), recipe.train.max_minutes
    flops_per_token = training_flops(recipe.model, recipe.sequence_length)
    times = [] if tokens is None else [tokens * flops_per_token / (PEAK_FRACTION * peak)]
    times += [] if minutes is None else [60 * minutes]
    return min(times, default=None)


def _row(recipe: Recipe, peak: float) -> tuple[str, ...]:
    tokens, seconds = training_tokens(recipe), seconds_here(recipe, peak)
    return (
        recipe.name,
        megas(count_parameters(recipe.model).total),
        "" if tokens is None else f"{tokens / 1e6:,.0f}M",
        "" if seconds is None else duration(_two_digits(seconds)),
        recipe.about,
    )


def megas(count: int) -> str:
    """A number of parameters in millions: 0.87M, 41.0M, 124M."""
    return f"{count / 1e6:.{2 if count < 1e7 else 1 if count < 1e8 else 0}f}M"


def _two_digits(value: float) -> float:
    return float(f"{value:.2g}")


def text_table(columns: Mapping[str, Sequence[str]], width: int, droppable: Sequence[str] = ()) -> str:
    """Columns of text under their titles, numbers to the right. While they are wider than the terminal, the droppable
    ones are left out, the first one first.
    """
    columns = dict(columns)
    widths = {title: max(map(len, (title, *cells))) for title, cells in columns.items()}
    for title in droppable:
        if sum(widths.values()) + 2 * (len(widths) - 1) > width:
            del columns[title], widths[title]
    rows = zip(*[(title, *cells) for title, cells in columns.items()], strict=True)
    sides = {title: "<" if _is_text(cells) else ">" for title, cells in columns.items()}
    shapes = [f"{{:{sides[title]}{size}}}" for title, size in widths.items()]
    return "\n".join("  ".join(map(str.format, shapes, row)).rstrip() for row in rows)


def _is_text(cells: Sequence[str]) -> bool:
    return not any(cell[:1].isdigit() for cell in cells)


def duration(seconds: float) -> str:
    """A time in a suitable unit: 90 s, 25 min, 7 h, 12 days, 3 years."""
    for unit, size in (("years", 365 * 86400), ("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:,.0f} {unit}"
    return f"{seconds:.0f} s"


def score_table(rows: Mapping[str, "Likelihood"]) -> str:
    """Scores in one table, by the name of the model."""
    lines = [f"{'':12}{'loss':>8}{'perplexity':>13}{'bits/byte':>12}{'accuracy':>11}"]
    for name, score in rows.items():
        perplexity = f"{score.perplexity:,.0f}" if score.perplexity >= 1000 else f"{score.perplexity:.2f}"
        accuracy = f"{100 * score.token_accuracy:.1f} %"
        lines.append(f"{name:12}{score.loss:>8.3f}{perplexity:>13}{score.bits_per_byte:>12.3f}{accuracy:>11}")
    last = list(rows.values())[-1]
    lines.append(f"{last.tokens:,} tokens of {last.stories:,} stories, each scored once")
    return "\n".join(lines)
