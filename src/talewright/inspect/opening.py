"""What a report opens with: a story that the model wrote, and a verdict that is computed from the run's own data."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from talewright.data import Split
from talewright.errors import UserError
from talewright.evaluate.baselines.kneser_ney import train_ngram_models
from talewright.generate.engine import Engine
from talewright.generate.sampling import Sampling
from talewright.inspect.predictions import PredictionStats
from talewright.model.gpt import GPT
from talewright.run.history import History, clearly_above
from talewright.tokenizer import Tokenizer

NGRAM = {"5-gram": 5}
COUNTED = 2_000_000
"""Training tokens that the n-gram model counts, at most: a few seconds."""
MEMORIZED = 0.2
"""Share of the validation loss by which the training loss is lower in a run that counts as overfitted."""
RECENT = 0.02
"""Share of the training steps, the last ones, whose mean loss is the training loss now."""


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
    stats: PredictionStats, sequences: Sequence[np.ndarray], train: Split, tokenizer: Tokenizer
) -> NgramComparison | None:
    """Bits per byte of the model and of a 5-gram with modified Kneser-Ney smoothing, on the tokens of `stats`.

    sequences: those of `stats`, each after its separator. The bytes are those of the tokens that are scored, the end of
    text has none. None if they have no byte.
    """
    models, counted = train_ngram_models(train, tokenizer, COUNTED, NGRAM)
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


def verdict(history: History, step: int | None, ngrams: NgramComparison | None, distilled: bool) -> str:
    """One sentence on the model at that step; empty if nothing is known.

    distilled: whether a teacher's part is in the training loss, which then does not compare with the validation loss.
    """
    parts = [*([_beside_ngrams(ngrams)] if ngrams else []), *_overfitting(history, step, distilled)]
    sentence = "; ".join(parts)
    return sentence[:1].upper() + sentence[1:] + "." if sentence else ""


def _beside_ngrams(found: NgramComparison) -> str:
    of = "its training stories" if found.whole else f"the first {found.counted / 1e6:.1f}M of its training tokens"
    apart = found.ngram - found.model
    figures = f"{found.model:.2f} against {found.ngram:.2f}"
    if abs(apart) < 0.005:
        return f"as good as a 5-gram of {of} in bits per byte ({figures})"
    change = "beats" if apart > 0 else "is worse than"
    return f"{change} a 5-gram of {of} by {abs(apart):.2f} bits per byte ({figures})"


def _overfitting(history: History, step: int | None, distilled: bool) -> list[str]:
    """What the losses say of it, once there are two evaluations."""
    columns = zip(history.evaluations["step"], history.evaluations["loss"], strict=True)
    evaluated = [(at, loss) for at, loss in columns if loss is not None]
    if len(evaluated) < 2:
        return []
    best_step, best = min(evaluated, key=lambda pair: pair[1])
    last_step, last = evaluated[-1]
    if clearly_above(last, best):
        rise = f"the validation loss rose from {best:.2f} at step {best_step:,} to {last:.2f} at step {last_step:,}"
        before = step is not None and step <= best_step
        return [
            f"the run overfitted later ({rise}), this checkpoint is from before" if before else f"overfitted: {rise}"
        ]
    losses = [loss for loss in history.training["loss"] if loss is not None]
    recent = losses[-max(1, round(RECENT * len(losses))) :]
    if distilled or not recent:
        return ["not overfitted: the validation loss has not risen"]
    training = sum(recent) / len(recent)
    if training < (1 - MEMORIZED) * last:
        return [f"overfitted: the training loss, {training:.2f}, is far below the validation loss, {last:.2f}"]
    return [f"not overfitted (training loss {training:.2f}, validation loss {last:.2f})"]
