"""Figures of predictions: the logit lens, a story's losses, the loss by position, calibration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from talewright.inspect.figures.style import BLUE, FAINT, ORANGE, SERIES, Panel, label_apart
from talewright.inspect.figures.texts import legend_label
from talewright.inspect.predictions import PredictionStats, calibration, loss_by_position

NAMED = 6
"""Number of a story's tokens that are labeled: those with the highest loss."""


def lens_panel(losses: np.ndarray, tokens: int) -> Panel:
    """Mean loss (L + 1,) of the prediction after each layer."""
    drops = losses[:-1] - losses[1:]
    best = int(np.argmax(drops))

    def draw(axes: Any) -> None:
        layers = range(len(losses))
        axes.plot(layers, losses, "o-", color=BLUE)
        ticks = layers[:: -(-len(losses) // 10)]
        axes.set_xticks(ticks, [f"{layer - 1}" if layer else "embedding" for layer in ticks])
        axes.set(xlabel="after this layer", ylabel="loss, nats per token")
        axes.set_ylim(bottom=0, top=1.2 * float(losses.max()))
        label_apart(axes, [f"{loss:.2f}" for loss in losses], list(enumerate(losses.tolist())), rise=5)

    return Panel(
        title=f"Layer {best} improves the prediction most: the loss after it is {drops[best]:.1f} lower",
        draw=draw,
        how="The logit lens: the residual stream after each layer through the last norm and the output layer, as if it "
        f"were the last layer. Mean over {tokens:,} tokens of stories.",
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

    return Panel(
        title=f"A mean loss of {losses.mean():.2f}; it is highest at “{tokens[int(losses.argmax())].strip()}”",
        draw=draw,
        how=f"-log of the probability of each of {len(losses):,} tokens, given the tokens before it.",
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

    return Panel(
        title=title,
        draw=draw,
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
        axes.plot([0, 1], [0, 1], color=FAINT, linewidth=0.9, linestyle=":", label="perfect calibration")
        axes.plot(bins.confidence, bins.accuracy, "o-", color=BLUE, markersize=4, label="this model")
        axes.bar(bins.confidence, shares, width=0.05, color=ORANGE, alpha=0.5, label="share of tokens")
        axes.set(xlabel="probability of the top token", ylabel="share of correct predictions", xlim=(0, 1), ylim=(0, 1))
        axes.legend(loc="upper left")

    return Panel(
        title=f"The model is {verdict}: off by {100 * bins.error:.1f} points on average",
        draw=draw,
        how="Predictions in ten bins by the probability of the top token; the expected calibration error is the mean "
        "distance from the dotted line.",
    )
