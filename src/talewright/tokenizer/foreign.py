"""A tokenizer of another program: its tokenizer.json, with the begin and the ends of a text as transformers finds them.

Its end of text gets the name that it has here, and its begin, if that is another token, a place in the post-processor
(see `ends.py`). All ids stay.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from talewright.config import EOT
from talewright.errors import UserError
from talewright.files import read_json
from talewright.tokenizer.base import FILE, Tokenizer, merges_of_json, parsed, read_text
from talewright.tokenizer.ends import begins_with
from talewright.tokenizer.pad_token import without_pad_token
from talewright.tokenizer.parts import check_parts

USUAL_ENDS = (EOT, "</s>", "<|end_of_text|>", "<|im_end|>", "<|eot_id|>", "<|end|>", "<eos>", "<end_of_turn>", "[SEP]")
"""Names of the end of text, tried if no file of the model names it."""
ID_FILES, NAME_FILES = ("generation_config.json", "config.json"), ("tokenizer_config.json", "special_tokens_map.json")


def read_foreign(folder: Path, rows: int | None = None) -> Tokenizer:
    """The tokenizer of a folder with a tokenizer.json. rows: ids of the model that it belongs to; a special token
    beyond them, which no text contains, is left out.

    Raises UserError, naming the file, if it loses text or no token ends one.
    """
    path = folder / FILE
    text = read_text(path)
    try:
        values = without_pad_token(parsed(text))
        check_parts(values)
        return _with_ends(_within(values, rows), folder)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    except (ValueError, TypeError, KeyError, AttributeError, IndexError) as error:
        raise UserError(f"{path}: the tokenizer is not valid ({type(error).__name__}: {error})") from None


def _with_ends(values: dict[str, Any], folder: Path) -> Tokenizer:
    ids = _special_ids(values, folder)
    ends = _ends(ids, folder)
    begin = _begin(values, ids, folder)
    if not ends and begin is None:
        listed = ", ".join(sorted(ids)[:8]) or "none"
        raise UserError(
            "no token ends a text: name it as eos_token in tokenizer_config.json, or as eos_token_id in config.json "
            f"(special tokens: {listed})"
        )
    begin = begin or ends[0]
    ends = ends or [begin]
    new = {ends[0]: EOT, EOT: ends[0]}  # if another token has that name, it gets the other's
    values = _renamed({**values, "added_tokens": _added(values, ids, [begin, *ends])}, new)
    used = {new.get(name, name): ids[name] for name in (begin, *ends)}
    own = None if [*used] == [EOT] else begins_with(new.get(begin, begin), used)
    tokenizer = Tokenizer(json.dumps({**values, "post_processor": own}, ensure_ascii=False))
    specials = sum(not text for text in tokenizer.token_bytes)
    if own is not None or specials > 1 or not tokenizer.splits_as_gpt2:
        return tokenizer
    return Tokenizer.from_merges(merges_of_json(values))  # the same, in the form that ours have


def _within(values: dict[str, Any], rows: int | None) -> dict[str, Any]:
    """Without the special tokens that the model has no row for."""
    tokens = values.get("added_tokens") or []
    beyond = [each["content"] for each in tokens if rows is not None and each["id"] >= rows and each.get("special")]
    if not beyond:
        return values
    vocab = {token: number for token, number in values["model"]["vocab"].items() if token not in beyond}
    kept = [each for each in tokens if each["content"] not in beyond]
    return {**values, "added_tokens": kept, "model": {**values["model"], "vocab": vocab}}


def left_out(folder: Path, rows: int) -> list[str]:
    """The special tokens that `read_foreign` leaves out."""
    values = read_json(folder / FILE)
    tokens = (values.get("added_tokens") or []) if isinstance(values, dict) else []
    return [each["content"] for each in tokens if each["id"] >= rows and each.get("special")]


def _special_ids(values: dict[str, Any], folder: Path) -> dict[str, int]:
    """Ids of the special tokens by name: those that tokenizer.json says are special, or that another file names."""
    vocab = {**values["model"].get("vocab", {})}
    ids = {each["content"]: each["id"] for each in values.get("added_tokens") or [] if each.get("special")}
    named = [name for what in ("bos_token", "eos_token") for name in _names(folder, what)]
    return ids | {name: vocab[name] for name in named if name in vocab and name not in ids}


def _ends(ids: dict[str, int], folder: Path) -> list[str]:
    """The names of the tokens that end a text: those at which transformers ends it, the tokenizer's own one first."""
    named = [name for name in _names(folder, "eos_token") if name in ids]
    for file in ID_FILES:
        numbers = _value(folder, file, "eos_token_id")
        numbers = numbers if isinstance(numbers, list) else [numbers]
        found = [name for number in numbers for name, own in ids.items() if own == number]
        if found:
            return sorted(dict.fromkeys(found), key=lambda name: name not in named)
    return named[:1] or [name for name in USUAL_ENDS if name in ids][:1]


def _begin(values: dict[str, Any], ids: dict[str, int], folder: Path) -> str | None:
    """The name of the token that begins a text: what the tokenizer itself puts there, otherwise what it is named."""
    for name in (*_first_of_template(values.get("post_processor")), *_names(folder, "bos_token")):
        if name in ids:
            return name
    if _says_no_begin(folder):
        return None
    for file in ID_FILES:
        number = _value(folder, file, "bos_token_id")
        for name, own in ids.items():
            if own == number:
                return name
    return None


def _first_of_template(part: Any) -> Iterator[str]:
    if not isinstance(part, dict):
        return
    if part.get("type") == "Sequence":
        for each in part.get("processors") or []:
            yield from _first_of_template(each)
    elif part.get("type") == "TemplateProcessing" and "SpecialToken" in part["single"][0]:
        yield part["single"][0]["SpecialToken"]["id"]


def _names(folder: Path, what: str) -> Iterator[str]:
    for file in NAME_FILES:
        token = _value(folder, file, what)
        name = token.get("content") if isinstance(token, dict) else token
        if isinstance(name, str):
            yield name


def _says_no_begin(folder: Path) -> bool:
    """Whether the tokenizer has no begin, as Qwen's, whose config.json numbers one all the same."""
    values = read_json(folder / NAME_FILES[0])
    return isinstance(values, dict) and "bos_token" in values and values["bos_token"] is None


def _value(folder: Path, file: str, name: str) -> Any:
    values = read_json(folder / file)
    return values.get(name) if isinstance(values, dict) else None


def _added(values: dict[str, Any], ids: dict[str, int], names: list[str]) -> list[dict[str, Any]]:
    """The added tokens; transformers adds those that only another file names."""
    tokens = values.get("added_tokens") or []
    there = {each["content"] for each in tokens if each.get("special")}
    tokens = [each for each in tokens if each["content"] in there or each["content"] not in names]
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    new = [{"id": ids[name], "content": name, **flags, "special": True} for name in dict.fromkeys(names)]
    tokens = [*tokens, *(each for each in new if each["content"] not in there)]
    return sorted(tokens, key=lambda each: each["id"])


def _renamed(values: dict[str, Any], new: dict[str, str]) -> dict[str, Any]:
    """With other names for special tokens; ids stay."""
    tokens = [{**each, "content": new.get(each["content"], each["content"])} for each in values["added_tokens"]]
    model = dict(values["model"])
    model["vocab"] = {new.get(token, token): number for token, number in model["vocab"].items()}
    unknown = model.get("unk_token")
    return {**values, "added_tokens": tokens, "model": {**model, "unk_token": unknown and new.get(unknown, unknown)}}
