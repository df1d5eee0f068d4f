"""What the commands `recipes` and `demo` print."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

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


def recipe_facts(recipe: Recipe) -> dict[str, Any]:
    """What a recipe costs, and all its settings, as plain values."""
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
    """One recipe: what it costs, as comments, and its settings as YAML."""
    facts = recipe_facts(recipe)
    components = dict(facts["parameters"])
    total = components.pop("total")
    lines = [f"# {recipe.name}: {recipe.about}", "#", f"# parameters  {total:>13,}"]
    lines += [f"#   {name:10}{count:>13,}  {100 * count / total:4.1f} %" for name, count in components.items()]
    lines += [f"# training FLOPs per token: {facts['flops_per_token']:.3g}", ""]
    return "\n".join(lines) + recipe_to_yaml(recipe)


def print_recipes(recipes: Sequence[Recipe]) -> None:
    """All recipes with parameters, tokens, FLOPs, and the time that each would take here."""
    from rich.console import Console
    from rich.table import Table

    from talewright.machine import choose_precision, default_device, device_name, torch_dtype
    from talewright.machine.peak import matmul_peak

    device = default_device()
    precision = choose_precision("auto", device)
    peak = matmul_peak(device, torch_dtype(precision))
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("recipe", "parameters", "tokens", "FLOPs", "time here"):
        table.add_column(title, justify="left" if title == "recipe" else "right", no_wrap=True)
    table.add_column("what it is", style="dim")
    for recipe in sorted(recipes, key=lambda recipe: count_parameters(recipe.model).total):
        table.add_row(*_row(recipe, peak))
    Console(highlight=False).print(table)
    Console(stderr=True, highlight=False).print(
        f"time here: at {100 * PEAK_FRACTION:.0f} % of {peak / 1e9:,.0f} GFLOP/s, the matrix-product peak of "
        f"{device_name(device)} in {precision}, measured now"
    )


def _row(recipe: Recipe, peak: float) -> tuple[str, ...]:
    facts, minutes = recipe_facts(recipe), recipe.train.max_minutes
    tokens, flops = facts["tokens"], facts["flops"]
    times = [] if flops is None else [flops / (PEAK_FRACTION * peak)]
    times += [] if minutes is None else [60 * minutes]
    return (
        recipe.name,
        f"{facts['parameters']['total']:,}",
        "limited by time" if tokens is None else f"{tokens / 1e6:,.0f}M",
        "" if flops is None else f"{flops:.1e}",
        duration(min(times)) if times else "",
        recipe.about,
    )


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
