"""Import the tokenizer of a foreign model: it must give the same ids for the same text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from talewright.config import EOT
from talewright.errors import UserError
from talewright.export.pad_token import without_pad_token
from talewright.export.vocabulary import same_tokens
from talewright.files import expand_home, read_json
from talewright.tokenizer import Tokenizer
from talewright.tokenizer.base import merges_of_json
from talewright.tokenizer.gpt2 import load_gpt2

GPT2_SIZE = 50257


def read_tokenizer(folder: Path, other: str | None, vocab_size: int) -> Tokenizer:
    """The tokenizer of the model in `folder`: that of `other` if it is named; otherwise its own; otherwise GPT-2's, if
    the vocabulary has its size.

    Raises UserError if there is none, or if it has more ids than the model.
    """
    if other is not None:
        named = expand_home(other)
        tokenizer = _from_folder(named) if named.is_dir() else _from_name(other)
    else:
        tokenizer = _from_folder(folder)
        if tokenizer is None and vocab_size == GPT2_SIZE:
            tokenizer = _from_name("openai-community/gpt2")
    if tokenizer is None:
        raise UserError(
            f"{other or folder} has no tokenizer, neither tokenizer.json nor vocab.json with merges.txt; name a "
            "folder with the model's tokenizer with --tokenizer"
        )
    if tokenizer.vocab_size > vocab_size:
        raise UserError(
            f"the tokenizer of {other or folder} has {tokenizer.vocab_size:,} ids, but the model's vocabulary has "
            f"{vocab_size:,}; it is another model's"
        )
    return tokenizer


def _from_name(name: str) -> Tokenizer:
    """The tokenizer of a name on the hub. Raises UserError in the words of the import: its option is `--tokenizer`."""
    try:
        return Tokenizer.from_merges(load_gpt2(name))
    except UserError as error:
        text = str(error).replace("--tokenizer.source", "--tokenizer").replace("tokenizer.source", "--tokenizer")
        raise UserError(text) from None


def _from_folder(folder: Path) -> Tokenizer | None:
    path = folder / "tokenizer.json"
    if path.is_file():
        try:
            return _from_json(json.loads(path.read_text(encoding="utf-8")), _end_of_text_names(folder))
        except (ValueError, RecursionError) as error:  # UserError is a ValueError
            raise UserError(f"{path}: {error}") from None
    if (folder / "vocab.json").is_file() and (folder / "merges.txt").is_file():
        return Tokenizer.from_merges(load_gpt2(str(folder)))
    return None


def _from_json(values: Any, end_names: list[str]) -> Tokenizer:
    if not isinstance(values, dict):
        raise UserError("it is not a tokenizer: its JSON is not an object")
    values = {**without_pad_token(values), "post_processor": None}  # our engine puts the end of text around a text
    special = {token.get("content") for token in values.get("added_tokens") or [] if isinstance(token, dict)}
    names = [name for name in end_names if name in special]
    if EOT not in special and names:
        values = _rename_end_of_text(values, names[0])
    tokenizer = Tokenizer(json.dumps(values, ensure_ascii=False))
    try:
        plain = Tokenizer.from_merges(merges_of_json(values))
    except UserError:  # it is of another kind than GPT-2's
        return tokenizer
    return plain if same_tokens(plain, tokenizer) else tokenizer


def _rename_end_of_text(values: dict[str, Any], old: str) -> dict[str, Any]:
    """Give the end of text the name that it has here; its id stays."""
    tokens = [{**each, "content": EOT} if each.get("content") == old else each for each in values["added_tokens"]]
    model = dict(values["model"])
    model["vocab"] = {EOT if token == old else token: number for token, number in model["vocab"].items()}
    return {**values, "added_tokens": tokens, "model": model}


def _end_of_text_names(folder: Path) -> list[str]:
    """What tokenizer_config.json calls the token between texts: first the one that begins a text, as in Llama's
    stories, then the one that ends it.
    """
    values = read_json(folder / "tokenizer_config.json")
    if not isinstance(values, dict):
        return []
    tokens = [values.get("bos_token"), values.get("eos_token")]
    return [str(token.get("content") if isinstance(token, dict) else token) for token in tokens if token]
