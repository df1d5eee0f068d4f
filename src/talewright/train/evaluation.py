"""The evaluation of a model by several processes: each scores a part of the stories, and all hold the whole score."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from talewright.train.distributed import DistributedContext
from talewright.train.metrics import Score


@dataclass(frozen=True)
class WholeScore:
    """The score of stories that were scored in parts."""

    loss: float
    perplexity: float
    bits_per_byte: float
    token_accuracy: float


def score_in_parts(
    evaluate: Callable[[list[np.ndarray], np.ndarray], Score],
    stories: list[np.ndarray],
    sizes: np.ndarray,
    distributed: DistributedContext,
) -> Score:
    """Score stories, given as token ids, and their sizes in UTF-8 bytes: a part in each process. All return the same.

    Raises UserError in every process if `evaluate` does in one.
    """
    rank, count = distributed.fabric.global_rank, distributed.fabric.world_size
    if count == 1:
        return evaluate(stories, sizes)
    part, part_sizes = stories[rank::count], sizes[rank::count]

    def sums() -> list[float]:
        if not part and len(stories) > 0:
            return [0.0] * 4
        score = evaluate(part, part_sizes)
        tokens, size = sum(len(story) + 1 for story in part), int(part_sizes.sum())  # an end of text for each
        return [score.loss * tokens, score.token_accuracy * tokens, tokens, score.bits_per_byte * size]

    return _whole(distributed.collect(sums), int(sizes.sum()))


def _whole(parts: Sequence[Sequence[float]], size: int) -> WholeScore:
    nats, correct, tokens, bits = (math.fsum(values) for values in zip(*parts, strict=True))
    loss = nats / tokens
    perplexity = math.exp(loss) if not loss > 700 else math.inf  # a float overflows near exp(709)
    return WholeScore(loss, perplexity, bits / size, correct / tokens)
