"""The command `data tokenizer train`."""

from pathlib import Path

from tyro.conf import OmitArgPrefixes, Positional

from talewright.cli.common import DataOptions, Json, Overrides, to_json
from talewright.cli.data_tokenizer_show import tokenizer_facts, tokenizer_page
from talewright.cli.words import show
from talewright.config import load_recipe
from talewright.errors import UserError


def data_tokenizer_train(
    overrides: Overrides,
    folder: Positional[str | None] = None,
    recipe: str = "mini-2m",
    data: OmitArgPrefixes[DataOptions] = DataOptions(),  # noqa: B008  (it is immutable)
    out: str | None = None,
    overwrite: bool = False,
    json: Json = False,
) -> None:
    """Train a tokenizer on stories, and describe it: its size, tokens per word, coverage, longest tokens.

    Args:
        folder: Folder to write. Default: tokenizer.
        recipe: The recipe with its kind and size (--tokenizer.kind, --model.vocab-size).
        out: Folder to write, as FOLDER.
        overwrite: Replace the tokenizer in that folder.
    """
    from talewright.data import prepare
    from talewright.files import atomic_folder, error_reason

    if folder is not None and out is not None and Path(folder) != Path(out):
        raise UserError(f"the tokenizer is written to one folder: {folder} or --out {out}")
    target = Path(folder or out or "tokenizer")
    _refuse_folder(target, overwrite)
    chosen = load_recipe(recipe, data.added_to(overrides))
    corpus = prepare(chosen.data, chosen.tokenizer, chosen.model.vocab_size)
    _refuse_folder(target, overwrite)  # again: the stories may have taken long
    try:
        with atomic_folder(target) as partial:
            corpus.tokenizer.save(partial)
    except OSError as error:
        raise UserError(f"{target} cannot be written: {error_reason(error)}") from None
    facts = tokenizer_facts(target, chosen.data)
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
