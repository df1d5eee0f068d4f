"""The training curves of a run, drawn from its log."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from talewright import look
from talewright.errors import UserError
from talewright.inspect.figures.style import FAINT, GREY, ORANGE, SERIES, Panel, save_png
from talewright.inspect.figures.texts import legend_label
from talewright.inspect.headlines import HEADLINES, Series, comparison_headline, loss_headline, series
from talewright.run.history import History, read_history
from talewright.run.included import results_path, run_path

SMOOTHED = "Smoothed: the mean over 2 % of the run around each step."
EVALUATED = "Measured on whole validation stories, each token once."
CURVES = {
    "token_accuracy": "token accuracy, %",
    "learning_rate": "learning rate",
    "gradient_norm": "gradient norm before clipping",
    "tokens_per_second": "tokens per second",
}
"""The curves beside the loss, and their labels."""
LOSS_TITLES = look.LOSS_TITLES | {"perplexity": "perplexity", "bits_per_byte": "bits per byte"}
NOISY = ("gradient_norm", "tokens_per_second")
MAX_POINTS = 600
"""Points of a line: more do not show at a panel's width."""


def draw_curves(run: Path) -> Path:
    """Draw `plots/training_curves.png` of a run: loss, accuracy, learning rate, gradient norm and speed, against steps
    and tokens.

    Raises UserError if the run has logged no step yet.
    """
    run = run_path(run)
    history = read_history(run)
    if not history.steps:
        raise UserError(f"{run / 'log.jsonl'} has no step yet; let the run train first")
    return save_curves([history], results_path(run) / "plots" / "training_curves.png")


def save_curves(histories: Sequence[History], path: Path) -> Path:
    """Save the curves of one run, or of several in one figure, as a PNG file."""
    return save_png(curve_panels(histories), path, title=" and ".join(h.name for h in histories) + ": training curves")


def curve_panels(histories: Sequence[History]) -> list[Panel]:
    """The panels of one run, or of several beside each other: the loss, then every other metric that has a curve.

    Perplexity and bits per byte are the loss in another unit, so that they are on its panel.
    """
    panels = [_loss_panel(histories)]
    for key, label in CURVES.items():
        if any(len(series(history, key)[0]) > 1 for history in histories):
            title = HEADLINES[key](histories[0]) if len(histories) == 1 else label[0].upper() + label[1:]
            how = EVALUATED if key == "token_accuracy" else "Logged at each optimizer step."
            how += f" {SMOOTHED}" if key in NOISY else ""
            chart = _chart(histories, key, label)
            panels.append(Panel(title=title, draw=_curves(histories, key, label), how=how, chart=chart))
    return panels


