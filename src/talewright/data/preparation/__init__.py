"""Prepared corpora: made from stories, continued after an interruption, or opened if they exist.

(Not `talewright.data.prepare`: that is the function.)
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from talewright.config import DataConfig, Recipe, TokenizerConfig
from talewright.data.corpus import Corpus
from talewright.data.layout import FORMAT, MANIFEST
from talewright.data.preparation.builder import CorpusBuilder
from talewright.data.preparation.disk_space import disk_errors
from talewright.data.preparation.request import PreparationRequest, cache_folder, first_difference, is_prepared
from talewright.errors import UserError
from talewright.files import read_json
from talewright.locks import wait_for_lock

logger = logging.getLogger(__name__)


def prepare(
    config: DataConfig,
    tokenizer: TokenizerConfig,
    vocab_size: int,
    folder: Path | None = None,
    progress: bool = True,
) -> Corpus:
    """Prepare the corpus of these settings, continue its preparation, or open it if it is done.

    Without a folder, the corpus is kept in the cache, under a name that depends on everything that determines it. A
    source that is itself a prepared corpus is opened as it is. Raises UserError if the stories, the settings or the
    disk do not permit it; what was there before is not changed.
    """
    if is_prepared(config.source):
        return _open_prepared(Path(config.source), tokenizer, vocab_size)
    request = PreparationRequest(config, tokenizer, vocab_size)
    target = cache_folder(request) if folder is None else Path(folder)
    with disk_errors(target):
        if not _is_done(target, request):
            _refuse_among_stories(target, config)
            target.parent.mkdir(parents=True, exist_ok=True)
            with wait_for_lock(target, lambda: logger.warning("waiting for another preparation of %s", target)):
                if not _is_done(target, request):
                    CorpusBuilder(request, target, progress).build()
        return Corpus.open(target)


def open_corpus(recipe: Recipe) -> Corpus:
    """The recipe's prepared stories, prepared now if necessary. Raises UserError if its model has too few token ids."""
    corpus = prepare(recipe.data, recipe.tokenizer, recipe.model.vocab_size)
    size, capacity = corpus.tokenizer.vocab_size, recipe.model.vocab_size
    if size > capacity:
        raise UserError(
            f"model.vocab_size is {capacity}, and the tokenizer {recipe.tokenizer.kind} has {size} tokens; "
            f"set it to {size}"
        )
    return corpus


def _open_prepared(folder: Path, tokenizer: TokenizerConfig, vocab_size: int) -> Corpus:
    corpus = Corpus.open(folder)
    there: dict[str, Any] = corpus.manifest["request"]["tokenizer"]
    sizes = (there.get("vocab_size", vocab_size), corpus.tokenizer.vocab_size)  # as asked for, and as it became
    if there.get("kind") != tokenizer.kind or vocab_size not in sizes:
        size = f" of {there['vocab_size']}" if "vocab_size" in there else ""
        raise UserError(
            f"{folder} has tokenizer.kind {there.get('kind')}{size}, but the recipe has {tokenizer.kind} of "
            f"{vocab_size}; set --tokenizer.kind and --model.vocab-size to those of the folder, or name the stories "
            "that it was made of"
        )
    return corpus


def _is_done(target: Path, request: PreparationRequest) -> bool:
    """Whether the folder holds this corpus already. Raises UserError if it holds something else."""
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return False
    manifest = read_json(target / MANIFEST)
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise UserError(f"{target} holds something other than a prepared corpus; name another folder")
    there = manifest.get("request")
    if there != request.values:
        difference = first_difference(there, request.values)
        raise UserError(
            f"{target} holds a corpus that was prepared with other settings: {difference}; name another folder"
        )
    return True


def _refuse_among_stories(target: Path, config: DataConfig) -> None:
    """A corpus written among the stories would be read as some of them."""
    for source in filter(None, (config.source, config.valid, config.test)):
        if Path(source).is_dir() and target.resolve().is_relative_to(Path(source).resolve()):
            raise UserError(f"{target} is inside {source}, the folder of its stories; name another folder")
