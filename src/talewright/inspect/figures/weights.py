"""Weights drawn: histograms, spectra, norms by layer, movement, and the map of words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from talewright.inspect.embeddings import WordMap
from talewright.inspect.figures.style import BLUE, GREY, INK, ORANGE, SERIES, Panel, save_png
from talewright.inspect.weights import Matrix

MARKERS = "osD^vPX*"
Movement = dict[int, dict[str, float]]
"""By step, then by matrix, the share of its first length that it has moved."""


def save_weights(matrices: Sequence[Matrix], panels: Sequence[Panel], folder: Path) -> list[Path]:
    """Draw `histograms_layer{L}.png` for each layer, `histograms_outside.png`, and `spectral_norms.png`."""
    paths = []
    for layer in sorted({m.layer for m in matrices if m.layer is not None}):
        found = [histogram_panel(m) for m in matrices if m.layer == layer]
        paths.append(save_png(found, folder / f"histograms_layer{layer}.png", 3, f"Layer {layer}: its weights"))
    outside = [histogram_panel(m) for m in matrices if m.layer is None]
    paths.append(save_png(outside, folder / "histograms_outside.png", min(2, len(outside)), "Outside of the layers"))
    return [*paths, save_png(panels, folder / "spectral_norms.png", title="Norms, ranks and spectra")]


def histogram_panel(matrix: Matrix) -> Panel:
    """How the values of one matrix lie."""

    def draw(axes: Any) -> None:
        axes.stairs(matrix.counts + 0.5, matrix.edges, fill=True, color=BLUE, alpha=0.8)
        axes.set(yscale="log", xlabel="weight", ylabel="how many")
        axes.set_ylim(bottom=0.7)

    title = f"{matrix.name}: std {matrix.std:.3f}, spectral norm {matrix.spectral_norm:.2f}"
    return Panel(title=title, draw=draw, how="Weights in 61 equal bins; the count's axis is logarithmic.", height=2.3)


def spread_panel(matrices: Sequence[Matrix]) -> Panel:
    """How wide the weights of each kind of matrix lie, by layer."""
    widest = max((m for m in matrices if m.layer is not None), key=lambda m: m.std)
    title = f"The widest weights are those of {the(widest)}: standard deviation {widest.std:.3f}"
    how = "Standard deviation of all values of the matrix. The files under plots/weight_distributions hold histograms."
    return Panel(title=title, draw=_by_layer(matrices, "std", "standard deviation"), how=how)


def norms_panel(matrices: Sequence[Matrix]) -> Panel:
    inside = [m for m in matrices if m.layer is not None]
    strongest = max(inside, key=lambda m: m.spectral_norm)
    return Panel(
        title=f"{the(strongest).capitalize()} stretch most: up to {strongest.spectral_norm:.1f} times",
        draw=_by_layer(matrices, "spectral_norm", "spectral norm"),
        how="The largest singular value: how much longer the matrix can make a vector.",
    )


def ranks_panel(matrices: Sequence[Matrix]) -> Panel:
    inside = [m for m in matrices if m.layer is not None]
    fewest = min(inside, key=lambda m: m.effective_rank / min(m.shape))
    return Panel(
        title=f"{the(fewest).capitalize()} use fewest directions: {fewest.effective_rank:.0f} of {min(fewest.shape)}",
        draw=_by_layer(matrices, "effective_rank", "effective rank"),
        how="exp of the entropy of the singular values, as shares of their sum (Roy & Vetterli 2007).",
    )


def beside_panel(one: Sequence[Matrix], other: Sequence[Matrix], names: tuple[str, str], figure: str) -> Panel:
    """A figure of each matrix that two models both have: the first model's against the second's."""
    theirs = {matrix.name: matrix for matrix in other}
    both = [(matrix, theirs[matrix.name]) for matrix in one if matrix.name in theirs]
    label = figure.replace("_", " ")
    most = max(both, key=lambda pair: abs(np.log(getattr(pair[1], figure) / getattr(pair[0], figure))))
    values = f"{getattr(most[0], figure):.1f} and {getattr(most[1], figure):.1f}"

    def draw(axes: Any) -> None:
        for i, kind in enumerate(dict.fromkeys(matrix.kind for matrix, _ in both)):
            points = [(getattr(a, figure), getattr(b, figure)) for a, b in both if a.kind == kind]
            colour, marker = SERIES[i % len(SERIES)][0], MARKERS[i % len(MARKERS)]
            axes.plot(*zip(*points, strict=True), marker, color=colour, markersize=5, label=kind)
        ends = [pick(getattr(m, figure) for pair in both for m in pair) for pick in (min, max)]
        axes.plot(ends, ends, color=GREY, linewidth=0.8)
        axes.set(xscale="log", yscale="log", xlabel=f"{label}, {names[0]}", ylabel=names[1])
        axes.legend(fontsize=7.5, ncols=2)

    return Panel(
        title=f"{the(most[0]).capitalize()} differ most in {label}: {values}",
        draw=draw,
        how=f"Each point is a matrix that both have; on the grey line it is the same. {len(both)} matrices.",
    )


def spectra_panel(matrices: Sequence[Matrix]) -> Panel:
    """Singular values of the last layer's matrices and of the embedding."""
    last = max(m.layer for m in matrices if m.layer is not None)
    shown = [m for m in matrices if m.layer == last or m.kind in ("embedding", "head")]
    steepest = max(shown, key=lambda m: m.spectral_norm / max(float(np.median(m.singular_values)), 1e-9))
    times = steepest.spectral_norm / max(float(np.median(steepest.singular_values)), 1e-9)

    def draw(axes: Any) -> None:
        for matrix, (colour, dashes) in zip(shown, SERIES * 2, strict=False):
            share = np.linspace(0, 100, len(matrix.singular_values))
            axes.plot(share, matrix.singular_values, color=colour, linestyle=dashes, linewidth=1.3, label=matrix.name)
        axes.set(yscale="log", xlabel="singular value, from the largest (0 %) to the smallest", ylabel="its size")
        axes.legend(fontsize=7.5, ncols=2)

    return Panel(
        title=f"{the(steepest).capitalize()} lean most on few directions: the first is {times:.0f} times the median",
        draw=draw,
        how="Singular values of the last layer's matrices and the embedding, in order.",
        height=3.4,
    )


