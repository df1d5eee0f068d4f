"""Two models beside each other on one text, also where their tokenizers cut it differently."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from talewright.inspect.predictions import Reading
from talewright.tokenizer import Tokenizer


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """A piece of text that begins and ends with a token of both models."""

    text: str
    before: float
    """What the first model pays for it, in nats."""
    after: float
    """What the second one pays."""


def compare_readings(first: Reading, one: Tokenizer, second: Reading, other: Tokenizer) -> list[Stretch]:
    """The text that both read, in the shortest stretches that both can be charged for."""
    spans, spans2 = _costs(first, one), _costs(second, other)
    spelled = b"".join(text for text, _ in spans)
    spelled2 = b"".join(text for text, _ in spans2)
    ends, ends2 = _ends(spans), _ends(spans2)
    paid, paid2 = dict(zip(ends, _sums(spans), strict=True)), dict(zip(ends2, _sums(spans2), strict=True))
    whole = spelled if len(spelled) >= len(spelled2) else spelled2
    found, start = [], 0
    common = paid.keys() & paid2.keys()
    for end in sorted(
        end for end in common if end == len(whole) or whole[end] & 0xC0 != 0x80
    ):  # not inside a character
        before = paid[end] - (paid[start] if start else 0)
        after = paid2[end] - (paid2[start] if start else 0)
        found.append(Stretch(text=whole[start:end].decode("utf-8", "replace"), before=before, after=after))
        start = end
    return found


def _costs(reading: Reading, tokenizer: Tokenizer) -> list[tuple[bytes, float]]:
    """Bytes and loss of each token of the story; ends of text have no bytes and are left out."""
    spelled = [tokenizer.token_bytes[int(token)] for token in reading.tokens[1:]]
    return [(text, float(loss)) for text, loss in zip(spelled, reading.losses, strict=True) if text]


def _ends(spans: Sequence[tuple[bytes, float]]) -> list[int]:
    return np.cumsum([len(text) for text, _ in spans]).tolist()


def _sums(spans: Sequence[tuple[bytes, float]]) -> list[float]:
    return np.cumsum([loss for _, loss in spans]).tolist()
