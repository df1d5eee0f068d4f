"""Byte fallback as in SentencePiece (Kudo & Richardson 2018), which Llama's tokenizer uses; none is trained here.

A token is spelled in letters with a mark for each space; what no other token covers is spelled in 256 single bytes.
"""

from __future__ import annotations

import re

SPACE = "\u2581"
_BYTE = re.compile("<0x([0-9A-F]{2})>")


def fallback_token(byte: int) -> str:
    """The token of a byte that no other token covers."""
    return f"<0x{byte:02X}>"


def bytes_of_piece(piece: str) -> bytes:
    """The bytes that a token stands for."""
    match = _BYTE.fullmatch(piece)
    return bytes([int(match[1], 16)]) if match else piece.replace(SPACE, " ").encode("utf-8")
