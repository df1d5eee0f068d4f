"""Tokens as SentencePiece spells them (Kudo & Richardson 2018): letters, a mark for the space, and 256 single bytes for
what has no letters. Llama's tokenizer is one; none is trained here.
"""

from __future__ import annotations

import re

SPACE = "\u2581"
_BYTE = re.compile("<0x([0-9A-F]{2})>")


def fallback_token(byte: int) -> str:
    """The token of a byte that no other token has."""
    return f"<0x{byte:02X}>"


def bytes_of_piece(spelled: str) -> bytes:
    """The bytes that a token stands for."""
    found = _BYTE.fullmatch(spelled)
    return bytes([int(found[1], 16)]) if found else spelled.replace(SPACE, " ").encode("utf-8")
