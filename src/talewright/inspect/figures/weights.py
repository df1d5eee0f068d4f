"""Figures of weights: histograms, spectra, norms by layer, change in training, and the map of word embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from talewright.inspect.figures.label_layout import LABEL_SIZE, MAP_HEIGHT, SIDES, map_bounds, place_labels
from talewright.inspect.figures.specifications import (
    ZOOM,
    axis,
    lines,
    points_by_layer,
    rounded,
    series_color,
    tooltip,
)
from talewright.inspect.figures.style import BLUE, GREY, ORANGE, SERIES, Panel, label_apart, save_png
from talewright.inspect.weights import MatrixStats

MARKERS = "osD^vPX*"
LEGEND_HEIGHT = 4.2
"""Inches of a panel that has eight names above its plot."""
SPECTRUM_POINTS = 100
"""Points of a line of singular values: more do not show."""
NAMES = {
    "output": "attention outputs",
    "up": "feed-forward inputs",
    "down": "feed-forward outputs",
    "gate": "feed-forward gates",
    "embedding": "token embeddings",
    "head": "output rows",
}
"""By kind of matrix, its name in a sentence, where the kind itself is not clear enough."""


def save_weight_figures(matrices: Sequence[MatrixStats], panels: Sequence[Panel], folder: Path) -> None:
    """Draw `histograms_layer{L}.png` for each layer, `histograms_outside.png`, and `spectral_norms.png`."""
    for layer in _layers(matrices):
        histograms = [histogram_panel(m) for m in matrices if m.layer == layer]
        save_png(histograms, folder / f"histograms_layer{layer}.png", 3, f"Weights of layer {layer}")
    outside = [histogram_panel(m) for m in matrices if m.layer is None]
    save_png(outside, folder / "histograms_outside.png", min(2, len(outside)), "Weights outside the layers")
    save_png(panels, folder / "spectral_norms.png", title="Norms, ranks and spectra")


def histogram_panel(matrix: MatrixStats) -> Panel:
    """The distribution of one matrix's values."""

    def draw(axes: Any) -> None:
        axes.stairs(matrix.counts + 0.5, matrix.edges, fill=True, color=BLUE, alpha=0.8)
        axes.set(yscale="log", xlabel="weight", ylabel="count")
        axes.minorticks_off()  # of 30 plots, they take a third of the time
        axes.set_ylim(bottom=0.7)

    title = f"{matrix.name}: std {matrix.std:.3f}, spectral norm {matrix.spectral_norm:.2f}"
    return Panel(title=title, draw=draw, how="Weights in 61 equal bins; the count's axis is logarithmic.", height=2.3)


def std_panel(matrices: Sequence[MatrixStats]) -> Panel:
    """Standard deviation of each matrix, by layer."""
    widest = max((m for m in matrices if m.layer is not None), key=lambda m: m.std)
    return Panel(
        title=f"{phrase(widest.name).capitalize()} vary most: standard deviation {widest.std:.3f}",
        draw=_by_layer(matrices, "std", "standard deviation"),
        chart=_by_layer_chart(matrices, "std", "standard deviation"),
        how="Standard deviation of all values of a matrix. Histograms are in plots/weight_distributions.",
        height=LEGEND_HEIGHT,
    )


def norms_panel(matrices: Sequence[MatrixStats]) -> Panel:
    """Spectral norm of each matrix, by layer."""
    largest = max((m for m in matrices if m.layer is not None), key=lambda m: m.spectral_norm)
    return Panel(
        title=f"{phrase(largest.name).capitalize()} have the largest spectral norm: {largest.spectral_norm:.1f}",
        draw=_by_layer(matrices, "spectral_norm", "spectral norm"),
        chart=_by_layer_chart(matrices, "spectral_norm", "spectral norm"),
        how="The largest singular value: the most by which the matrix can lengthen a vector.",
        height=LEGEND_HEIGHT,
    )


