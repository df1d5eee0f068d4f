"""Tokenizers of other programs, drawn part by part."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

from talewright.tokenizer import Tokenizer

GPT4 = r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+"
QWEN = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
FLAGS = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized", "special"), False)


def byte_level(use_regex: bool = True, add_prefix_space: bool = False) -> dict[str, Any]:
    return {
        "type": "ByteLevel",
        "add_prefix_space": add_prefix_space,
        "trim_offsets": True,
        "use_regex": use_regex,
    }


def split(pattern: dict[str, str], behavior: str = "Isolated", invert: bool = False) -> dict[str, Any]:
    return {"type": "Split", "pattern": pattern, "behavior": behavior, "invert": invert}


def sequence(*steps: dict[str, Any]) -> dict[str, Any]:
    return {"type": "Sequence", "pretokenizers": [*steps]}


def added(number: int, content: str, **flags: bool) -> dict[str, Any]:
    return {"id": number, "content": content, **FLAGS, **flags}


LOSSLESS = [
    byte_level(),
    byte_level(use_regex=False),
    sequence(byte_level()),
    sequence(split({"Regex": GPT4}), byte_level(use_regex=False)),
    sequence(split({"Regex": QWEN}), byte_level(use_regex=False)),
    sequence({"type": "Digits", "individual_digits": True}, byte_level()),
    sequence(
        {"type": "Punctuation", "behavior": "Contiguous"}, byte_level(), {"type": "Digits", "individual_digits": False}
    ),
    *(
        sequence(split({"String": " "}, behavior, invert), byte_level(use_regex=False))
        for behavior in ("MergedWithPrevious", "MergedWithNext", "Contiguous")
        for invert in (False, True)
    ),
]


@st.composite
def lossless_changes(draw: st.DrawFn, size: int) -> dict[str, Any]:
    """Parts that lose nothing, for a tokenizer of that many ids: what to change in a tokenizer.json."""
    names = draw(st.lists(st.sampled_from(["<pad>", "fox", "the river", "!!", "née"]), unique=True, max_size=3))
    flags = st.fixed_dictionaries({name: st.booleans() for name in ("single_word", "normalized", "special")})
    splitter = draw(st.sampled_from(LOSSLESS))
    whole = splitter == byte_level(use_regex=False) or "String" in str(splitter)  # a word may be the end of text
    return {
        "pre_tokenizer": splitter,
        "added_tokens": [added(size + place, name, **draw(flags)) for place, name in enumerate(names)],
        "model": {"ignore_merges": not whole and draw(st.booleans()), "dropout": draw(st.sampled_from([None, 0.0]))},
        "padding": None,
        "truncation": {"direction": "Right", "max_length": 3, "strategy": "LongestFirst", "stride": 0},
    }


def changed(tokenizer: Tokenizer, changes: dict[str, Any]) -> str:
    """The text of the tokenizer's tokenizer.json with other parts; added tokens and settings of the model are added."""
    values = json.loads(tokenizer.files()["tokenizer.json"])
    model = values["model"] | changes.get("model", {})
    tokens = values["added_tokens"] + changes.get("added_tokens", [])
    return json.dumps(values | changes | {"model": model, "added_tokens": tokens})
