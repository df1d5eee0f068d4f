"""Figures of predictions: the logit lens, a story's losses, the loss by position, calibration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from talewright.inspect.figures.specifications import ZOOM, axis, bars, categories, lines, rounded, tooltip
from talewright.inspect.figures.style import BLUE, FAINT, ORANGE, SERIES, Panel, label_apart
from talewright.inspect.figures.texts import legend_label
from talewright.inspect.predictions import Calibration, PredictionStats, calibration, loss_by_position

TICKS = [1, 3, 10, 30, 100, 300, 1000, 3000, 10000]
"""Of a logarithmic axis of positions."""
NAMED = 6
"""Number of a story's tokens that are labeled: those with the highest loss."""


def lens_panel(losses: np.ndarray, tokens: int) -> Panel:
    """Mean loss (L + 1,) of the prediction after each layer."""
    drops = losses[:-1] - losses[1:]
    best = int(np.argmax(drops))

    names = ["embedding", *(str(layer) for layer in range(len(losses) - 1))]

    def draw(axes: Any) -> None:
        layers = range(len(losses))
        axes.bar(layers, losses, width=0.6, color=BLUE)  # no line: layers are not time
        ticks = layers[:: -(-len(losses) // 10)]
        axes.set_xticks(ticks, [f"{layer - 1}" if layer else "embedding" for layer in ticks])
        axes.set(xlabel="after this layer", ylabel="loss, nats per token")
        axes.set_ylim(bottom=0, top=1.2 * float(losses.max()))
        label_apart(axes, [f"{loss:.2f}" for loss in losses], list(enumerate(losses.tolist())), rise=5)

    rows = [{"layer": name, "loss": rounded(loss)} for name, loss in zip(names, losses, strict=True)]
    chart = bars(
        rows,
        categories("layer", "after this layer", axis={"labelAngle": 0, "labelOverlap": True}),
        axis("loss", "loss, nats per token"),
        tooltip(layer="after layer", loss="loss, nats per token"),
        labels=".2f" if len(losses) < 14 else "",
    )
    return Panel(
        title=f"Layer {best} improves the prediction most: the loss after it is {drops[best]:.1f} lower",
        draw=draw,
        how="The logit lens: the residual stream after each layer through the last norm and the output layer, as if it "
        f"were the last layer. Mean over {tokens:,} tokens of stories.",
        chart=chart,
    )


def losses_panel(losses: np.ndarray, tokens: Sequence[str]) -> Panel:
    """The loss of each token (T,) of one story."""
    labeled = [int(position) for position in np.argsort(-losses, kind="stable")[:NAMED]]

    def draw(axes: Any) -> None:
        axes.bar(range(len(losses)), losses, width=0.9, color=BLUE)
        mean = float(losses.mean())
        axes.axhline(mean, color=ORANGE, linewidth=1, linestyle="--", label=f"mean, {mean:.2f}")
        axes.set(xlabel="token of the story", ylabel="loss, nats", ylim=(0, 1.2 * float(losses.max()) + 0.1))
        axes.legend(loc="lower right", bbox_to_anchor=(1, 1))
        places = [(float(position), float(losses[position])) for position in labeled]
        label_apart(axes, [tokens[position].strip() for position in labeled], places, rise=2)

    words = [token.strip() or "␣" for token in tokens]
    rows = [
        {"at": i, "token": word, "loss": rounded(loss)}
        for i, (word, loss) in enumerate(zip(words, losses, strict=True))
    ]
    chart = bars(
        rows,
        categories("at", "token of the story", axis={"labelOverlap": True, "labelAngle": 0}),
        axis("loss", "loss, nats"),
        tooltip(token="token", loss="loss, nats"),
    )
    return Panel(
        title=f"A mean loss of {losses.mean():.2f}; it is highest at “{tokens[int(losses.argmax())].strip()}”",
        draw=draw,
        how=f"-log of the probability of each of {len(losses):,} tokens, given the tokens before it.",
        chart=chart,
    )


def position_panel(models: Mapping[str, PredictionStats]) -> Panel:
    """Loss by position in the context, of one model or several."""
    first = next(iter(models.values()))
    starts, means, _ = loss_by_position(first)
    easiest = int(np.argmin(means))
    title = f"The loss falls with the tokens read before, to {means[-1]:.2f} from token {starts[-1]} on"
    if means[-1] > means[easiest] + 0.1:
        title = f"The loss is lowest after {starts[easiest]} tokens, {means[easiest]:.2f}, and {means[-1]:.2f} later on"
    elif len(means) == 1 or means[-1] > means[0] - 0.1:
        title = f"The loss is about {means[-1]:.2f} nats at every position"

    def draw(axes: Any) -> None:
        for (name, stats), (color, dashes) in zip(models.items(), SERIES, strict=False):
            (begins, losses, _), label = loss_by_position(stats), legend_label(name)
            axes.plot(begins + 1, losses, color=color, linestyle=dashes, marker="o", markersize=3.5, label=label)
        axes.set(xscale="log", xlabel="tokens read before (plus one), logarithmic", ylabel="loss, nats per token")
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.set_ylim(bottom=0)
        if len(models) > 1:
            axes.legend()

    rows = [
        {"name": name, "read": int(begin) + 1, "loss": rounded(loss)}
        for name, stats in models.items()
        for begin, loss in zip(*loss_by_position(stats)[:2], strict=True)
    ]
    read = axis(
        "read",
        "tokens read before (plus one), logarithmic",
        scale={"type": "log", "nice": False},
        axis={"grid": False, "values": TICKS},
    )
    return Panel(
        title=title,
        draw=draw,
        chart=lines(rows, list(models), read, axis("loss", "loss, nats per token")),
        how=f"Mean loss of {len(first.losses):,} tokens of {len(np.unique(first.story)):,} stories by the number of "
        "tokens of the story read before, in bins that widen.",
    )


def calibration_panel(stats: PredictionStats) -> Panel:
    """Accuracy by confidence."""
    bins = calibration(stats)
    excess = float(stats.confidence.mean() - stats.correct.mean())
    verdict = "overconfident" if excess > 0.01 else "underconfident" if excess < -0.01 else "well calibrated on average"

    def draw(axes: Any) -> None:
        shares = bins.counts / bins.counts.sum()
        axes.plot([0, 1], [0, 1], color=FAINT, linewidth=0.9, linestyle="--", label="perfect calibration")
        axes.plot(bins.confidence, bins.accuracy, "o-", color=BLUE, markersize=4, label="this model")
        axes.bar(bins.confidence, shares, width=0.05, color=ORANGE, alpha=0.5, label="share of tokens")
        axes.set(xlabel="probability of the top token", ylabel="share of correct predictions", xlim=(0, 1), ylim=(0, 1))
        axes.legend(loc="upper left")

    return Panel(
        title=f"The model is {verdict}: off by {100 * bins.error:.1f} points on average",
        draw=draw,
        how="Blue: predictions in ten bins by the probability of the top token. Orange: the share of the tokens in "
        "each bin. The expected calibration error is the mean distance from the dashed line.",
        chart=_calibration_chart(bins),
    )


def _calibration_chart(bins: Calibration) -> dict[str, Any]:
    """The accuracy of each bin beside its confidence, and the share of tokens in it."""
    shares = bins.counts / bins.counts.sum()
    rows = [
        {"confidence": rounded(confidence, 3), "correct": rounded(correct, 3), "share": rounded(share, 3)}
        for confidence, correct, share in zip(bins.confidence, bins.accuracy, shares, strict=True)
    ]
    x = axis("confidence", "probability of the top token", scale={"domain": [0, 1]})
    y = {"title": "share of correct predictions", "scale": {"domain": [0, 1]}}
    tips = tooltip(confidence="probability", correct="correct", share="share of the tokens")
    equal = [{"confidence": 0, "correct": 0}, {"confidence": 1, "correct": 1}]
    line = {"type": "line", "strokeDash": [5, 4], "strokeWidth": 1, "color": "@faint"}
    return {
        "data": {"values": rows},
        "encoding": {"x": x, "y": axis("correct", **y)},
        "layer": [
            {
                "mark": {"type": "bar", "size": 16, "opacity": 0.45, "color": "@orange"},
                "encoding": {"y": axis("share", **y)},
            },
            {"mark": line, "data": {"values": equal}},
            {"mark": {"type": "line", "color": "@blue"}, "params": [ZOOM]},
            {
                "mark": {"type": "point", "filled": True, "size": 60, "color": "@blue", "opacity": 1},
                "encoding": {"tooltip": tips},
            },
        ],
    }
