"""The training curves of a run, drawn from its log."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from talewright import look
from talewright.errors import UserError
from talewright.inspect.figures.charts import Line, line_chart
from talewright.inspect.figures.style import FAINT, GREY, ORANGE, SERIES, Panel, save_png
from talewright.inspect.figures.texts import legend_label
from talewright.run.history import EVALUATION, History, clearly_above, read_history

SMOOTHED = "Smoothed: the mean over 2 % of the run around each step."
EVALUATED = "Measured on whole validation stories, each token once."
CURVES = {
    "perplexity": "perplexity",
    "bits_per_byte": "bits per byte",
    "token_accuracy": "token accuracy",
    "learning_rate": "learning rate",
    "gradient_norm": "gradient norm before clipping",
    "tokens_per_second": "tokens per second",
}
"""The curves beside the loss, and their labels."""
LOSS_TITLES = {
    "step": "optimizer step",
    "loss": "loss, nats per token",
    "perplexity": "perplexity",
    "bits_per_byte": "bits per byte",
}
NOISY = ("gradient_norm", "tokens_per_second")
MAX_POINTS = 600
"""Points of a line: more do not show at a panel's width."""


def draw_curves(run: Path) -> Path:
    """Draw `plots/training_curves.png` of a run: loss, perplexity, bits per byte, accuracy, learning rate, gradient
    norm and speed, against steps and tokens.

    Raises UserError if the run has logged no step yet.
    """
    history = read_history(run)
    if not history.steps:
        raise UserError(f"{run / 'log.jsonl'} has no step yet; let the run train first")
    return save_curves([history], run / "plots" / "training_curves.png")


def save_curves(histories: Sequence[History], path: Path) -> Path:
    """Save the curves of one run, or of several in one figure, as a PNG file."""
    return save_png(curve_panels(histories), path, title=" and ".join(h.name for h in histories) + ": training curves")


def curve_panels(histories: Sequence[History]) -> list[Panel]:
    """The panels of one run, or of several beside each other. Curves that the first log lacks are left out."""
    how, chart = f"{SMOOTHED} {EVALUATED}", _loss_chart(histories)
    panels = [Panel(title=_loss_title(histories), draw=_loss_curves(histories), how=how, chart=chart)]
    for key, label in CURVES.items():
        values = _numbers(_columns(histories[0], key)[key])
        if values:
            title = label.capitalize() if len(histories) > 1 else _title(key, values)
            how = EVALUATED if key in EVALUATION else "Logged at each optimizer step."
            how += f" {SMOOTHED}" if key in NOISY else ""
            panels.append(Panel(title=title, draw=_curves(histories, key, label), how=how))
    return panels


