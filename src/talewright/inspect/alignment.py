"""The losses of two models on one text, aligned where their tokenizers split it differently."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate

from talewright.inspect.predictions import TokenPredictions
from talewright.tokenizer import Tokenizer


@dataclass(frozen=True, kw_only=True)
class AlignedSpan:
    """A piece of text that starts and ends at a token boundary of both models."""

    text: str
    first: float
    """Its loss in the first model, in nats."""
    second: float
    """Its loss in the second model, in nats."""


def align_losses(
    first: TokenPredictions, first_tokenizer: Tokenizer, second: TokenPredictions, second_tokenizer: Tokenizer
) -> list[AlignedSpan]:
    """The text that both models read, in the shortest spans that have a loss in both."""
    text, losses = _cumulative(first, first_tokenizer)
    text2, losses2 = _cumulative(second, second_tokenizer)
    text = max(text, text2, key=len)
    spans, start = [], 0
    for end in sorted(losses.keys() & losses2.keys()):
        inside_character = end < len(text) and text[end] & 0xC0 == 0x80
        if end == 0 or inside_character:
            continue
        first_loss, second_loss = losses[end] - losses[start], losses2[end] - losses2[start]
        spans.append(AlignedSpan(text=text[start:end].decode("utf-8", "replace"), first=first_loss, second=second_loss))
        start = end
    return spans


def largest_differences(spans: list[AlignedSpan], number: int = 12) -> tuple[list[AlignedSpan], list[AlignedSpan]]:
    """The spans that the second model predicts better, and those that it predicts worse, largest difference first."""
    ordered = sorted(spans, key=lambda span: span.second - span.first)
    better = [span for span in ordered[:number] if span.second < span.first]
    return better, [span for span in ordered[::-1][:number] if span.second > span.first]


def _cumulative(predictions: TokenPredictions, tokenizer: Tokenizer) -> tuple[bytes, dict[int, float]]:
    """The predicted text, and the loss up to each token boundary, by its byte offset. End-of-text tokens are left out:
    they have no bytes.
    """
    pieces = [tokenizer.token_bytes[int(token)] for token in predictions.targets]
    kept = [(piece, float(loss)) for piece, loss in zip(pieces, predictions.losses, strict=True) if piece]
    ends = accumulate((len(piece) for piece, _ in kept), initial=0)
    sums = accumulate((loss for _, loss in kept), initial=0.0)
    return b"".join(piece for piece, _ in kept), dict(zip(ends, sums, strict=True))