def ranks_panel(matrices: Sequence[MatrixStats]) -> Panel:
    """Effective rank of each matrix, by layer."""
    lowest = min((m for m in matrices if m.layer is not None), key=lambda m: m.effective_rank / min(m.shape))
    rank = f"{lowest.effective_rank:.0f} of {min(lowest.shape)}"
    return Panel(
        title=f"{phrase(lowest.name).capitalize()} use the smallest share of their directions: {rank}",
        draw=_by_layer(matrices, "effective_rank", "effective rank"),
        chart=_by_layer_chart(matrices, "effective_rank", "effective rank"),
        how="exp of the entropy of the singular values, as shares of their sum (Roy & Vetterli 2007).",
        height=LEGEND_HEIGHT,
    )


def comparison_panel(
    first: Sequence[MatrixStats], second: Sequence[MatrixStats], labels: tuple[str, str], measure: str
) -> Panel:
    """A measure of each matrix that two models have in common: the first model's against the second's."""
    others = {matrix.name: getattr(matrix, measure) for matrix in second}
    common = [(m.name, m.kind, getattr(m, measure), others[m.name]) for m in first if m.name in others]
    title = measure.replace("_", " ")
    name, _, one, other = max(common, key=lambda row: abs(np.log(row[3] / row[2])))

    def draw(axes: Any) -> None:
        for i, kind in enumerate(dict.fromkeys(kind for _, kind, _, _ in common)):
            x, y = zip(*((a, b) for _, own, a, b in common if own == kind), strict=True)
            axes.plot(x, y, MARKERS[i % 8], color=SERIES[i % len(SERIES)][0], markersize=5, label=kind)
        values = [value for row in common for value in row[2:]]
        axes.plot([min(values), max(values)], [min(values), max(values)], color=GREY, linewidth=0.8)
        axes.set(xscale="log", yscale="log", xlabel=f"{title}, {labels[0]}", ylabel=labels[1])
        _legend_above(axes)

    return Panel(
        title=f"{phrase(name).capitalize()} differ most in {title}: {one:.1f} and {other:.1f}",
        draw=draw,
        how=f"Each point is a matrix that both models have; on the grey line it is equal. {len(common)} matrices.",
        chart=_comparison_chart(common, title, labels),
        height=LEGEND_HEIGHT,
    )


def _comparison_chart(
    common: Sequence[tuple[str, str, float, float]], title: str, labels: tuple[str, str]
) -> dict[str, Any]:
    rows = [
        {"matrix": name, "kind": kind, "first": rounded(one), "second": rounded(other)}
        for name, kind, one, other in common
    ]
    ends = [min(min(row[2:]) for row in common), max(max(row[2:]) for row in common)]
    series = series_color("kind", list(dict.fromkeys(kind for _, kind, _, _ in common)))
    scale = {"type": "log", "nice": False}
    equal = {"type": "line", "color": "@grey", "strokeWidth": 1}
    marks = {"mark": {"type": "point", "filled": True, "size": 60, "clip": True}, "params": [ZOOM, *series["params"]]}
    tips = tooltip(matrix="matrix", first=labels[0], second=labels[1])
    return {
        "encoding": {
            "x": axis("first", f"{title}, {labels[0]}", scale=scale, axis={"tickCount": 5}),
            "y": axis("second", labels[1], scale=scale, axis={"tickCount": 5}),
        },
        "layer": [
            {"data": {"values": [{"first": rounded(end), "second": rounded(end)} for end in ends]}, "mark": equal},
            {"data": {"values": rows}, **marks, "encoding": {"tooltip": tips, **series["encoding"]}},
        ],
    }


