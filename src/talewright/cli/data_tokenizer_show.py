"""The command `data tokenizer show`."""

from pathlib import Path
from typing import Any

from tyro.conf import OmitArgPrefixes, Positional

from talewright.cli.common import DataOptions, Json, Overrides, to_json
from talewright.cli.words import show
from talewright.config import DataConfig, load_recipe
from talewright.config.data import NEW_SOURCE
from talewright.errors import UserError


def data_tokenizer_show(
    overrides: Overrides,
    folder: Positional[str],
    data: OmitArgPrefixes[DataOptions] = DataOptions(),  # noqa: B008  (it is immutable)
    json: Json = False,
) -> None:
    """Describe a tokenizer: its size and longest tokens and, on the stories of --data, tokens per word and coverage.

    Args:
        folder: A run folder, or a tokenizer's.
    """
    facts = tokenizer_facts(Path(folder), _shown_stories(data.added_to(overrides)))
    show(to_json(facts) if json else tokenizer_page(facts))


def _shown_stories(given: Overrides) -> DataConfig | None:
    """The stories that these settings name. Raises UserError if a setting says nothing of them."""
    source, used = given.get("data.source"), ("source", "limit", "format", "separator", "text_key", "min_chars")
    unused = [name for name in given if name not in NEW_SOURCE and name not in {f"data.{each}" for each in used}]
    unused += [name for name in given if source is None and name not in unused]
    if unused:
        listed = ", ".join(f"--{name.removeprefix('data.').replace('_', '-')}" for name in unused)
        needs = "measures on stories that --data names, and" if source is None else "reads all stories of --data, and"
        raise UserError(f"data tokenizer show {needs} has no use for {listed} here; leave it out")
    return None if source is None else load_recipe("mini-2m", given).data


def tokenizer_facts(folder: Path, data: DataConfig | None) -> dict[str, Any]:
    """Facts of the tokenizer in a folder (a run's, or its own), measured on the stories of `data` if given."""
    from talewright.data import read_stories
    from talewright.tokenizer import Tokenizer
    from talewright.tokenizer.stats import describe

    found = Tokenizer.load(folder / "tokenizer" if (folder / "tokenizer").is_dir() else folder)
    return describe(found, read_stories(data) if data else None)


def tokenizer_page(facts: dict[str, Any]) -> str:
    """Facts of a tokenizer as lines of text."""
    lines = [f"vocabulary        {facts['vocab_size']:,} tokens"]
    if facts.get("tokens_per_word") is not None:
        lines += [
            f"tokens per word   {facts['tokens_per_word']:.3f}",
            f"bytes per token   {facts['bytes_per_token']:.3f}",
            "the most frequent N tokens cover",
        ]
        lines += [f"  {int(size):>8,}  {100 * part:6.2f} % of the stories" for size, part in facts["coverage"].items()]
    return "\n".join([*lines, "longest tokens    " + " ".join(map(repr, facts["longest_tokens"]))])