def movement_panel(movement: Movement) -> Panel:
    """How far each kind of matrix moved from its first values, over the checkpoints that there are."""
    last = max(movement)
    name, share = max(movement[last].items(), key=lambda pair: pair[1])
    steps = sorted({0, *movement})

    def draw(axes: Any) -> None:
        kinds = sorted({_kind(name) for name in movement[last]})
        for i, kind in enumerate(kinds):
            colour, dashes = SERIES[i % len(SERIES)]
            means = [np.mean([v for n, v in movement[s].items() if _kind(n) == kind]) if s else 0.0 for s in steps]
            axes.plot(steps, means, color=colour, linestyle=dashes, marker=MARKERS[i % 8], markersize=4, label=kind)
        axes.set(xlabel="optimiser step of the checkpoint", ylabel="distance moved / first length")
        axes.set_ylim(bottom=0)
        axes.legend(fontsize=7.5, ncols=2)

    return Panel(
        title=f"By step {last:,}, {_subject(name)} have moved most: {share:.1f} times their first length",
        draw=draw,
        how="Frobenius norm of the change since before training, over the norm before, averaged over layers; "
        "the first weights are made again from the recipe's seed.",
    )


def words_panel(found: WordMap) -> Panel:
    """The map of the most frequent words."""

    def draw(axes: Any) -> None:
        names = np.array([word[:1].isupper() for word in found.words])
        for chosen, marker, colour, label in ((~names, "o", BLUE, "words"), (names, "^", ORANGE, "with a capital")):
            if chosen.any():
                axes.plot(*found.points[chosen].T, marker, color=colour, markersize=3, linestyle="", label=label)
        for word, point in zip(found.words, found.points, strict=True):
            axes.annotate(word, point, (2, 2), textcoords="offset points", fontsize=7.5, color=INK)
        axes.set(xticks=[], yticks=[], xlabel="first principal direction", ylabel="second")
        axes.margins(0.08)
        axes.axhline(0, color=GREY, linewidth=0.5)
        axes.axvline(0, color=GREY, linewidth=0.5)
        axes.legend(loc="best", fontsize=7.5)

    return Panel(
        title=f"Words that are used alike lie together: {len(found.words)} frequent words on a plane",
        draw=draw,
        how="Rows of the embedding, each brought to length 1, on their first two principal directions, which hold "
        f"{100 * found.shown:.0f} % of their spread: what looks near may be far in the other directions.",
        height=4.6,
    )


def the(matrix: Matrix) -> str:
    """What a sentence calls a matrix: "the queries of layer 2"."""
    return _subject(matrix.name)


def _subject(name: str) -> str:
    words = {"output": "attention outputs", "up": "feed-forward inputs", "down": "feed-forward outputs"}
    words |= {"gate": "feed-forward gates", "embedding": "token embeddings", "head": "output rows"}
    kind = words.get(_kind(name), _kind(name))
    return f"the {kind} of layer {name.split()[1]}" if name.startswith("layer ") else f"the {kind}"


def _kind(name: str) -> str:
    return name.split()[-1]


def _by_layer(matrices: Sequence[Matrix], figure: str, label: str) -> Any:
    def draw(axes: Any) -> None:
        inside = [m for m in matrices if m.layer is not None]
        for i, kind in enumerate(dict.fromkeys(m.kind for m in inside)):
            found = [m for m in inside if m.kind == kind]
            colour, dashes = SERIES[i % len(SERIES)]
            style = {"color": colour, "linestyle": dashes, "marker": MARKERS[i % 8], "markersize": 4, "linewidth": 1.2}
            axes.plot([m.layer for m in found], [getattr(m, figure) for m in found], label=kind, **style)
        layers = sorted({m.layer for m in inside if m.layer is not None})
        axes.set(xlabel="layer", ylabel=label, xticks=layers[:: -(-len(layers) // 12)])
        axes.set_ylim(bottom=0)
        axes.legend(fontsize=7.5, ncols=3)

    return draw
