"""The tokenizer of a foreign model, as one of ours: the same ids for the same text, or none at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from talewright.config import EOT
from talewright.errors import UserError
from talewright.export.vocabulary import same_tokens
from talewright.tokenizer import Tokenizer
from talewright.tokenizer.base import merges_of_json
from talewright.tokenizer.gpt2 import load_gpt2

GPT2_SIZE = 50257


def read_tokenizer(folder: Path, other: str | None, vocab_size: int) -> Tokenizer:
    """The tokenizer of the model in `folder`: of `other`, where that is named; else its own; else GPT-2's, where the
    size says that it is.

    Raises UserError where there is none, or one that has more ids than the model.
    """
    if other is not None:
        named = Path(other).expanduser()
        tokenizer = _of_folder(named) if named.is_dir() else Tokenizer.from_merges(load_gpt2(other))
    else:
        tokenizer = _of_folder(folder)
    if tokenizer is None and other is None and vocab_size == GPT2_SIZE:
        tokenizer = Tokenizer.from_merges(load_gpt2("openai-community/gpt2"))
    if tokenizer is None:
        raise UserError(
            f"{other or folder} has no tokenizer, neither tokenizer.json nor vocab.json with merges.txt; name a "
            "folder that has the model's with --tokenizer"
        )
    if tokenizer.vocab_size > vocab_size:
        raise UserError(
            f"the tokenizer of {other or folder} has {tokenizer.vocab_size:,} ids, and the model's vocabulary "
            f"{vocab_size:,}; it is another model's"
        )
    return tokenizer


def _of_folder(folder: Path) -> Tokenizer | None:
    path = folder / "tokenizer.json"
    if path.is_file():
        try:
            return _of_json(json.loads(path.read_text(encoding="utf-8")), _ends_of_text(folder))
        except (ValueError, RecursionError) as error:  # UserError is one of them
            raise UserError(f"{path}: {error}") from None
    if (folder / "vocab.json").is_file() and (folder / "merges.txt").is_file():
        return Tokenizer.from_merges(load_gpt2(str(folder)))
    return None


def _of_json(values: Any, ends: list[str]) -> Tokenizer:
    if not isinstance(values, dict):
        raise UserError("it is no tokenizer: its JSON is no object")
    values = {**values, "post_processor": None}  # what is put around a text is our engine's business
    special = {token.get("content") for token in values.get("added_tokens") or [] if isinstance(token, dict)}
    found = [end for end in ends if end in special]
    if EOT not in special and found:
        values = _renamed(values, found[0])
    tokenizer = Tokenizer(json.dumps(values, ensure_ascii=False))
    try:
        plain = Tokenizer.from_merges(merges_of_json(values))
    except UserError:  # it is of another kind than GPT-2's
        return tokenizer
    return plain if same_tokens(plain, tokenizer) else tokenizer


def _renamed(values: dict[str, Any], end: str) -> dict[str, Any]:
    """The same with its end of text under the one name that it has here; its id stays."""
    tokens = [{**each, "content": EOT} if each.get("content") == end else each for each in values["added_tokens"]]
    model = dict(values["model"])
    model["vocab"] = {EOT if token == end else token: number for token, number in model["vocab"].items()}
    return {**values, "added_tokens": tokens, "model": model}


def _ends_of_text(folder: Path) -> list[str]:
    """What tokenizer_config.json calls the token between two texts: the one that begins a text, as Llama's stories have
    it, then the one that ends it.
    """
    try:
        values = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
        tokens = [values.get("bos_token"), values.get("eos_token")]
    except (OSError, ValueError, AttributeError, RecursionError):
        return []
    return [str(token["content"] if isinstance(token, dict) else token) for token in tokens if token]
