"""Predictions drawn: the lens by layer, the loss by position, calibration, and two models beside each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from talewright.inspect.figures.style import BLUE, FAINT, ORANGE, SERIES, Panel
from talewright.inspect.predictions import Survey, by_position, calibration

NAMED = 6
"""Tokens of a story that are named, being the least expected."""


def lens_panel(losses: np.ndarray, tokens: int) -> Panel:
    """Mean loss (L + 1,) of what each layer would tell."""
    drops = losses[:-1] - losses[1:]
    best = int(np.argmax(drops))

    def draw(axes: Any) -> None:
        layers = range(len(losses))
        axes.plot(layers, losses, "o-", color=BLUE)
        for layer, loss in zip(layers, losses, strict=True):
            axes.annotate(f"{loss:.2f}", (layer, loss), (0, 5), textcoords="offset points", ha="center", fontsize=7.5)
        names = ["embedding", *(f"layer {layer}" for layer in range(len(losses) - 1))]
        few = len(names) > 8
        axes.set_xticks(layers, [name.removeprefix("layer ") for name in names] if few else names, fontsize=8)
        axes.set(xlabel="after this layer" if few else "", ylabel="loss, nats per token")
        axes.set_ylim(bottom=0, top=1.12 * float(losses.max()))

    return Panel(
        title=f"Layer {best} settles most: the loss of what would be told falls by {drops[best]:.1f} there",
        draw=draw,
        how="The logit lens: the stream after each layer through the last norm and the output layer, as if it were the "
        f"last. Mean over {tokens:,} tokens of stories.",
    )


def losses_panel(losses: np.ndarray, words: Sequence[str]) -> Panel:
    """The loss of each token (T,) of one story, the dearest of them named."""
    dearest = sorted(int(place) for place in np.argsort(-losses, kind="stable")[:NAMED])
    worst = int(losses.argmax())

    def draw(axes: Any) -> None:
        axes.bar(range(len(losses)), losses, width=0.9, color=BLUE)
        axes.axhline(float(losses.mean()), color=ORANGE, linewidth=1, linestyle="--")
        axes.annotate(
            "mean",
            (len(losses) - 1, float(losses.mean())),
            (0, 3),
            textcoords="offset points",
            ha="right",
            color=ORANGE,
        )
        for place in dearest:
            word = words[place].strip().replace("$", r"\$")
            axes.annotate(word, (place, losses[place]), (0, 2), textcoords="offset points", ha="center", fontsize=7.5)
        axes.set(xlabel="token of the story", ylabel="loss, nats", ylim=(0, 1.15 * float(losses.max()) + 0.1))

    return Panel(
        title=f"A mean loss of {losses.mean():.2f}; what surprised most was “{words[worst].strip()}”",
        draw=draw,
        how=f"-log of the probability that each of {len(losses):,} tokens had, read by the model once more.",
    )


def position_panel(surveys: Mapping[str, Survey]) -> Panel:
    """Loss by position in the context, of one model or of several."""
    first = next(iter(surveys.values()))
    starts, means, _ = by_position(first)
    title = f"The more it has read, the better it expects: a loss of {means[-1]:.2f} from token {starts[-1]} on"
    easiest = int(np.argmin(means))
    if means[-1] > means[easiest] + 0.1:
        least = f"a loss of {means[easiest]:.2f} after {starts[easiest]} tokens"
        title = f"Beginnings are easiest: {least}, then {means[-1]:.2f}"
    elif len(means) == 1 or means[-1] > means[0] - 0.1:
        title = f"The loss is about {means[-1]:.2f} nats wherever a token stands"

    def draw(axes: Any) -> None:
        for (name, found), (colour, dashes) in zip(surveys.items(), SERIES, strict=False):
            begins, losses, _ = by_position(found)
            axes.plot(begins + 1, losses, color=colour, linestyle=dashes, marker="o", markersize=3.5, label=name)
        axes.set(xscale="log", xlabel="tokens read before (plus one), logarithmic", ylabel="loss, nats per token")
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.set_ylim(bottom=0)
        if len(surveys) > 1:
            axes.legend()

    return Panel(
        title=title,
        draw=draw,
        how=f"Mean loss of {len(first.losses):,} tokens of {len(np.unique(first.story)):,} stories, by how many tokens "
        "of the story were read before, in bins that widen.",
    )


def calibration_panel(found: Survey) -> Panel:
    """How often it is right, by how sure it is."""
    bins = calibration(found)
    over = float(found.confidence.mean() - found.hits.mean())
    word = (
        "surer than it should be"
        if over > 0.01
        else "less sure than it could be"
        if over < -0.01
        else "about as sure as it should be"
    )

    def draw(axes: Any) -> None:
        axes.plot([0, 1], [0, 1], color=FAINT, linewidth=0.9, linestyle=":", label="as sure as right")
        axes.plot(bins.confidence, bins.accuracy, "o-", color=BLUE, markersize=4, label="this model")
        axes.bar(
            bins.confidence,
            bins.counts / bins.counts.sum(),
            width=0.05,
            color=ORANGE,
            alpha=0.5,
            label="share of tokens",
        )
        axes.set(
            xlabel="probability of its likeliest token", ylabel="how often that token came", xlim=(0, 1), ylim=(0, 1)
        )
        axes.legend(loc="upper left")

    return Panel(
        title=f"It is {word}: off by {100 * bins.error:.1f} points on average",
        draw=draw,
        how="Predictions shared into ten bins by the probability of the likeliest token; the expected calibration "
        "error is the mean distance from the dotted line.",
    )


def ranks_of_improvement(pieces: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    """The stretches that became cheapest and dearest, the strongest first."""
    ordered = sorted(pieces, key=lambda piece: piece.after - piece.before)
    return [p for p in ordered[:12] if p.after < p.before], [p for p in ordered[::-1][:12] if p.after > p.before]
