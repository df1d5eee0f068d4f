"""A tokenizer as other programs write it down: by merges, as GPT-2's, or by pieces with scores, as Llama's."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import NamedTuple

import tokenizers
from tokenizers import AddedToken, decoders, normalizers
from tokenizers.models import BPE

from talewright.data import bundled
from talewright.errors import UserError
from talewright.tokenizer import Tokenizer
from talewright.tokenizer.fallback import SPACE, fallback_token

COMPARED = 20
"""Bundled stories by which two tokenizers are compared."""
ODD = "  two\n\n\tlines, it's 1,234 \u00e9\u4f60\U0001f600...\r\n' 's"
"""What stories seldom have, and tokenizers treat differently."""
LONGEST = 1000
"""Bytes of a piece: in one that is longer, the ways to cut it in two would fill the memory."""
BYTES = {fallback_token(byte): byte for byte in range(256)}
"""The pieces of single bytes."""


def padding(number: int) -> str:
    """The name of an id that is no token."""
    return f"[PAD{number}]"


class Pieces(NamedTuple):
    """A BPE of SentencePiece with single bytes for what has no letters (Kudo & Richardson 2018), as Llama's is: of all
    neighbours whose joint text is a piece, those with the highest score are joined first.
    """

    spelled: list[str]
    """Each id's piece, "\u2581" for a space and "<0x0A>" for a byte; the end of text under its own name."""
    scores: list[float]
    special: frozenset[int]
    """Ids that no text is cut into, the end of text among them."""


def cuts_as_gpt2(tokenizer: Tokenizer) -> bool:
    """Whether its vocabulary and merges are all that there is to it: not so of Llama's own, for one."""
    try:
        return Tokenizer.from_merges(tokenizer.merges()).fingerprint == tokenizer.fingerprint
    except UserError:
        return False


def same_tokens(one: Tokenizer, other: Tokenizer) -> bool:
    """Whether two tokenizers give the same ids, so that one way of writing them down will do."""
    if (one.vocab_size, one.eos_id) != (other.vocab_size, other.eos_id) or one.token_bytes != other.token_bytes:
        return False
    texts = [*bundled.stories(COMPARED), ODD]
    return one.encode_batch(texts) == other.encode_batch(texts)


def llama_pieces(tokenizer: Tokenizer) -> Pieces | None:
    """A tokenizer of Llama's kind by its pieces; None where it is of another kind, or pieces with scores would cut
    some text otherwise than its merges do.
    """
    bpe = tokenizer.merges()
    if not BYTES.keys() <= bpe.vocab.keys() or max(map(len, bpe.vocab)) > LONGEST:
        return None
    spelled = {number: token for token, number in bpe.vocab.items()}
    joined = [piece for piece, _ in groupby(left + right for left, right in bpe.merges)]
    scores = {piece: -float(rank) for rank, piece in enumerate(joined)}
    special = frozenset(n for n in range(tokenizer.vocab_size) if not tokenizer.token_bytes[n])
    listed = [spelled.get(number, padding(number)) for number in range(tokenizer.vocab_size)]
    pieces = Pieces(listed, [scores.get(piece, 0.0) for piece in listed], special)
    whole = tokenizer_of_pieces(pieces)
    if [*map("".join, whole.merges().merges)] != [*map("".join, bpe.merges)]:
        return None  # a piece that is joined early by one pair and late by another, or not by all that could be
    return pieces if same_tokens(whole, tokenizer) else None


def tokenizer_of_pieces(pieces: Pieces) -> Tokenizer:
    """The tokenizer that joins these pieces. Raises UserError where it would lose something of a text."""
    vocab = {piece: number for number, piece in enumerate(pieces.spelled)}
    backend = tokenizers.Tokenizer(BPE(vocab, list(_merges(pieces)), byte_fallback=True))
    backend.normalizer = normalizers.Sequence([normalizers.Prepend(SPACE), normalizers.Replace(" ", SPACE)])
    steps = [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    backend.decoder = decoders.Sequence(steps)
    names = [pieces.spelled[number] for number in sorted(pieces.special)]
    backend.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in names])
    return Tokenizer(backend.to_str())


def _merges(pieces: Pieces) -> Iterator[tuple[str, str]]:
    """All pairs of pieces that make a third, those of the highest score first."""
    parts = {p: n for n, p in enumerate(pieces.spelled) if n not in pieces.special and p not in BYTES}
    for piece in sorted(parts, key=lambda piece: -pieces.scores[parts[piece]]):
        cuts = [(piece[:i], piece[i:]) for i in range(1, len(piece))]
        pairs = [(left, right) for left, right in cuts if left in parts and right in parts]
        yield from sorted(pairs, key=lambda pair: (parts[pair[0]], parts[pair[1]]))
