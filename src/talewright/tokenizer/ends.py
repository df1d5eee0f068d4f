"""The tokens that begin and end a text.

Ours have one token for both, between two texts. A foreign tokenizer may have a begin of its own, and several ends. Its
tokenizer.json then says so in its post-processor, where the tokenizers library and transformers look for the begin.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def begin_and_ends(data: dict[str, Any], eos_id: int, special: Mapping[str, int]) -> tuple[int, tuple[int, ...]]:
    """The id that begins a text, and all that end one (the end of text first), of a parsed tokenizer.json.

    special: the ids of the special tokens, by their names.
    """
    template = data.get("post_processor") or {}
    if template.get("type") != "TemplateProcessing":
        return eos_id, (eos_id,)
    named = {name: special[name] for name in template["special_tokens"] if name in special}
    first = template["single"][0].get("SpecialToken", {}).get("id")
    others = sorted(set(named.values()) - {eos_id})
    return named.get(first, eos_id), (eos_id, *others)


def begins_with(begin: str, ids: dict[str, int]) -> dict[str, Any]:
    """The post-processor that puts `begin` before a text. ids: those of the begin and of all ends, by their names."""
    first, text = {"SpecialToken": {"id": begin, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}
    second = {"Sequence": {"id": "B", "type_id": 1}}
    return {
        "type": "TemplateProcessing",
        "single": [first, text],
        "pair": [first, text, second],
        "special_tokens": {name: {"id": name, "ids": [number], "tokens": [name]} for name, number in ids.items()},
    }
