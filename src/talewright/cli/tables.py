"""What the commands that show something print: facts, counted, and as text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from talewright.config import Recipe, recipe_to_dict, recipe_to_yaml
from talewright.evaluate.likelihood import Likelihood
from talewright.model.cost import count_parameters, training_flops

TOKENS_PER_STORY = 207
"""GPT-2 tokens of an average TinyStories story, its end-of-text among them: 4.10M in 19,796 of them."""
STORIES = {"hub:roneneldan/TinyStories": 2_120_000, "bundled": 20_000}
"""Stories of the sources that the recipes name."""
USED_SHARE = 0.4
"""Share of the matrix-product peak that the estimate of a run's time reckons with."""


def facts(recipe: Recipe) -> dict[str, Any]:
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
    """Tokens that the recipe's whole budget trains on, estimated where it counts epochs; None for a time budget."""
    train, found = recipe.train, []
    if train.max_steps is not None:
        found.append(train.max_steps * train.micro_batch * train.accumulation * recipe.sequence_length)
    if train.max_tokens is not None:
        found.append(train.max_tokens)
    stories = recipe.data.limit or STORIES.get(recipe.data.source)
    if train.max_epochs is not None and stories is not None:
        shares = recipe.data.splits or (1.0,)
        found.append(int(train.max_epochs * stories * shares[0] / sum(shares) * TOKENS_PER_STORY))
    return min(found) if found else None


def page(recipe: Recipe) -> str:
    """One recipe, whole: what it costs, and its settings as YAML."""
    cost = facts(recipe)
    shares = {name: count for name, count in cost["parameters"].items() if name != "total"}
    total = cost["parameters"]["total"]
    lines = [f"# {recipe.name}: {recipe.about}", "#", f"# parameters  {total:>13,}"]
    lines += [f"#   {name:10}{count:>13,}  {100 * count / total:4.1f} %" for name, count in shares.items()]
    lines += [f"# FLOPs to train on a token: {cost['flops_per_token']:.3g}", ""]
    return "\n".join(lines) + recipe_to_yaml(recipe)


def print_table(recipes: list[Recipe]) -> None:
    """All recipes with parameters, tokens, FLOPs, and the time that each would take here."""
    import torch
    from rich.console import Console
    from rich.table import Table

    from talewright.machine import choose_precision, default_device, torch_dtype
    from talewright.machine.peak import matmul_peak

    device = default_device()
    precision = choose_precision("auto", device)
    peak = matmul_peak(device, torch_dtype(precision))
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("recipe", "parameters", "tokens", "FLOPs", "time here"):
        table.add_column(title, justify="left" if title == "recipe" else "right", no_wrap=True)
    table.add_column("what it is", style="dim")
    for recipe in sorted(recipes, key=lambda recipe: count_parameters(recipe.model).total):
        cost = facts(recipe)
        table.add_row(*_row(recipe, cost, peak), recipe.about)
    Console(highlight=False).print(table)
    Console(stderr=True, highlight=False).print(
        f"time here: at {100 * USED_SHARE:.0f} % of {peak / 1e9:,.0f} GFLOP/s, the matrix-product peak of this "
        f"machine's {torch.get_num_threads() if device.type == 'cpu' else device.type} "
        f"{'CPU cores' if device.type == 'cpu' else ''} in {precision}, measured now"
    )


def _row(recipe: Recipe, cost: dict[str, Any], peak: float) -> tuple[str, ...]:
    minutes = recipe.train.max_minutes
    seconds = None if cost["flops"] is None else cost["flops"] / (USED_SHARE * peak)
    if minutes is not None:
        seconds = min(seconds or 60 * minutes, 60 * minutes)
    tokens, flops = cost["tokens"], cost["flops"]
    return (
        recipe.name,
        f"{cost['parameters']['total']:,}",
        "as time allows" if tokens is None else f"{tokens / 1e6:,.0f}M",
        "" if flops is None else f"{flops:.1e}",
        "" if seconds is None else duration(seconds),
    )


