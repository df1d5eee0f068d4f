"""What a training reached: the best model beside the untrained one and an n-gram model, all on the same stories.

The model's own scores are those that training logged, so only the n-gram model is scored here.
"""

from __future__ import annotations

from dataclasses import dataclass
from textwrap import fill

from talewright.evaluate.baselines.kneser_ney import ORDERS, train_ngram_models
from talewright.evaluate.likelihood import summarize
from talewright.run import RunFolder
from talewright.run.evaluated import evaluated_stories
from talewright.run.history import clearly_above

NGRAM, MAX_TOKENS = "5-gram", 1_000_000
"""The n-gram model, and the training tokens that it counts: they take some seconds."""
MANY_EPOCHS = 3.0
"""After this many passes over a text that is too short, further ones mostly memorize (docs/LOG.md)."""


@dataclass(frozen=True, kw_only=True)
class TrainingSummary:
    """Losses, in nats per token, and bits per byte on the validation stories that training evaluated on."""

    scores: dict[str, tuple[float, float]]
    """Loss and bits per byte of `untrained` (unless the log lacks it), `5-gram` and `trained`."""
    best_step: int
    """The step of `trained`."""
    steps: int
    """Optimizer steps made."""
    last_loss: float
    """At the last evaluation."""
    evaluated: str
    """The validation stories, as in "43 of 5,000 validation stories, evenly spread"."""
    counted: int
    """Training tokens that the n-gram model counted."""
    counted_share: float
    """Their share of all training tokens, 0 to 1."""
    epochs: float
    """Passes over the training stories."""

    @property
    def overfitted(self) -> bool:
        return clearly_above(self.last_loss, self.scores["trained"][0])

    @property
    def undertrained(self) -> bool:
        """Whether it is worse than the n-gram model, and longer training would help."""
        improving = self.last_loss <= self.scores["trained"][0]
        return self.gain <= 0 and improving and self.epochs < MANY_EPOCHS

    @property
    def gain(self) -> float:
        """Bits per byte by which the trained model is better than the n-gram model."""
        return self.scores[NGRAM][1] - self.scores["trained"][1]

    def __str__(self) -> str:
        table = [f"{'':12}{'loss':>8}{'bits per byte':>15}"]
        table += [f"{name:12}{loss:8.3f}{bits:15.3f}" for name, (loss, bits) in self.scores.items()]
        table[-1] += f"   best: step {self.best_step:,} of {self.steps:,}"
        some = "" if self.counted_share > 0.999 else f", {self.counted_share:.0%} of all"
        measured = f"On {self.evaluated}; the {NGRAM} model counted {self.counted:,} training tokens{some}."
        return "\n".join([*table, "", *(fill(text, 79) for text in (measured, *self.conclusions()))])

    def conclusions(self) -> list[str]:
        """What the figures mean, in sentences."""
        untrained, margin = self.scores.get("untrained"), f"{abs(self.gain):.2f} bits per byte"
        if untrained is not None and self.scores["trained"][1] >= untrained[1]:
            found = ["The model learned nothing: try a lower --train.learning-rate."]
        elif self.gain > 0:
            found = [f"The model is better than a {NGRAM} model by {margin}."]
        else:
            why = "it needs more training" if self.undertrained else "it needs more text to learn from"
            found = [f"The model is worse than a {NGRAM} model by {margin}: {why}."]
        if self.overfitted:
            found.append(
                f"It overfitted after step {self.best_step:,}: the validation loss rose to {self.last_loss:.3f}. "
                "The best checkpoint is kept and used."
            )
        return found


def summarize_training(run: RunFolder) -> TrainingSummary | None:
    """The summary of a run that was trained; None if it has no finite validation loss.

    Raises UserError if its stories are unavailable.
    """
    logged = run.history().evaluations
    rows = zip(logged["step"], logged["loss"], logged["bits_per_byte"], strict=True)
    scores = {step: (loss, bits) for step, loss, bits in rows if None not in (loss, bits)}
    trained = {step: score for step, score in scores.items() if step}
    if not trained:
        return None
    best = min(trained, key=lambda step: trained[step][0])
    corpus = run.corpus()
    evaluated, train = evaluated_stories(run, corpus), corpus.split("train")
    models, counted = train_ngram_models(train, corpus.tokenizer, MAX_TOKENS, {NGRAM: ORDERS[NGRAM]})
    ngram = summarize(models[NGRAM].score(evaluated.tokens), evaluated.sizes)
    return TrainingSummary(
        scores={
            **({"untrained": scores[0]} if 0 in scores else {}),
            NGRAM: (ngram.loss, ngram.bits_per_byte),
            "trained": trained[best],
        },
        best_step=best,
        steps=run.history().steps,
        last_loss=trained[max(trained)][0],
        evaluated=str(evaluated),
        counted=counted,
        counted_share=counted / train.n_tokens,
        epochs=(run.history().tokens_at(run.history().steps) or 0) / train.n_tokens,
    )