def smooth(values: Sequence[float]) -> list[float]:
    """The mean over 2 % of the values around each; near the ends, over as many as there are on both sides."""
    sums, here = np.cumsum([0.0, *values]), np.arange(len(values))
    side = np.minimum(len(values) // 100, np.minimum(here, len(values) - 1 - here))
    return ((sums[here + side + 1] - sums[here - side]) / (2 * side + 1)).tolist()


# --- titles -----------------------------------------------------------------------------------------------------------


def _loss_title(histories: Sequence[History]) -> str:
    if len(histories) > 1:
        ends = {h.name: _numbers(h.evaluations["loss"])[-1:] or _numbers(h.training["loss"])[-1:] for h in histories}
        if not any(ends.values()):
            return "No loss is a number"
        name, best = min(((name, end[0]) for name, end in ends.items() if end), key=lambda pair: pair[1])
        return f"{name} ends with the lower loss, {best:.2f}"
    losses, (steps, evaluated) = _numbers(histories[0].training["loss"]), _points(histories[0].evaluations, "loss")
    if not losses:
        return "No loss is a number"
    if evaluated and clearly_above(evaluated[-1], min(evaluated)):
        best = evaluated.index(min(evaluated))
        return (
            f"Overfitted: the validation loss was lowest, {evaluated[best]:.2f}, at step {steps[best]:,}, and rose to "
            f"{evaluated[-1]:.2f} by step {steps[-1]:,}"
        )
    last = f"{evaluated[-1]:.2f} on validation" if evaluated else f"{smooth(losses)[-1]:.2f}"
    return f"The loss fell from {losses[0]:.2f} to {last} in {histories[0].steps:,} steps"


def _title(key: str, values: list[float]) -> str:
    lowest, last = min(values), values[-1]
    if key in ("perplexity", "bits_per_byte") and clearly_above(last, lowest):
        change = f"was lowest at {lowest:.3g} and rose to {last:.3g}"
    else:
        change = f"fell from {values[0]:.3g} to {last:.3g}" if last < values[0] else f"is {last:.3g}"
    titles = {
        "perplexity": f"Perplexity {change}: the model is as unsure as between that many tokens",
        "bits_per_byte": f"Bits per byte {change}: comparable across tokenizers",
        "token_accuracy": f"The top prediction was right for {100 * values[-1]:.1f} % of the tokens",
        "learning_rate": f"The learning rate rose to {max(values):.1e} and ended at {values[-1]:.1e}",
        "gradient_norm": f"The gradient norm settled at {smooth(values)[-1]:.2f}",
        "tokens_per_second": f"Training read {sorted(values)[len(values) // 2]:,.0f} tokens per second (median)",
    }
    return titles[key]


def _numbers(values: Sequence[float | None]) -> list[float]:
    return [value for value in values if value is not None]


# --- drawing ----------------------------------------------------------------------------------------------------------


def _loss_curves(histories: Sequence[History]) -> Callable[[Any], None]:
    def draw(axes: Any) -> None:
        single, drawn = len(histories) == 1, []
        for history, (color, dashes) in zip(histories, SERIES, strict=False):
            steps, losses = _points(history.training, "loss")
            name = "" if single else legend_label(f"{history.name}, ")
            if single:
                _raw_line(axes, steps, losses, label="each training batch")
            smoothed = smooth(losses)
            axes.plot(*_thinned(steps, smoothed), color=color, linestyle=dashes, label=f"{name}training, smoothed")
            evaluated = _points(history.evaluations, "loss")
            point_color = ORANGE if single else color
            axes.plot(*evaluated, "o", color=point_color, markersize=3.5, label=f"{name}validation")
            drawn += [*smoothed, *evaluated[1]]
        axes.set(ylabel="loss, nats per token")
        if drawn:
            axes.set(ylim=(0.95 * min(drawn), 1.03 * max(drawn)))
        axes.legend()
        _step_axis(axes, histories)

    return draw


def _loss_chart(histories: Sequence[History]) -> dict[str, Any]:
    """What `_loss_curves` draws, for a page."""
    lines: list[Line] = []
    for number, history in enumerate(histories):
        color, name = look.SERIES[number], "" if len(histories) == 1 else f"{history.name}, "
        steps, losses = _points(history.training, "loss")
        if len(histories) == 1:
            lines.append(Line(name="each batch", points=_rows(steps, losses), color="grey", faint=True))
        smoothed = _rows(steps, smooth(losses))
        lines.append(Line(name=f"{name}training, smoothed", points=smoothed, color=color))
        names = ("step", "loss", "perplexity", "bits_per_byte")
        rows = zip(*(history.evaluations[name] for name in names), strict=True)
        evaluated = [dict(zip(names, row, strict=True)) for row in rows if row[1] is not None]
        color, dashes = ("orange", (1, 0)) if len(histories) == 1 else (color, (6, 4))
        lines.append(Line(name=f"{name}validation", points=evaluated, color=color, dashes=dashes, marked=True))
    return line_chart([line for line in lines if line.points], "loss", LOSS_TITLES)


def _rows(steps: list[int], values: list[float]) -> list[dict[str, float | None]]:
    return [{"step": step, "loss": value} for step, value in zip(*_thinned(steps, values), strict=True)]


def _curves(histories: Sequence[History], key: str, label: str) -> Callable[[Any], None]:
    def draw(axes: Any) -> None:
        for history, (color, dashes) in zip(histories, SERIES, strict=False):
            steps, values = _points(_columns(history, key), key)
            if key in NOISY:
                if len(histories) == 1:
                    _raw_line(axes, steps, values)
                values = smooth(values)
            marker = {"marker": "o", "markersize": 3.5} if key in EVALUATION else {}
            shown = legend_label(history.name)
            axes.plot(*_thinned(steps, values), color=color, linestyle=dashes, label=shown, **marker)
        if key not in EVALUATION:
            axes.set_ylim(bottom=0)
            axes.yaxis.set_major_formatter("{x:g}")
        elif key == "perplexity":
            _log_axis(axes)
        axes.set_ylabel(label)
        if len(histories) > 1:
            axes.legend()
        _step_axis(axes, histories)

    return draw


def _raw_line(axes: Any, steps: list[int], values: list[float], **options: Any) -> None:
    """The unsmoothed values, faint."""
    axes.plot(*_thinned(steps, values), color=GREY, alpha=0.45, linewidth=0.6, **options)


def _log_axis(axes: Any) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter

    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())


def _step_axis(axes: Any, histories: Sequence[History]) -> None:
    """Steps below; tokens above, if all runs train on equally many per step."""
    from matplotlib.ticker import EngFormatter, MaxNLocator

    axes.set_xlabel("optimizer step")
    rates = {(h.tokens_at(h.steps) or 0) / h.steps for h in histories if h.steps} - {0.0}
    if len(rates) != 1:
        return
    rate = rates.pop()
    above = axes.secondary_xaxis("top", functions=(lambda step: step * rate, lambda tokens: tokens / rate))
    above.xaxis.set_major_formatter(EngFormatter(sep=""))
    above.xaxis.set_major_locator(MaxNLocator(5))
    above.tick_params(labelsize=7.5, colors=FAINT)
    above.set_xlabel("training tokens", fontsize=7.5, color=FAINT)
    above.spines["top"].set_visible(False)


def _columns(history: History, key: str) -> dict[str, list[Any]]:
    return history.evaluations if key in EVALUATION else history.training


def _points(columns: dict[str, list[Any]], key: str) -> tuple[list[int], list[float]]:
    pairs = [(s, v) for s, v in zip(columns["step"], columns[key], strict=True) if v is not None]
    return [s for s, _ in pairs], [v for _, v in pairs]


def _thinned(steps: list[int], values: list[float]) -> tuple[list[int], list[float]]:
    """At most MAX_POINTS of the points, with the last one."""
    stride = -(-len(steps) // MAX_POINTS) or 1
    return steps[::-stride][::-1], values[::-stride][::-1]
