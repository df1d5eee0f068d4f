"""The facts of a model in short, and of two models side by side."""

from __future__ import annotations

from dataclasses import dataclass

from talewright.inspect.inspection import InspectedModel
from talewright.model.cost import count_parameters


@dataclass(frozen=True, kw_only=True)
class Fact:
    """A figure of a model. Of those that have a `digits`, less is better."""

    label: str
    text: str
    value: float | None = None
    digits: int | None = None
    """Decimals of a difference between two models; None if neither is better."""


@dataclass(frozen=True, kw_only=True)
class ComparedFact:
    """A figure of two models."""

    label: str
    first: str
    second: str
    change: str
    """The second less the first, with its sign; empty where that says nothing."""
    better: int | None
    """Which is better, 1 or 2; None if neither is."""


def facts(inspected: InspectedModel) -> list[Fact]:
    """What a reader wants to know of the model first."""
    history, found = inspected.history, []
    if inspected.model is not None:
        config = inspected.model.config
        counts = count_parameters(config)
        size = f"{counts.total:,}" + (f" ({counts.bigrams:,} of bigrams)" if counts.bigrams else "")
        shape = f"{config.n_layers} layers × {config.n_heads} heads, width {config.d_model}"
        found += [Fact(label="parameters", text=size, value=counts.total), Fact(label="shape", text=shape)]
    if inspected.step is not None:
        of = f" of {history.steps:,}" if history.steps > inspected.step else ""
        found.append(Fact(label="step", text=f"{inspected.step:,}{of}", value=inspected.step))
    if history.steps and (tokens := history.training["tokens"][-1]):
        found.append(Fact(label="training tokens", text=f"{tokens:,}", value=tokens))
    for key, label, digits in (
        ("loss", "validation loss", 3),
        ("perplexity", "perplexity", 2),
        ("bits_per_byte", "bits per byte", 3),
    ):
        scores = dict(zip(history.evaluations["step"], history.evaluations[key], strict=True))
        step = inspected.step if inspected.step in scores else max(scores, default=None)
        if step is not None and (value := scores[step]) is not None:
            at = "" if step == inspected.step else f" (at step {step:,})"
            found.append(Fact(label=label, text=f"{value:.{digits}f}{at}", value=value, digits=digits))
    return found


def compared(first: InspectedModel, second: InspectedModel) -> list[ComparedFact]:
    """The facts of two models, side by side. Only bits per byte compare models of different tokenizers."""
    others = {fact.label: fact for fact in facts(second)}
    same = first.tokenizer.fingerprint == second.tokenizer.fingerprint
    rows = []
    for fact in facts(first):
        other = others.get(fact.label)
        if other is None or (fact.digits and not same and fact.label != "bits per byte"):
            continue
        change, better = "", None
        if fact.value is not None and other.value is not None and fact.value != other.value:
            apart = other.value - fact.value
            change = f"{apart:+,.{fact.digits or 0}f}".replace("-", "−")
            better = (2 if apart < 0 else 1) if fact.digits else None
        rows.append(ComparedFact(label=fact.label, first=fact.text, second=other.text, change=change, better=better))
    return rows
