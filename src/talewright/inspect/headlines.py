"""The findings that head the training curves, each computed from the series that it names."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from talewright.run.history import History, clearly_above, far_below

Series = tuple[list[int], list[float]]
"""Steps, and the values there."""


def series(history: History, key: str) -> Series:
    """A metric's finite values: of the evaluations for `validation_loss`, `bits_per_byte` and `token_accuracy`, of the
    optimizer steps otherwise.
    """
    columns = history.evaluations if key in ("validation_loss", "bits_per_byte", "token_accuracy") else history.training
    values = columns["loss" if key == "validation_loss" else key]
    pairs = [(step, value) for step, value in zip(columns["step"], values, strict=True) if value is not None]
    return [step for step, _ in pairs], [value for _, value in pairs]


def loss_headline(history: History, recent: float | None) -> str:
    """What became of the loss. recent: the training loss now, smoothed; None if none is a number."""
    steps, losses = series(history, "validation_loss")
    if recent is None and not losses:
        return "No loss is a number"
    if not losses or steps == [0]:
        before = f"; validation loss before training: {losses[0]:.2f}" if losses else "; no evaluation yet"
        return f"Training loss: {recent or losses[0]:.2f} at step {history.steps:,}{_so_far(history)}{before}"
    best, last = min(range(len(losses)), key=losses.__getitem__), len(losses) - 1
    overfitted = "Overfitted" if history.finished else "Overfitting"
    if clearly_above(losses[last], losses[best]) and steps[best]:
        return (
            f"{overfitted}: validation loss was lowest, {losses[best]:.2f}, at step {steps[best]:,}, and rose to "
            f"{losses[last]:.2f} by step {steps[last]:,}"
        )
    if recent is not None and far_below(recent, losses[last]):
        return f"{overfitted}: training loss, {recent:.2f}, is far below validation loss, {losses[last]:.2f}"
    if len(losses) == 1:
        return f"Validation loss: {losses[0]:.2f} at step {steps[0]:,}{_so_far(history)}"
    change = "fell" if losses[last] < losses[0] else "has not fallen:"
    first = "before training" if steps[0] == 0 else f"at step {steps[0]:,}"
    end = f"{losses[last]:.2f} at step {steps[last]:,}{_so_far(history)}"
    return f"Validation loss {change} from {losses[0]:.2f} ({first}) to {end}"


def accuracy_headline(history: History) -> str:
    steps, values = series(history, "token_accuracy")
    return (
        f"The top prediction is right for {100 * values[-1]:.1f} % of the validation tokens at step {steps[-1]:,}"
        f"{_so_far(history)}"
    )


def learning_rate_headline(history: History) -> str:
    steps, values = series(history, "learning_rate")
    peak = max(values)
    if history.finished:
        return f"Learning rate: peak {peak:.1e}, {values[-1]:.1e} at the end"
    return f"Learning rate: {values[-1]:.1e} at step {steps[-1]:,}, at most {peak:.1e} so far"


def gradient_headline(history: History) -> str:
    values = series(history, "gradient_norm")[1]
    return f"Gradient norm before clipping: median {median(values):.2f}, largest {max(values):.2f}{_so_far(history)}"


def speed_headline(history: History) -> str:
    values = series(history, "tokens_per_second")[1]
    return f"Speed: {median(values):,.0f} tokens per second (median{_so_far(history)})"


HEADLINES = {
    "token_accuracy": accuracy_headline,
    "learning_rate": learning_rate_headline,
    "gradient_norm": gradient_headline,
    "tokens_per_second": speed_headline,
}
"""By metric, what heads its curve."""


def comparison_headline(histories: Sequence[History]) -> str:
    """Which of several runs is best on validation, in bits per byte: losses of different tokenizers differ in unit."""
    for key, unit in (("bits_per_byte", "bits per byte"), ("validation_loss", "nats per token")):
        lowest = {history.name: min(series(history, key)[1], default=None) for history in histories}
        known = {name: value for name, value in lowest.items() if value is not None}
        if len(known) == len(histories):
            name = min(known, key=known.__getitem__)
            others = " and ".join(f"{value:.3f}" for other, value in known.items() if other != name)
            return f"{name} reaches the lowest validation loss: {known[name]:.3f} {unit} against {others}"
    return "Not all of the runs were evaluated"


def _so_far(history: History) -> str:
    return "" if history.finished else " so far"
