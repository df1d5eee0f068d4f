"""What a report opens with: a story that the model wrote, and a verdict that is computed from the run's own data."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from talewright.data import Split
from talewright.errors import UserError
from talewright.evaluate.baselines.kneser_ney import KneserNey, train_ngram_models
from talewright.generate.engine import Engine
from talewright.generate.sampling import Sampling
from talewright.inspect.curves import smooth
from talewright.inspect.headlines import series
from talewright.inspect.predictions import PredictionStats
from talewright.model.gpt import GPT
from talewright.run.history import History, clearly_above, far_below
from talewright.tokenizer import Tokenizer

NGRAM = {"5-gram": 5}
COUNTED = 4_000_000
"""Training tokens that the n-gram model counts, at most: a few seconds."""


@dataclass(frozen=True, kw_only=True)
class WrittenStory:
    """A story that the model wrote, and how."""

    prompt: str
    continuation: str
    sampling: Sampling | None = None
    """How it was generated; None for a sample from training."""
    step: int | None = None
    """The step of a sample from training."""


@dataclass(frozen=True, kw_only=True)
class NgramComparison:
    """The model and an n-gram model of its training stories, on the same tokens."""

    model: float
    """Bits per byte."""
    ngram: float
    """Bits per byte."""
    counted: int
    """Training tokens of which the n-gram model was made."""
    whole: bool
    """Whether these are all training tokens."""
    tokens: int
    """Tokens scored."""


def write_story(model: GPT, tokenizer: Tokenizer) -> WrittenStory | None:
    """A story from the model without a prompt, as `talewright generate` writes it by default; None if it cannot."""
    sampling = Sampling()
    try:
        sample = Engine(model, tokenizer, notify=lambda message: None).generate([""], sampling)[0]
    except UserError:  # the tokenizer has more ids than the model
        return None
    text = sample.continuation.strip()
    return WrittenStory(prompt="", continuation=text, sampling=sampling) if text else None


def last_sample(history: History) -> WrittenStory | None:
    """The newest sample of the training, None if it has none."""
    for sample in reversed(history.samples):
        prompt, text, step = (sample.get(name) for name in ("prompt", "text", "step"))
        if isinstance(prompt, str) and isinstance(text, str) and isinstance(step, int) and text.startswith(prompt):
            return WrittenStory(prompt=prompt, continuation=text[len(prompt) :], step=step)
    return None


def compare_with_ngrams(
    stats: PredictionStats,
    sequences: Sequence[np.ndarray],
    train: Split,
    tokenizer: Tokenizer,
    known: tuple[Mapping[str, KneserNey], int] | None = None,
) -> NgramComparison | None:
    """Bits per byte of the model and of a 5-gram with modified Kneser-Ney smoothing, on the tokens of `stats`.

    sequences: those of `stats`, each after its separator. The bytes are those of the tokens that are scored, the end of
    text has none. known: what `train_ngram_models` would return, where it has. None if they have no byte.
    """
    models, counted = known or train_ngram_models(train, tokenizer, COUNTED, NGRAM)
    nats, size = 0.0, 0
    for sequence in sequences:
        targets = sequence[1:]
        ended = targets[-1:] == tokenizer.eos_id
        story = targets[:-1] if ended else targets
        nats += float(models["5-gram"].score([story]).losses[: len(targets)].sum(dtype=np.float64))
        size += sum(len(tokenizer.token_bytes[token]) for token in story)
    if not size:
        return None
    bits = 1 / (math.log(2) * size)
    return NgramComparison(
        model=float(stats.losses.sum()) * bits,
        ngram=nats * bits,
        counted=counted,
        whole=counted >= train.n_tokens,
        tokens=len(stats.losses),
    )


def verdict(history: History, step: int | None, ngrams: NgramComparison | None) -> str:
    """One sentence on the model at that step; empty if nothing is known."""
    parts = [*([_beside_ngrams(ngrams)] if ngrams else []), *_overfitting(history, step)]
    sentence = "; ".join(parts)
    return sentence[:1].upper() + sentence[1:] + "." if sentence else ""


def _beside_ngrams(found: NgramComparison) -> str:
    of = "its training stories" if found.whole else f"{found.counted / 1e6:.1f}M of its training tokens"
    apart = found.ngram - found.model
    figures = f"{found.model:.2f} against {found.ngram:.2f}"
    if abs(apart) < 0.005:
        return f"as good as a 5-gram of {of} in bits per byte ({figures})"
    change = "beats" if apart > 0 else "is worse than"
    return f"{change} a 5-gram of {of} by {abs(apart):.2f} bits per byte ({figures})"


def _overfitting(history: History, step: int | None) -> list[str]:
    """What the losses say of it, once there is an evaluation after the start."""
    steps, losses = series(history, "validation_loss")
    if not losses or steps[-1] == 0:
        return []
    best, last = min(range(len(losses)), key=losses.__getitem__), losses[-1]
    if steps[best] and clearly_above(last, losses[best]):
        rise = (
            f"validation loss rose from {losses[best]:.2f} at step {steps[best]:,} to {last:.2f} at step {steps[-1]:,}"
        )
        before = step is not None and step <= steps[best]
        return [f"the run overfitted after this checkpoint: {rise}" if before else f"overfitted: {rise}"]
    training = smooth(series(history, "loss")[1])[-1:]
    if not training:
        return []
    figures = f"training loss {training[0]:.2f}, validation loss {last:.2f}"
    if far_below(training[0], last):
        return [f"overfitted ({figures})"]
    return [f"not overfitted{'' if history.finished else ' so far'} ({figures})"]
