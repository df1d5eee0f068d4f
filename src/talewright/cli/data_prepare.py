"""The command `data prepare`."""

from pathlib import Path

from tyro.conf import OmitArgPrefixes

from talewright.cli.common import DataOptions, Json, Overrides, hint_on_stop, to_json
from talewright.cli.words import show
from talewright.config import load_recipe


def data_prepare(
    overrides: Overrides,
    data: OmitArgPrefixes[DataOptions] = DataOptions(),  # noqa: B008  (it is immutable)
    recipe: str = "quickstart",
    out: str | None = None,
    json: Json = False,
) -> None:
    """Read, clean, split and tokenize stories once, into a folder that training maps into memory.

    `train` does this by itself if it is missing. If interrupted, the same command continues.

    Args:
        recipe: Recipe with the tokenizer and the splits to use: a name, or a YAML file.
        out: Folder to write. Default: a cache folder.
    """
    from talewright.data import prepare
    from talewright.data.summary import summary

    chosen = load_recipe(recipe, data.added_to(overrides))
    folder = Path(out) if out else None
    with hint_on_stop():
        corpus = prepare(chosen.data, chosen.tokenizer, chosen.model.vocab_size, folder)
    facts = {"folder": str(corpus.folder), **corpus.manifest}
    show(to_json(facts) if json else summary(corpus.manifest, corpus.folder))
