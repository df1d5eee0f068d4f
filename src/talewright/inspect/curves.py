"""The training curves of a run, drawn from its log."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from talewright.errors import UserError
from talewright.inspect.figures.style import FAINT, GREY, ORANGE, SERIES, Panel, save_png
from talewright.run.history import History, read_history

SMOOTHED = "Smoothed: the mean over a fiftieth of the run around each step."
SCORED = "Scored on whole validation stories, each token once."
SCORES = {
    "perplexity": "perplexity",
    "bits_per_byte": "bits per byte",
    "token_accuracy": "share of tokens guessed right",
}
STEPS = {
    "learning_rate": "learning rate",
    "gradient_norm": "gradient norm before clipping",
    "tokens_per_second": "tokens a second",
}


def draw_curves(run: Path) -> Path:
    """Draw `plots/training_curves.png` of a run: loss, perplexity, bits per byte, accuracy, learning rate, gradient
    norm and speed, against steps and tokens.

    Raises UserError where the run has logged no step yet.
    """
    history = read_history(run)
    if not history.steps:
        raise UserError(f"{run / 'log.jsonl'} has no step yet; let the run train first")
    return save_curves([history], run / "plots" / "training_curves.png")


def save_curves(histories: Sequence[History], path: Path) -> Path:
    """The curves of one run, or of several in one picture, as a PNG file."""
    return save_png(curve_panels(histories), path, title=" and ".join(h.name for h in histories) + ": training curves")


def curve_panels(histories: Sequence[History]) -> list[Panel]:
    """The panels of one run, or of several beside each other. What a log does not hold is left out."""
    many = len(histories) > 1
    panels = [Panel(title=_loss_title(histories), draw=_loss_drawing(histories), how=f"{SMOOTHED} {SCORED}")]
    for key, label in SCORES.items():
        values = _real(histories[0].evaluations[key])
        if values:
            title = label.capitalize() if many else _score_title(key, values)
            panels.append(Panel(title=title, draw=_scores_drawing(histories, key, label), how=SCORED))
    for key, label in STEPS.items():
        values = _real(histories[0].training[key])
        if values:
            title = label.capitalize() if many else _step_title(key, values)
            how = "Logged at each optimiser step." + (f" {SMOOTHED}" if key != "learning_rate" else "")
            panels.append(Panel(title=title, draw=_steps_drawing(histories, key, label), how=how))
    return panels


# --- what was found ---------------------------------------------------------------------------------------------------


def _loss_title(histories: Sequence[History]) -> str:
    if len(histories) > 1:
        ends = {h.name: _real(h.evaluations["loss"])[-1:] or _real(h.training["loss"])[-1:] for h in histories}
        name, best = min(((name, end[0]) for name, end in ends.items() if end), key=lambda pair: pair[1])
        return f"{name} ends with the lower loss, {best:.2f}"
    history = histories[0]
    if not _real(history.training["loss"]):
        return "No loss is a number"
    first, scored = _real(history.training["loss"])[0], _real(history.evaluations["loss"])
    last = f"{scored[-1]:.2f} on validation" if scored else f"{smooth(_real(history.training['loss']))[-1]:.2f}"
    return f"The loss fell from {first:.2f} to {last} in {history.steps:,} steps"


def _score_title(key: str, values: list[float]) -> str:
    if key == "token_accuracy":
        return f"Its likeliest guess was right for {100 * values[-1]:.1f} % of the tokens"
    change = f"fell from {values[0]:.3g} to {values[-1]:.3g}" if values[-1] < values[0] else f"is {values[-1]:.3g}"
    if key == "perplexity":
        return f"Perplexity {change}: it hesitates as between so many tokens"
    return f"Bits per byte {change}: this compares across tokenizers"


def _step_title(key: str, values: list[float]) -> str:
    if key == "learning_rate":
        return f"The learning rate rose to {max(values):.1e} and ended at {values[-1]:.1e}"
    if key == "gradient_norm":
        return f"The gradient's norm settled at {smooth(values)[-1]:.2f}"
    return f"It read {sorted(values)[len(values) // 2]:,.0f} tokens a second (median)"


def _real(values: Sequence[float | None]) -> list[float]:
    return [value for value in values if value is not None]


# --- how it is drawn --------------------------------------------------------------------------------------------------


def _loss_drawing(histories: Sequence[History]) -> Callable[[Any], None]:
    def draw(axes: Any) -> None:
        shown: list[float] = []
        for history, (colour, dashes) in zip(histories, SERIES, strict=False):
            steps, losses = _points(history.training, "loss")
            name = f"{history.name}, " if len(histories) > 1 else ""
            if len(histories) == 1:
                axes.plot(*_thinned(steps, losses), color=GREY, alpha=0.45, linewidth=0.6, label="each training batch")
            smoothed = smooth(losses)
            axes.plot(*_thinned(steps, smoothed), color=colour, linestyle=dashes, label=f"{name}training, smoothed")
            scored = _points(history.evaluations, "loss")
            axes.plot(
                *scored, "o", color=ORANGE if len(histories) == 1 else colour, markersize=3.5, label=f"{name}validation"
            )
            shown += [*smoothed, *scored[1]]
        axes.set(ylabel="loss, nats per token", ylim=(0.95 * min(shown), 1.03 * max(shown)))
        axes.legend()
        _tokens_above(axes, histories)

    return draw


def _scores_drawing(histories: Sequence[History], key: str, label: str) -> Callable[[Any], None]:
    def draw(axes: Any) -> None:
        for history, (colour, dashes) in zip(histories, SERIES, strict=False):
            style = {"color": colour, "linestyle": dashes, "marker": "o", "markersize": 3.5, "label": history.name}
            axes.plot(*_points(history.evaluations, key), **style)
        if key == "perplexity":
            from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter

            axes.set_yscale("log")
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.yaxis.set_major_formatter(ScalarFormatter())
            axes.yaxis.set_minor_formatter(NullFormatter())
        axes.set_ylabel(label)
        _finish(axes, histories)

    return draw


def _steps_drawing(histories: Sequence[History], key: str, label: str) -> Callable[[Any], None]:
    def draw(axes: Any) -> None:
        for history, (colour, dashes) in zip(histories, SERIES, strict=False):
            steps, values = _points(history.training, key)
            if not values:
                continue
            if key != "learning_rate":
                if len(histories) == 1:
                    axes.plot(*_thinned(steps, values), color=GREY, alpha=0.45, linewidth=0.6)
                values = smooth(values)
            axes.plot(*_thinned(steps, values), color=colour, linestyle=dashes, label=history.name)
        axes.set_ylabel(label)
        axes.set_ylim(bottom=0)
        if key == "learning_rate":
            axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        _finish(axes, histories)

    return draw


def _finish(axes: Any, histories: Sequence[History]) -> None:
    if len(histories) > 1:
        axes.legend()
    _tokens_above(axes, histories)


def _tokens_above(axes: Any, histories: Sequence[History]) -> None:
    """Steps below; above, where one run is shown, how many tokens were read by then."""
    axes.set_xlabel("optimiser step")
    rates = {(h.tokens_at(h.steps) or 0) / h.steps for h in histories if h.steps} - {0.0}
    if len(rates) != 1:
        return
    rate = rates.pop()
    above = axes.secondary_xaxis("top", functions=(lambda step: step * rate, lambda tokens: tokens / rate))
    above.xaxis.set_major_formatter(lambda value, _: _short(value))
    above.xaxis.set_major_locator(_few_ticks())
    above.tick_params(labelsize=7.5, colors=FAINT)
    above.set_xlabel("tokens read", fontsize=7.5, color=FAINT)
    above.spines["top"].set_visible(False)


def _few_ticks() -> Any:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(5)


def _short(value: float) -> str:
    for size, letter in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"


def _points(columns: dict[str, list[Any]], key: str) -> tuple[list[int], list[float]]:
    pairs = [(s, v) for s, v in zip(columns["step"], columns[key], strict=True) if v is not None]
    return [s for s, _ in pairs], [v for _, v in pairs]


def _thinned(steps: list[int], values: list[float], most: int = 600) -> tuple[list[int], list[float]]:
    """At most so many of the points, the last among them: more than a picture's width cannot be seen."""
    stride = -(-len(steps) // most) or 1
    return steps[::-stride][::-1], values[::-stride][::-1]


def smooth(values: list[float]) -> list[float]:
    """The mean over a fiftieth of the values around each; nearer to the ends, of as many as there are on both sides."""
    import numpy as np

    sums, here = np.cumsum([0.0, *values]), np.arange(len(values))
    side = np.minimum(len(values) // 100, np.minimum(here, len(values) - 1 - here))
    return ((sums[here + side + 1] - sums[here - side]) / (2 * side + 1)).tolist()