def duration(seconds: float) -> str:
    """A time in the unit that suits it: 90 s, 25 min, 7 h, 12 days, 3 years."""
    for unit, size in (("years", 365 * 86400), ("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:,.0f} {unit}"
    return f"{seconds:.0f} s"


def show_tokenizer(folder: str, data: str | None) -> dict[str, Any]:
    """Facts of the tokenizer in a folder (a run's, or its own), measured on the stories of `data` where it is given."""
    from talewright.config import DataConfig
    from talewright.data import read_stories
    from talewright.tokenizer import Tokenizer
    from talewright.tokenizer.stats import describe

    path = Path(folder)
    found = Tokenizer.load(path / "tokenizer" if (path / "tokenizer").is_dir() else path)
    return describe(found, read_stories(DataConfig(source=data)) if data else None)


def tokenizer_page(found: dict[str, Any]) -> str:
    """Facts of a tokenizer as lines of text."""
    lines = [f"vocabulary        {found['vocab_size']:,} tokens"]
    if found.get("tokens_per_word") is not None:
        lines += [
            f"tokens per word   {found['tokens_per_word']:.3f}",
            f"bytes per token   {found['bytes_per_token']:.3f}",
            "the most frequent N tokens hold",
        ]
        lines += [
            f"  {int(size):>8,}  {100 * share:6.2f} % of the stories" for size, share in found["coverage"].items()
        ]
    return "\n".join([*lines, "longest tokens    " + " ".join(map(repr, found["longest_tokens"]))])


def bench_page(found: dict[str, Any]) -> str:
    """Measured figures as lines of text."""
    peak = found["peak_flops_per_second"]
    if isinstance(peak, dict):
        return "\n".join(f"matrix products in {name}: {rate / 1e9:,.0f} GFLOP/s" for name, rate in peak.items())
    return (
        f"{found['tokens_per_second']:,.0f} tokens/s · {found['flops_per_second'] / 1e9:,.1f} GFLOP/s, "
        f"{found['percent_of_peak']:.1f} % of the {peak / 1e9:,.0f} of matrix products in {found['precision']}\n"
        f"most memory held: {found['peak_memory_bytes'] / 2**20:,.0f} MiB"
    )


def doctor_page(found: dict[str, Any]) -> str:
    """What the machine has, as lines of text."""
    peaks = ", ".join(f"{name} {rate / 1e9:,.0f} GFLOP/s" for name, rate in found["peaks"].items())
    have = [name for name, present in found["extras"].items() if present]
    lack = [name for name, present in found["extras"].items() if not present]
    memory = "unknown" if found["memory_bytes"] is None else f"{found['memory_bytes'] / 2**30:.1f} GiB"
    lines = {
        "versions": f"talewright {found['talewright']}, torch {found['torch']}, Python {found['python']}",
        "system": found["system"],
        "trains on": f"{found['device']}, in {found['precision']}",
        "matrix products": peaks,
        "memory": memory,
        "free disk here": f"{found['free_disk_bytes'] / 2**30:.1f} GiB",
        "C++ compiler": found["compiler"] or "none, so torch.compile is not used on the processor",
        "extras": ", ".join(have) + (f" (absent: {', '.join(lack)})" if lack else ""),
    }
    return "\n".join(f"{name:17}{text}" for name, text in lines.items())


def score_table(rows: Mapping[str, Likelihood]) -> str:
    """Scores under one another, by the name of what was scored."""
    lines = [f"{'':12}{'loss':>8}{'perplexity':>13}{'bits/byte':>12}{'accuracy':>11}"]
    for name, score in rows.items():
        perplexity = f"{score.perplexity:,.0f}" if score.perplexity >= 1000 else f"{score.perplexity:.2f}"
        accuracy = f"{100 * score.token_accuracy:.1f} %"
        lines.append(f"{name:12}{score.loss:>8.3f}{perplexity:>13}{score.bits_per_byte:>12.3f}{accuracy:>11}")
    last = list(rows.values())[-1]
    lines.append(f"{last.tokens:,} tokens of {last.stories:,} stories, each scored once")
    return "\n".join(lines)
