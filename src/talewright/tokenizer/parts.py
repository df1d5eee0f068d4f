"""The parts of a tokenizer.json: which of them lose no text, and where they split it.

Decided by what the parts are, not by how they treat some texts: another text could be treated otherwise.
"""

from __future__ import annotations

import json
from typing import Any

from talewright.errors import UserError
from talewright.tokenizer.fallback import SPACE

SPLITTERS = ("Split", "Digits", "Punctuation", "ByteLevel", "Metaspace")
"""Pre-tokenizers that can keep all of a text."""
GPT2_SPLITTING = json.dumps({"normalizer": [], "pre_tokenizer": [["ByteLevel", False, True]], "model": {}, "added": []})
"""The `splitting` of GPT-2's tokenizer: its words, and nothing else."""


def check_parts(data: dict[str, Any]) -> None:
    """Raise UserError, naming the part of a parsed tokenizer.json, if it changes or loses some of a text."""
    model = data.get("model")
    if not isinstance(model, dict) or model.get("type", "BPE") != "BPE" or "merges" not in model:
        kind = model.get("type") if isinstance(model, dict) else None
        raise _lossy(f"its model is {kind or 'of no known type'}; only BPE is read")
    for name in ("dropout", "continuing_subword_prefix", "end_of_word_suffix"):
        if model.get(name):
            raise _lossy(f"its model has {name} {model[name]!r}")
    splitters = steps(data.get("pre_tokenizer"), "pretokenizers")
    bytewise = [step["type"] for step in splitters].count("ByteLevel")
    if bytewise > 1:
        raise _lossy("its pre_tokenizer has two ByteLevel steps")
    if not bytewise and not model.get("byte_fallback"):
        raise _lossy("its pre_tokenizer has no ByteLevel step and its model no byte_fallback, so it loses letters")
    if not bytewise and model.get("ignore_merges"):
        raise _lossy("its model has ignore_merges with byte_fallback")
    for step in steps(data.get("normalizer"), "normalizers"):
        if bytewise or not _marks_spaces(step):
            raise _lossy(
                f"its normalizer {step['type']} changes text. A copy of its tokenizer.json without it gives the same "
                "ids for all text that it would not change"
            )
    for step in splitters:
        _check_splitter(step, bool(bytewise))
    _check_added(data)


def is_bytewise(data: dict[str, Any]) -> bool:
    """Whether tokens are spelled in byte letters, as GPT-2's, and not in text with byte fallback, as Llama's."""
    return any(step["type"] == "ByteLevel" for step in steps(data.get("pre_tokenizer"), "pretokenizers"))


def adds_space(data: dict[str, Any]) -> bool:
    """Whether it puts a space before each text, as Llama's does."""
    prepends = any(step["type"] == "Prepend" for step in steps(data.get("normalizer"), "normalizers"))
    splitters = steps(data.get("pre_tokenizer"), "pretokenizers")
    return prepends or any(step["type"] == "Metaspace" and _scheme(step) != "never" for step in splitters)


def splitting(data: dict[str, Any]) -> str:
    """All that decides where a text is split, except the vocabulary and the merges: equal for equal splitting."""
    model = data["model"]
    added = [token for token in data.get("added_tokens") or [] if not token.get("special")]
    parts = {
        "normalizer": [_plain(step) for step in steps(data.get("normalizer"), "normalizers")],
        "pre_tokenizer": [_plain(step) for step in steps(data.get("pre_tokenizer"), "pretokenizers")],
        "model": {name: True for name in ("ignore_merges", "byte_fallback") if model.get(name)},
        "added": sorted(added, key=lambda token: token["id"]),
    }
    if is_bytewise(data):  # with a token for each byte, nothing falls back
        parts["model"].pop("byte_fallback", None)
    return json.dumps(parts)


def steps(part: Any, inside: str) -> list[dict[str, Any]]:
    """The steps of a normalizer or pre-tokenizer, in order; `inside` is what a Sequence calls its steps."""
    if part is None:
        return []
    if not isinstance(part, dict) or "type" not in part:
        raise UserError("the tokenizer is not valid: a part of it has no type")
    if part["type"] != "Sequence":
        return [part]
    return [step for each in part.get(inside) or [] for step in steps(each, inside)]


def _check_splitter(step: dict[str, Any], bytewise: bool) -> None:
    kind = step["type"]
    if kind not in SPLITTERS or (kind == "Metaspace" and (bytewise or step.get("replacement") != SPACE)):
        raise _lossy(f"its pre_tokenizer {kind} changes text")
    if str(step.get("behavior")).lower() == "removed":
        raise _lossy(f"its pre_tokenizer {kind} removes what it splits at")
    if kind == "ByteLevel" and step.get("add_prefix_space", True):
        raise _lossy("its pre_tokenizer ByteLevel has add_prefix_space, which changes text")


def _check_added(data: dict[str, Any]) -> None:
    """A special token is part of no text; any other is found in a text, and must keep what is around it."""
    tokens = data.get("added_tokens") or []
    if not isinstance(tokens, list) or not all(isinstance(token, dict) for token in tokens):
        raise UserError("the tokenizer is not valid: its added_tokens are not a list of objects")
    contents = [token.get("content") for token in tokens]
    for token in tokens:
        name = repr(token.get("content"))
        if contents.count(token.get("content")) > 1:
            raise UserError(f"the tokenizer has the added token {name} twice")
        if not token.get("special") and (token.get("lstrip") or token.get("rstrip")):
            raise _lossy(f"its added token {name} removes the spaces around it (lstrip, rstrip)")
        if not token.get("special") and adds_space(data):
            raise _lossy(f"it adds a space after its added token {name}, which is not special")


def _marks_spaces(step: dict[str, Any]) -> bool:
    """Whether a normalizer does no more than SentencePiece's: a mark for each space, and one before the text."""
    if step["type"] == "Prepend":
        return step.get("prepend") == SPACE
    return step["type"] == "Replace" and (step.get("pattern"), step.get("content")) == ({"String": " "}, SPACE)


def _scheme(step: dict[str, Any]) -> str:
    return step.get("prepend_scheme") or ("always" if step.get("add_prefix_space", True) else "never")


def _plain(step: dict[str, Any]) -> Any:
    """A step without what changes no token."""
    if step["type"] == "ByteLevel":
        return ["ByteLevel", bool(step.get("add_prefix_space", True)), bool(step.get("use_regex", True))]
    return sorted((name, json.dumps(value, sort_keys=True)) for name, value in step.items())


def _lossy(what: str) -> UserError:
    return UserError(f"the tokenizer is not a lossless byte-level BPE: {what}")
