"""A pad token in an exported tokenizer, other than the end of text: trainers do not score padding, and would not score
the ends of stories either if both were one token.

The token takes the id of a byte that no UTF-8 text has, so that the model stays as it is.
"""

from __future__ import annotations

from typing import Any

from talewright.config import EOT
from talewright.tokenizer import Tokenizer
from talewright.tokenizer.base import BYTE_LETTERS
from talewright.tokenizer.fallback import fallback_token

PAD = "<|pad|>"
UNUSED_BYTES = (0xC0, 0xC1, *range(0xF5, 0x100))
"""The bytes that are in no UTF-8 text."""


def pad_token(tokenizer: Tokenizer) -> tuple[str, int]:
    """The name and id of the token that becomes the pad token: one of that name, otherwise that of an unused byte, or
    the end of text if each of these bytes is part of a longer token.
    """
    bpe = tokenizer.merges()
    parts = {part for pair in bpe.merges for part in pair}
    free = (token for token in _unused_tokens(bpe.vocab) if token not in parts)
    name = PAD if PAD in bpe.vocab else next(free, EOT)
    return name, bpe.vocab[name]


def renamed(vocab: dict[str, int], old: str) -> dict[str, int]:
    """The vocabulary with the token `old` as the pad token, unless it is the end of text."""
    return {PAD if token == old != EOT else token: number for token, number in vocab.items()}


def with_pad_token(values: dict[str, Any], old: str, number: int) -> dict[str, Any]:
    """A parsed tokenizer.json in which the token `old`, of that id, is the pad token."""
    if old in (PAD, EOT):
        return values
    options = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    added = [*values["added_tokens"], {"id": number, "content": PAD, **options, "special": True}]
    model = {**values["model"], "vocab": renamed(values["model"]["vocab"], old)}
    return {**values, "model": model, "added_tokens": sorted(added, key=lambda token: token["id"])}


def without_pad_token(values: dict[str, Any]) -> dict[str, Any]:
    """The inverse of `with_pad_token`; other tokenizers stay as they are."""
    try:
        vocab, added = values["model"]["vocab"], values["added_tokens"]
        lost = _unused_tokens(vocab, present=False)
        if PAD not in vocab or len(lost) != 1:
            return values
        restored = {lost[0] if token == PAD else token: number for token, number in vocab.items()}
        rest = [token for token in added if token["content"] != PAD]
    except (KeyError, TypeError, AttributeError):  # it is no tokenizer
        return values
    return {**values, "model": {**values["model"], "vocab": restored}, "added_tokens": rest}


def _unused_tokens(vocab: dict[str, int], present: bool = True) -> list[str]:
    """The names of the tokens of the unused bytes, those that the vocabulary has, or those that it lacks."""
    fallback = fallback_token(0) in vocab
    names = [fallback_token(byte) if fallback else BYTE_LETTERS[byte] for byte in reversed(UNUSED_BYTES)]
    return [name for name in names if (name in vocab) == present]