def spectra_panel(matrices: Sequence[MatrixStats]) -> Panel:
    """Singular values of the last layer's matrices and of the embedding."""
    last = max(_layers(matrices))
    shown = [m for m in matrices if m.layer == last or m.kind in ("embedding", "head")]
    ratios = {m.name: m.spectral_norm / max(float(np.median(m.singular_values)), 1e-9) for m in shown}
    steepest = max(ratios, key=ratios.__getitem__)

    def draw(axes: Any) -> None:
        for matrix, (color, dashes) in zip(shown, SERIES * 2, strict=False):
            percent = np.linspace(0, 100, len(matrix.singular_values))
            axes.plot(percent, matrix.singular_values, color=color, linestyle=dashes, linewidth=1.3, label=matrix.name)
        axes.set(yscale="log", xlabel="singular values from the largest on, %", ylabel="value")
        _legend_above(axes)

    place = axis("percent", "singular values, the largest first, %")
    rows = [
        {"name": m.name, "percent": round(100 * i / max(1, len(m.singular_values) - 1), 1), "value": rounded(value)}
        for m in shown
        for i, value in list(enumerate(m.singular_values))[:: -(-len(m.singular_values) // SPECTRUM_POINTS)]
        if value > 0
    ]
    values = axis("value", "value", scale={"type": "log", "nice": False}, axis={"tickCount": 5})
    return Panel(
        title=f"{phrase(steepest).capitalize()} have the steepest spectrum: the largest singular value is "
        f"{ratios[steepest]:.0f} times the median",
        draw=draw,
        how="Singular values of the last layer's matrices and the embedding, in order.",
        height=LEGEND_HEIGHT,
        chart=lines(rows, [m.name for m in shown], place, values, points=False),
    )


def change_panel(changes: dict[int, dict[str, float]]) -> Panel:
    """How far each kind of matrix moved from initialization. `changes`: by step and matrix, relative to its norm."""
    last = max(changes)
    name, change = max(changes[last].items(), key=lambda pair: pair[1])
    steps = sorted({0, *changes})

    def mean(step: int, kind: str) -> float:
        return float(np.mean([v for n, v in changes[step].items() if _kind(n) == kind])) if step else 0.0

    def draw(axes: Any) -> None:
        for i, kind in enumerate(kinds):
            axes.plot(steps, [mean(step, kind) for step in steps], label=kind, **_line(i))
        axes.set(xlabel="optimizer step of the checkpoint", ylabel="distance / initial norm")
        axes.set_ylim(bottom=0)
        _legend_above(axes)

    kinds = sorted({_kind(name) for name in changes[last]})
    rows = [{"name": kind, "step": step, "change": rounded(mean(step, kind))} for kind in kinds for step in steps]
    return Panel(
        title=f"By step {last:,}, {phrase(name)} have moved most: {change:.1f} times their initial norm",
        draw=draw,
        how="Frobenius norm of the change since initialization, over the initial norm, averaged over layers; the "
        "initial weights are recomputed from the recipe's seed.",
        height=LEGEND_HEIGHT,
        chart=lines(
            rows, kinds, axis("step", "optimizer step of the checkpoint"), axis("change", "distance / initial norm")
        ),
    )


def embedding_panel(words: Sequence[str], points: np.ndarray, explained: float) -> Panel:
    """The map of the most frequent words' embeddings: points (N, 2) that hold a share of their variance."""

    def draw(axes: Any) -> None:
        capital = np.array([word[:1].isupper() for word in words])
        for chosen, marker, color, label in ((~capital, "o", BLUE, "words"), (capital, "^", ORANGE, "capitalized")):
            if chosen.any():
                axes.plot(*points[chosen].T, marker, color=color, markersize=3, linestyle="", label=label)
        axes.set(xticks=[], yticks=[], xlabel="first principal component", ylabel="second component")
        axes.margins(0.08)
        axes.apply_aspect()
        label_apart(axes, words, [(x, y) for x, y in points])
        axes.axhline(0, color=GREY, linewidth=0.5)
        axes.axvline(0, color=GREY, linewidth=0.5)
        axes.legend(loc="best")

    return Panel(
        title=f"Words with similar use are close together: {len(words)} frequent words on a plane",
        draw=draw,
        how="Rows of the embedding, normalized to unit length, on their first two principal components, which hold "
        f"{100 * explained:.0f} % of the variance: words that look close may be far apart in the "
        "other directions. Words without space for a label show at their points.",
        height=4.6,
        chart=_embedding_chart(words, points),
    )


def _embedding_chart(words: Sequence[str], points: np.ndarray) -> dict[str, Any]:
    """The map, with labels where they do not collide."""
    sides = place_labels(words, points)
    rows = [
        {
            "word": word,
            "kind": "capitalized" if word[:1].isupper() else "words",
            "x": rounded(x),
            "y": rounded(y),
            "side": side,
        }
        for word, (x, y), side in zip(words, points.tolist(), sides, strict=True)
    ]
    bounds = [map_bounds(points[:, i]) for i in (0, 1)]
    bare = {"grid": False, "labels": False, "ticks": False}
    kinds = ["words", "capitalized"] if len({row["kind"] for row in rows}) > 1 else [rows[0]["kind"]]
    series = series_color("kind", kinds)
    dots = {"mark": {"type": "point", "filled": True, "size": 36, "clip": True}, "params": [ZOOM, *series["params"]]}
    labels = [
        {
            "transform": [{"filter": {"field": "side", "equal": side}}],
            "mark": {"type": "text", "fontSize": LABEL_SIZE, "color": "@ink", "clip": True, **options},
            "encoding": {"text": {"field": "word"}},
        }
        for side, options in SIDES.items()
    ]
    return {
        "height": MAP_HEIGHT,
        "data": {"values": rows},
        "encoding": {
            "x": axis("x", "first principal component", scale={"domain": bounds[0], "nice": False}, axis=bare),
            "y": axis("y", "second component", scale={"domain": bounds[1], "nice": False}, axis=bare),
        },
        "layer": [{**dots, "encoding": {"tooltip": tooltip(word="word"), **series["encoding"]}}, *labels],
    }


def phrase(name: str) -> str:
    """A matrix's name in a sentence: "the queries of layer 2"."""
    kind = NAMES.get(_kind(name), _kind(name))
    return f"the {kind} of layer {name.split()[1]}" if name.startswith("layer ") else f"the {kind}"


def _kind(name: str) -> str:
    return name.split()[-1]


def _layers(matrices: Sequence[MatrixStats]) -> list[int]:
    return sorted({m.layer for m in matrices if m.layer is not None})


def _line(i: int) -> dict[str, Any]:
    """Style of the i-th line of a panel."""
    color, dashes = SERIES[i % len(SERIES)]
    return {"color": color, "linestyle": dashes, "marker": MARKERS[i % 8], "markersize": 4, "linewidth": 1.3}


def _legend_above(axes: Any) -> None:
    """The legend above the plot, in two columns, so that it hides no line."""
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, columnspacing=1.0, handlelength=1.6)


def _by_layer(matrices: Sequence[MatrixStats], measure: str, label: str) -> Any:
    def draw(axes: Any) -> None:
        inside = [m for m in matrices if m.layer is not None]
        for i, kind in enumerate(dict.fromkeys(m.kind for m in inside)):
            points = [(m.layer, getattr(m, measure)) for m in inside if m.kind == kind]
            axes.plot(
                *zip(*points, strict=True), label=kind, **_line(i) | {"linestyle": "", "markersize": 6}
            )  # layers are not time
        axes.set(xlabel="layer", ylabel=label)
        axes.set_xticks(_layers(matrices)[:: -(-len(_layers(matrices)) // 12)])
        axes.set_ylim(0, 1.06 * max(getattr(m, measure) for m in inside))  # no marker is cut
        _legend_above(axes)

    return draw


def _by_layer_chart(matrices: Sequence[MatrixStats], measure: str, label: str) -> dict[str, Any]:
    inside = [m for m in matrices if m.layer is not None]
    rows = [{"layer": m.layer, "kind": m.kind, "value": rounded(getattr(m, measure))} for m in inside]
    return points_by_layer(rows, list(dict.fromkeys(m.kind for m in inside)), label)