def smooth(values: Sequence[float]) -> list[float]:
    """The mean over 2 % of the values around each. Near the start, where a loss falls steeply, over as many as there
    are on both sides; near the end, over those that there are.
    """
    sums, here = np.cumsum([0.0, *values]), np.arange(len(values))
    before = np.minimum(len(values) // 100, here)
    end = np.minimum(here + before + 1, len(values))
    return ((sums[end] - sums[here - before]) / (end - here + before)).tolist()


# --- the loss ---------------------------------------------------------------------------------------------------------


def _loss_panel(histories: Sequence[History]) -> Panel:
    single = len(histories) == 1
    recent = smooth(series(histories[0], "loss")[1])[-1:] or [None]
    return Panel(
        title=loss_headline(histories[0], recent[0]) if single else comparison_headline(histories),
        draw=_loss_curves(histories),
        how=f"Training: {SMOOTHED[0].lower()}{SMOOTHED[1:]} Validation: {EVALUATED[0].lower()}{EVALUATED[1:]} "
        "Perplexity is exp of the loss"
        + ("." if _bits_per_nat(histories) is None else "; bits per byte is proportional to it."),
        height=3.6,
        wide=True,
        chart=_loss_chart(histories),
    )


def _bits_per_nat(histories: Sequence[History]) -> float | None:
    """Bits per byte of the validation stories for each nat per token; None unless it is known and the same in all."""
    ratios: list[float] = []
    for history in histories:
        pairs = zip(history.evaluations["loss"], history.evaluations["bits_per_byte"], strict=True)
        ratios += [bits / loss for loss, bits in pairs if loss and bits]
    return ratios[-1] if ratios and max(ratios) < 1.001 * min(ratios) else None


def _loss_curves(histories: Sequence[History]) -> Callable[[Any], None]:
    def draw(axes: Any) -> None:
        single, drawn = len(histories) == 1, []
        for history, (color, dashes) in zip(histories, SERIES, strict=False):
            steps, losses = series(history, "loss")
            name = "" if single else legend_label(f"{history.name}, ")
            if single:
                _raw_line(axes, steps, losses, label="each training batch")
            smoothed = smooth(losses)
            axes.plot(*_thinned(steps, smoothed), color=color, linestyle=dashes, label=f"{name}training, smoothed")
            evaluated = series(history, "validation_loss")
            look_of_points = {"color": ORANGE if single else color, "marker": "o", "markersize": 4, "linewidth": 1}
            axes.plot(*evaluated, linestyle=":", label=f"{name}validation", **look_of_points)
            drawn += [*smoothed, *evaluated[1]]
        axes.set(ylabel=LOSS_TITLES["loss"])
        if drawn:
            axes.set(ylim=(0.95 * min(drawn), 1.03 * max(drawn)))
        axes.legend()
        _step_axis(axes)
        _token_axis(axes, histories)
        _bits_axis(axes, _bits_per_nat(histories))

    return draw


def _loss_chart(histories: Sequence[History]) -> dict[str, Any] | None:
    """What `_loss_curves` draws, for a page."""
    lines: list[look.Line] = []
    for number, history in enumerate(histories[: len(look.SERIES)]):
        color, name = look.SERIES[number], "" if len(histories) == 1 else f"{history.name}, "
        steps, losses = series(history, "loss")
        if len(histories) == 1:
            lines.append(look.Line(name="each training batch", points=_losses(steps, losses), color="grey", faint=True))
        lines.append(look.Line(name=f"{name}training, smoothed", points=_losses(steps, smooth(losses)), color=color))
        names: tuple[str, ...] = ("step", "loss", "perplexity", "bits_per_byte")
        rows = zip(*(history.evaluations[name] for name in names), strict=True)
        evaluated: list[Mapping[str, float | None]] = [
            dict(zip(names, row, strict=True)) for row in rows if row[1] is not None
        ]
        color, dashes = ("orange", (1, 0)) if len(histories) == 1 else (color, (6, 4))
        lines.append(look.Line(name=f"{name}validation", points=evaluated, color=color, dashes=dashes, marked=True))
    return _chart_of(lines, "loss", LOSS_TITLES)


def _losses(steps: list[int], values: list[float]) -> list[dict[str, float | None]]:
    steps, values = _thinned(steps, values)
    perplexities = np.exp(np.minimum(values, 700)).tolist()  # what a float holds
    return [
        {"step": step, "loss": loss, "perplexity": perplexity}
        for step, loss, perplexity in zip(steps, values, perplexities, strict=True)
    ]


# --- the other curves -------------------------------------------------------------------------------------------------


def _values(history: History, key: str) -> Series:
    """The values as they are drawn: accuracy in percent."""
    steps, values = series(history, key)
    return steps, [100 * value for value in values] if key == "token_accuracy" else values


def _curves(histories: Sequence[History], key: str, label: str) -> Callable[[Any], None]:
    def draw(axes: Any) -> None:
        for history, (color, dashes) in zip(histories, SERIES, strict=False):
            steps, values = _values(history, key)
            if key in NOISY:
                if len(histories) == 1:
                    _raw_line(axes, steps, values, label="each step")
                values = smooth(values)
            marker = {"marker": "o", "markersize": 4} if key == "token_accuracy" else {}
            shown = legend_label(history.name) if len(histories) > 1 else "smoothed"
            axes.plot(*_thinned(steps, values), color=color, linestyle=dashes, label=shown, **marker)
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_formatter("{x:,g}")
        axes.set_ylabel(label)
        if len(histories) > 1 or key in NOISY:
            axes.legend()
        _step_axis(axes)

    return draw


def _chart(histories: Sequence[History], key: str, label: str) -> dict[str, Any] | None:
    """What `_curves` draws, for a page."""
    lines: list[look.Line] = []
    for number, history in enumerate(histories[: len(look.SERIES)]):
        steps, values = _values(history, key)
        if key in NOISY and len(histories) == 1:
            lines.append(look.Line(name="each step", points=_points(key, steps, values), color="grey", faint=True))
        name = history.name if len(histories) > 1 else "smoothed" if key in NOISY else label
        points = _points(key, steps, smooth(values) if key in NOISY else values)
        lines.append(look.Line(name=name, points=points, color=look.SERIES[number], marked=key == "token_accuracy"))
    return _chart_of(lines, key, {"step": "optimizer step", key: label})


def _points(key: str, steps: list[int], values: list[float]) -> list[dict[str, float | None]]:
    return [{"step": step, key: value} for step, value in zip(*_thinned(steps, values), strict=True)]


def _chart_of(lines: Sequence[look.Line], key: str, titles: dict[str, str]) -> dict[str, Any] | None:
    drawn = [line for line in lines if line.points]
    return look.line_chart(drawn, key, titles) if any(not line.faint for line in drawn) else None


def _raw_line(axes: Any, steps: list[int], values: list[float], **options: Any) -> None:
    """The unsmoothed values, faint."""
    axes.plot(*_thinned(steps, values), color=GREY, alpha=0.6, linewidth=0.9, **options)


def _thinned(steps: list[int], values: list[float]) -> Series:
    """At most MAX_POINTS of the points, with the last one."""
    stride = -(-len(steps) // MAX_POINTS) or 1
    return steps[::-stride][::-1], values[::-stride][::-1]


# --- axes -------------------------------------------------------------------------------------------------------------


def _step_axis(axes: Any) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_xlabel(LOSS_TITLES["step"])
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.xaxis.set_major_formatter("{x:,.0f}")


def _token_axis(axes: Any, histories: Sequence[History]) -> None:
    """Tokens above, if all runs train on equally many per step."""
    from matplotlib.ticker import EngFormatter, MaxNLocator

    rates = {(h.tokens_at(h.steps) or 0) / h.steps for h in histories if h.steps} - {0.0}
    if len(rates) != 1:
        return
    rate = rates.pop()
    above = axes.secondary_xaxis("top", functions=(lambda step: step * rate, lambda tokens: tokens / rate))
    above.xaxis.set_major_formatter(EngFormatter(sep=""))
    above.xaxis.set_major_locator(MaxNLocator(5))
    above.tick_params(colors=FAINT)
    above.set_xlabel("training tokens", color=FAINT)
    above.spines["top"].set_visible(False)


def _bits_axis(axes: Any, bits_per_nat: float | None) -> None:
    """Bits per byte at the right, which holds for the validation stories."""
    if bits_per_nat is None:
        return
    right = axes.secondary_yaxis(
        "right", functions=(lambda loss: loss * bits_per_nat, lambda bits: bits / bits_per_nat)
    )
    right.tick_params(colors=FAINT)
    right.set_ylabel("validation, bits per byte", color=FAINT)
    right.spines["right"].set_visible(False)
