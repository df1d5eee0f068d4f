"""Every recipe x every export format: the largest logit difference, size and seconds, or why it is not supported.

python benchmarks/exports.py [--recipes mini-2m ...] [--targets hf ...]

Each recipe's model has its full size and random weights, and is exported like a trained one, with the parity check in a
fresh process. Prints a table in Markdown, followed by the reasons why formats do not support recipes.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path

import torch

from talewright.config import load_recipe, recipe_names
from talewright.data import bundled
from talewright.errors import UserError
from talewright.export import TARGETS, ExportSource, export_model
from talewright.export.adapters import choose_adapter
from talewright.model.gpt import GPT
from talewright.tokenizer.bpe import train_bpe


def make_source(name: str, folder: Path) -> ExportSource:
    """The recipe's model with random weights, and a tokenizer of its size or less."""
    recipe = load_recipe(name)
    torch.manual_seed(0)
    return ExportSource(
        recipe=recipe,
        model=GPT(recipe.model).eval(),
        tokenizer=train_bpe(bundled.stories(2000), recipe.model.vocab_size),
        run=folder / name,
        checkpoint="step-0",
    )


def cell(source: ExportSource, target: str, folder: Path) -> str:
    """The result of an export as a cell of the table; `-` if the format cannot hold the model."""
    if TARGETS[target].unsupported_reason(source.recipe.model):
        return "-"
    try:
        record = export_model(source, target, folder)
    except UserError as error:
        return f"failed: {error}"
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    adapter, _ = choose_adapter(source.recipe.model)
    label = f"{adapter.architecture}: " if target == "hf" and adapter else ""
    size = f"{record['bytes'] / 1e6:,.1f} MB"
    difference = f"{record['largest_difference']:.1e}" if record["verified"] else "not verified"
    return f"{label}{difference}, {size}, {record['seconds']:.0f} s"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipes", nargs="+", default=recipe_names())
    parser.add_argument("--targets", nargs="+", default=list(TARGETS))
    chosen = parser.parse_args()
    print("| recipe | " + " | ".join(f"`{target}`" for target in chosen.targets) + " |")
    print("|---|" + "---|" * len(chosen.targets), flush=True)
    reasons: dict[str, list[str]] = {}
    with tempfile.TemporaryDirectory() as work:
        for name in chosen.recipes:
            source = make_source(name, Path(work))
            print(f"| {name} |", end="", flush=True)
            for target in chosen.targets:
                print(f" {cell(source, target, Path(work) / f'{name}-{target}')} |", end="", flush=True)
                if reason := TARGETS[target].unsupported_reason(source.recipe.model):
                    reasons.setdefault(f"`{target}`: {reason}", []).append(name)
            print(flush=True)
    print("\n" + "\n".join(f"- {reason}: {', '.join(names)}." for reason, names in reasons.items()))


if __name__ == "__main__":
    main()
