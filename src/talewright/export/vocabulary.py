"""A tokenizer as other programs store it: by merges, as GPT-2's, or by scored pieces, as Llama's."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import NamedTuple

import tokenizers
from tokenizers import AddedToken, decoders, normalizers
from tokenizers.models import BPE

from talewright.errors import UserError
from talewright.tokenizer import Tokenizer
from talewright.tokenizer.base import Merges
from talewright.tokenizer.fallback import SPACE, fallback_token

MAX_PIECE = 1000
"""Bytes of a piece; all the ways to split a longer one would fill the memory."""
BYTES = {fallback_token(byte): byte for byte in range(256)}
"""The pieces of single bytes."""


def padding(number: int) -> str:
    """The name of an id without a token."""
    return f"[PAD{number}]"


class ScoredPieces(NamedTuple):
    """A SentencePiece BPE with byte fallback (Kudo & Richardson 2018), as Llama's is.

    Of all neighbors whose joint text is a piece, those with the highest score are joined first.
    """

    pieces: list[str]
    """The piece of each id, with "\u2581" for a space and "<0x0A>" for a byte; the end of text by its own name."""
    scores: list[float]
    special: frozenset[int]
    """Ids that no text contains, including the end of text."""


def foreign_vocabulary(tokenizer: Tokenizer) -> Merges | ScoredPieces:
    """The tokenizer in whichever form describes it fully. Raises UserError if neither does."""
    if tokenizer.splits_as_gpt2 and not tokenizer.unused:
        return tokenizer.merges()
    pieces = scored_pieces(tokenizer)
    if pieces is not None:
        return pieces
    raise UserError("the run's tokenizer splits text neither as GPT-2's nor as Llama's does; the format has no other")


def scored_pieces(tokenizer: Tokenizer) -> ScoredPieces | None:
    """The pieces of a tokenizer of Llama's kind; None if it is of another kind, or if scores would tokenize some text
    differently than its merges do.
    """
    bpe = tokenizer.merges()
    if not BYTES.keys() <= bpe.vocab.keys() or max(map(len, bpe.vocab)) > MAX_PIECE:
        return None
    names = {number: token for token, number in bpe.vocab.items()}
    joined = [piece for piece, _ in groupby(left + right for left, right in bpe.merges)]
    scores = {piece: -float(rank) for rank, piece in enumerate(joined)}
    special = frozenset(n for n in range(tokenizer.vocab_size) if not tokenizer.token_bytes[n])
    listed = [names.get(number, padding(number)) for number in range(tokenizer.vocab_size)]
    pieces = ScoredPieces(listed, [scores.get(piece, 0.0) for piece in listed], special)
    rebuilt = tokenizer_from_pieces(pieces)
    if [*map("".join, rebuilt.merges().merges)] != [*map("".join, bpe.merges)]:
        return None  # a piece is joined early from one pair and late from another, or from only some of its pairs
    return pieces if _same_parts(rebuilt, tokenizer) else None


def _same_parts(one: Tokenizer, other: Tokenizer) -> bool:
    """Whether two tokenizers give the same ids for every text: they are made of the same parts.

    Except for merges, which the caller compares.
    """
    return (one.splitting, one.eos_id, one.token_bytes) == (other.splitting, other.eos_id, other.token_bytes)


def tokenizer_from_pieces(pieces: ScoredPieces) -> Tokenizer:
    """The tokenizer that joins these pieces. Raises UserError if it would not preserve a text."""
    vocab = {piece: number for number, piece in enumerate(pieces.pieces)}
    backend = tokenizers.Tokenizer(BPE(vocab, list(_merges(pieces)), byte_fallback=True))
    backend.normalizer = normalizers.Sequence([normalizers.Prepend(SPACE), normalizers.Replace(" ", SPACE)])
    steps = [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    backend.decoder = decoders.Sequence(steps)
    names = [pieces.pieces[number] for number in sorted(pieces.special)]
    backend.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in names])
    return Tokenizer(backend.to_str())


def _merges(pieces: ScoredPieces) -> Iterator[tuple[str, str]]:
    """All pairs of pieces that make a third, those with the highest score first."""
    numbers = {p: n for n, p in enumerate(pieces.pieces) if n not in pieces.special and p not in BYTES}
    for piece in sorted(numbers, key=lambda piece: -pieces.scores[numbers[piece]]):
        splits = [(piece[:i], piece[i:]) for i in range(1, len(piece))]
        pairs = [(left, right) for left, right in splits if left in numbers and right in numbers]
        yield from sorted(pairs, key=lambda pair: (numbers[pair[0]], numbers[pair[1]]))
