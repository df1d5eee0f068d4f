"""Import the tokenizer of a foreign model: it must give the same ids for the same text."""

from __future__ import annotations

import logging
from pathlib import Path

from talewright.errors import UserError
from talewright.files import expand_home
from talewright.tokenizer import Tokenizer
from talewright.tokenizer.base import FILE
from talewright.tokenizer.foreign import left_out, read_foreign
from talewright.tokenizer.gpt2 import load_gpt2

logger = logging.getLogger(__name__)

GPT2_SIZES = (50257, 50304)
"""The vocabulary of GPT-2's tokenizer, and what nanoGPT pads it to."""


def read_tokenizer(folder: Path, other: str | None, vocab_size: int) -> Tokenizer:
    """The tokenizer of the model in `folder`: that of `other` if it is named; otherwise its own; otherwise GPT-2's, if
    the vocabulary has its size, or the one that nanoGPT pads it to.

    Special tokens beyond the model's rows are left out, with a warning. Raises UserError if there is no tokenizer, or
    if it has more ids than the model.
    """
    if other is not None:
        named = expand_home(other)
        tokenizer = _from_folder(named, vocab_size) if named.is_dir() else _from_name(other)
    else:
        tokenizer = _from_folder(folder, vocab_size)
        if tokenizer is None and vocab_size in GPT2_SIZES:
            logger.info("%s has no tokenizer; using GPT-2's, because the model has %d tokens", folder, vocab_size)
            tokenizer = _from_name("openai-community/gpt2")
    if tokenizer is None:
        raise UserError(
            f"{other or folder} has no tokenizer, neither tokenizer.json nor vocab.json with merges.txt; name a "
            "folder with the model's tokenizer with --tokenizer"
        )
    if tokenizer.vocab_size > vocab_size:
        raise UserError(
            f"the tokenizer of {other or folder} has {tokenizer.vocab_size:,} ids, but the model's vocabulary has "
            f"{vocab_size:,}; it belongs to another model"
        )
    return tokenizer


def _from_name(name: str) -> Tokenizer:
    """The tokenizer of a name on the hub. Raises UserError in the words of the import: its option is `--tokenizer`."""
    try:
        return Tokenizer.from_merges(load_gpt2(name))
    except UserError as error:
        text = str(error).replace("--tokenizer.source", "--tokenizer").replace("tokenizer.source", "--tokenizer")
        raise UserError(text) from None


def _from_folder(folder: Path, rows: int) -> Tokenizer | None:
    if (folder / FILE).is_file():
        tokenizer = read_foreign(folder, rows)
        if beyond := left_out(folder, rows):
            logger.warning(
                "removed from the tokenizer, because the model has no embedding for them: %s", ", ".join(beyond)
            )
        return tokenizer
    if (folder / "vocab.json").is_file() and (folder / "merges.txt").is_file():
        return Tokenizer.from_merges(load_gpt2(str(folder)))
    return None
