"""The command `tokenizer`."""

from pathlib import Path
from typing import Any, Literal

from tyro.conf import OmitArgPrefixes, Positional

from talewright.cli.common import DataOptions, Json, Overrides, to_json
from talewright.cli.words import show
from talewright.config import DataConfig, load_recipe
from talewright.config.data import NEW_SOURCE
from talewright.errors import UserError


def tokenizer(
    overrides: Overrides,
    action: Positional[Literal["train", "show"]],
    folder: Positional[str | None] = None,
    recipe: str = "mini-2m",
    data: OmitArgPrefixes[DataOptions] = DataOptions(),  # noqa: B008  (it is immutable)
    out: str | None = None,
    overwrite: bool = False,
    json: Json = False,
) -> None:
    """Train a tokenizer on stories, or show one: its size, tokens per word, coverage, longest tokens.

    Args:
        action: train makes a tokenizer from --data in a folder; show describes the one in a folder.
        folder: With show: a run folder, or a tokenizer's. With train: the folder to write. Default: tokenizer.
        recipe: With train: the recipe with its kind and size (--tokenizer.kind, --model.vocab-size).
        out: With train: the folder to write, as FOLDER.
        overwrite: With train: replace the tokenizer in that folder.
    """
    if action == "show":
        if out is not None or overwrite:
            raise UserError("--out and --overwrite belong to `talewright tokenizer train`; show writes nothing")
        if folder is None:
            raise UserError("talewright tokenizer show needs a folder: a run's, or one with a tokenizer.json")
        facts = _describe(Path(folder), _shown_stories(data.added_to(overrides)))
    else:
        from talewright.data import prepare as prepare_stories
        from talewright.files import atomic_folder, error_reason

        if folder is not None and out is not None and Path(folder) != Path(out):
            raise UserError(f"the tokenizer is written to one folder: {folder} or --out {out}")
        target = Path(folder or out or "tokenizer")
        _refuse_folder(target, overwrite)
        chosen = load_recipe(recipe, data.added_to(overrides))
        corpus = prepare_stories(chosen.data, chosen.tokenizer, chosen.model.vocab_size)
        _refuse_folder(target, overwrite)  # again: the stories may have taken long
        try:
            with atomic_folder(target) as partial:
                corpus.tokenizer.save(partial)
        except OSError as error:
            raise UserError(f"{target} cannot be written: {error_reason(error)}") from None
        facts = _describe(target, chosen.data)
    show(to_json(facts) if json else tokenizer_page(facts))


def _refuse_folder(target: Path, overwrite: bool) -> None:
    """Raise UserError if a new tokenizer there would destroy something."""
    from talewright.data.corpus import is_corpus
    from talewright.run.folder import RunFolder
    from talewright.tokenizer.base import FILES

    owner = next(
        (each for each in (target, target.absolute().parent) if RunFolder.is_run(each) or is_corpus(each)), None
    )
    if owner is not None:
        raise UserError(f"{target} belongs to {owner}, which needs its own tokenizer; name another folder")
    if target.exists() and not target.is_dir():
        raise UserError(f"{target} is a file; name a folder for the tokenizer")
    there = {path.name for path in target.iterdir()} if target.is_dir() else set[str]()
    if others := sorted(there.difference(FILES)):
        raise UserError(f"{target} holds other files ({', '.join(others[:3])}); name another folder")
    if there and not overwrite:
        raise UserError(f"{target} holds a tokenizer; --overwrite replaces it, or name another folder")


def _shown_stories(given: Overrides) -> DataConfig | None:
    """The stories that these settings name. Raises UserError if a setting says nothing of them."""
    source, used = given.get("data.source"), ("source", "limit", "format", "separator", "text_key", "min_chars")
    unused = [name for name in given if name not in NEW_SOURCE and name not in {f"data.{each}" for each in used}]
    unused += [name for name in given if source is None and name not in unused]
    if unused:
        listed = ", ".join(f"--{name.removeprefix('data.').replace('_', '-')}" for name in unused)
        needs = "measures on stories that --data names, and" if source is None else "reads all stories of --data, and"
        raise UserError(f"talewright tokenizer show {needs} has no use for {listed} here; leave it out")
    return None if source is None else load_recipe("mini-2m", given).data


def _describe(folder: Path, data: DataConfig | None) -> dict[str, Any]:
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
