"""Figures of attention: heat maps, how far heads look back, their roles, and the loss without each head."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from talewright.errors import UserError
from talewright.files import atomic_file, error_reason
from talewright.inspect.figures.specifications import axis, bars, categories, rounded, shares_map, tooltip
from talewright.inspect.figures.style import (
    BLUE,
    CARD,
    FAINT,
    INK,
    LINE,
    ORANGE,
    WIDTH,
    Panel,
    plotting,
    save_figure,
)
from talewright.inspect.figures.texts import find_fonts, legend_label
from talewright.inspect.heads import REPEATED, ROLE_SHARE, ROLES, Head

FILE_TOKENS, PANEL_TOKENS = 48, 20
"""Tokens of a heat map in a file, and in a panel of a page: as many as fit on an axis and can be read."""
SHOWN_HEADS = 24
"""Heads in a figure that has one mark for each: more could not be read."""
NAMED_HEADS, PRINTED_HEADS = 3, 12
"""Heads that the title of the roles names, and heads up to which each share is printed in its cell."""
NEGLIGIBLE = 0.002
"""Nats; a head whose removal raises the loss by less is hardly used."""


def save_heatmaps(patterns: np.ndarray, tokens: Sequence[str], folder: Path) -> list[Path]:
    """Draw `attn_layer{L}_head{H}.png` for every head of the patterns (L, H, T, T), and `all_heads.png`.

    They show the first FILE_TOKENS tokens. Colors follow the square root of the attention, so that small shares show;
    the future is left empty.
    """
    patterns, tokens = _masked(patterns[:, :, :FILE_TOKENS, :FILE_TOKENS]), tokens[:FILE_TOKENS]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with plotting() as plt:
            return [*_heatmaps(plt, patterns, tokens, folder), _overview(plt, patterns, folder / "all_heads.png")]
    except OSError as error:
        raise UserError(f"cannot write into {folder}: {error_reason(error)}") from None


def _heatmaps(plt: Any, patterns: np.ndarray, tokens: Sequence[str], folder: Path) -> Iterator[Path]:
    """One file per head. The axes are drawn once for all heads, because a large model has hundreds of them."""
    from PIL import Image

    figure, axes = plt.subplots(figsize=(8.4, 7.6), dpi=100)
    image = _draw_pattern(axes, patterns[0, 0], animated=True)
    title = axes.text(0, 1.015, "", transform=axes.transAxes, animated=True)
    _label_tokens(axes, tokens)
    figure.colorbar(image, shrink=0.7, label="share of attention")
    figure.subplots_adjust(left=0.12, right=1.0, bottom=0.12, top=0.95)
    find_fonts(figure)
    figure.canvas.draw()
    background = figure.canvas.copy_from_bbox(figure.bbox)
    for layer, head in np.ndindex(patterns.shape[:2]):
        figure.canvas.restore_region(background)
        image.set_data(patterns[layer, head])
        title.set_text(f"Layer {layer}, head {head}: where each token (row) attends (column)")
        axes.draw_artist(image)
        axes.draw_artist(title)
        path = folder / f"attn_layer{layer}_head{head}.png"
        picture = Image.fromarray(np.asarray(figure.canvas.buffer_rgba())).convert("RGB")
        with atomic_file(path) as part:
            picture.save(part, format="png", compress_level=4)
        yield path
    plt.close(figure)


def _overview(plt: Any, patterns: np.ndarray, path: Path) -> Path:
    L, H = patterns.shape[:2]
    figure, grid = plt.subplots(L, H, figsize=(1.25 * H + 0.4, 1.35 * L + 0.6), squeeze=False)
    for (layer, head), axes in np.ndenumerate(grid):
        _draw_pattern(axes, patterns[layer, head])
        axes.set_title(f"{layer}.{head}", fontsize=9, loc="center", pad=2)
        axes.set(xticks=[], yticks=[])
    figure.suptitle("Attention of every head (layer.head) on one story")
    figure.subplots_adjust(left=0.02, right=0.98, bottom=0.02, top=1 - 0.5 / (1.35 * L + 0.6), wspace=0.08, hspace=0.22)
    return save_figure(figure, path, dpi=110)


def heatmap_panel(pattern: np.ndarray, tokens: Sequence[str], head: str) -> Panel:
    """One head's pattern (T, T) on these tokens, of which the first PANEL_TOKENS are shown."""
    shown, tokens = _masked(pattern[:PANEL_TOKENS, :PANEL_TOKENS]), tokens[:PANEL_TOKENS]
    position = np.arange(len(pattern))
    distance = float((pattern * (position[:, None] - position)).sum(1).mean())

    def draw(axes: Any) -> None:
        _draw_cells(axes, np.sqrt(np.ma.filled(shown, 0.0)), 1.0)
        axes.set_aspect("equal")
        _label_tokens(axes, tokens)

    return Panel(
        title=f"{head} attends {distance:.1f} tokens back on average",
        draw=draw,
        how="Each row is a token that attends, each column a token attended to; the darker (on a dark page, the "
        "brighter), the more attention. "
        f"The first {len(tokens)} tokens are shown.",
        height=WIDTH,
        chart=_heatmap_chart(shown, tokens),
    )


def _heatmap_chart(pattern: np.ndarray, tokens: Sequence[str]) -> dict[str, Any]:
    """One head's pattern (T, T), whose cells name their tokens and their share."""
    words = [token.strip() or "␣" for token in tokens]
    rows = [
        {"row": t, "column": s, "share": rounded(100 * pattern[t, s], 3), "from": words[t], "to": words[s]}
        for t in range(len(words))
        for s in range(t + 1)
    ]
    named = {"labelExpr": f"{json.dumps(words)}[datum.value]", "labelOverlap": True}
    chart = shares_map(
        rows,
        categories("column", "token attended to", axis=named | {"labelAngle": -90}),
        categories("row", "token that attends", axis=named),
        100,
        [*tooltip(to="attended to", share="share, %"), {"field": "from", "title": "attends"}],
    )
    chart["layer"][0]["encoding"]["color"]["scale"] |= {"type": "sqrt"}
    return chart | {"height": 380}


def _draw_pattern(axes: Any, pattern: np.ndarray, **options: Any) -> Any:
    """In the colors of every picture of attention: from white, none, to blue, all; the future is grey."""
    from matplotlib.colors import LinearSegmentedColormap, PowerNorm

    colors = LinearSegmentedColormap.from_list("attention", [CARD, BLUE]).with_extremes(bad=LINE)
    return axes.imshow(pattern, cmap=colors, norm=PowerNorm(0.5, vmin=0, vmax=1), interpolation="nearest", **options)


def _draw_cells(axes: Any, table: np.ndarray, largest: float) -> None:
    """A heat map whose cells are the page's blue, the more opaque the larger the value: it follows the page's theme."""
    from matplotlib.colors import to_rgb

    opacity = np.ma.filled(np.clip(table / max(largest, 1e-9), 0, 1), 0.0)
    colors = np.concatenate([np.broadcast_to(to_rgb(BLUE), (*table.shape, 3)), opacity[..., None]], axis=-1)
    rows, columns = table.shape
    axes.pcolormesh(np.arange(columns + 1) - 0.5, np.arange(rows + 1) - 0.5, colors, linewidth=0)
    axes.grid(visible=False)
    axes.set(xlim=(-0.5, columns - 0.5), ylim=(rows - 0.5, -0.5))


def _label_tokens(axes: Any, tokens: Sequence[str]) -> None:
    axes.grid(visible=False)
    axes.set(xlabel="token attended to", ylabel="token that attends")
    size = 12 if len(tokens) <= PANEL_TOKENS else 9  # a file has 100 dots per inch: 12 pixels
    labels = [token.strip() for token in tokens]
    axes.set_xticks(range(len(tokens)), labels, rotation=90, fontsize=size)
    axes.set_yticks(range(len(tokens)), labels, fontsize=size)


def _masked(patterns: np.ndarray) -> np.ndarray:
    """The patterns with the future masked."""
    future = np.triu(np.ones(patterns.shape[-2:], dtype=bool), 1)
    return np.ma.masked_array(patterns, np.broadcast_to(future, patterns.shape))


def distance_panel(heads: Sequence[Head]) -> Panel:
    """How far back each head attends."""
    near, far = min(heads, key=lambda h: h.distance), max(heads, key=lambda h: h.distance)

    def draw(axes: Any) -> None:
        layers = sorted({head.layer for head in heads})
        for layer in layers:
            distances = sorted(head.distance for head in heads if head.layer == layer)
            offsets = np.linspace(-0.2, 0.2, len(distances)) if len(distances) > 1 else np.zeros(1)
            axes.plot(layer + offsets, distances, "o", color=BLUE, markersize=4.5, alpha=0.85)
            axes.hlines(np.mean(distances), layer - 0.3, layer + 0.3, color=ORANGE, linewidth=1.4)
        axes.set(xlabel="layer (line: mean of its heads)", ylabel="tokens back, on average")
        axes.set_xticks(layers[:: -(-len(layers) // 12)])
        axes.set_ylim(bottom=0)

    return Panel(
        title=f"Head {near.name} attends {near.distance:.1f} tokens back, head {far.name} attends {far.distance:.0f}",
        draw=draw,
        how="Distance to the token attended to, weighted by attention, averaged over the stories' tokens. "
        "Line: mean of a layer's heads.",
        chart=_distance_chart(heads),
    )


def _distance_chart(heads: Sequence[Head]) -> dict[str, Any]:
    rows = [
        {"head": head.name, "layer": head.layer, "role": head.role, "distance": rounded(head.distance, 3)}
        for head in heads
        if np.isfinite(head.distance)
    ]
    tips = tooltip(head="layer.head", role="role", distance="tokens back")
    mean = {"y": axis("distance", None, aggregate="mean")}
    return {
        "data": {"values": rows},
        "encoding": {
            "x": categories("layer", "layer", axis={"labelAngle": 0, "labelOverlap": True}),
            "y": axis("distance", "tokens back, on average"),
        },
        "layer": [
            {"mark": {"type": "tick", "color": "@orange", "thickness": 2, "size": 30}, "encoding": mean},
            {"mark": {"type": "point", "filled": True, "size": 70, "color": "@blue"}, "encoding": {"tooltip": tips}},
        ],
    }


def roles_panel(heads: Sequence[Head], chance: dict[str, float]) -> Panel:
    """The share of each head's attention that fits each role."""
    roles = [role for role in ROLES if role in heads[0].roles]
    table = np.array([[head.roles[role] for role in roles] for head in heads])  # (heads, roles)
    with_role = sorted((head for head in heads if head.role != "mixed"), key=lambda h: -h.roles[h.role])
    title = "No head has one of these roles"
    if with_role:
        named = [f"{head.name} {head.role} {100 * head.roles[head.role]:.0f} %" for head in with_role[:NAMED_HEADS]]
        title = f"{len(with_role)} of {len(heads)} heads have a role: {', '.join(named)}"
        title += " and others" if len(with_role) > NAMED_HEADS else ""
    largest = float(table.max())

    def draw(axes: Any) -> None:
        _draw_cells(axes, table.T, largest)
        axes.set_yticks(range(len(roles)), roles)
        ticks = range(0, len(heads), -(-len(heads) // 12))
        axes.set_xticks(ticks, [heads[i].name for i in ticks], rotation=90)
        axes.set_xlabel("layer.head")
        if len(heads) <= PRINTED_HEADS:
            for (i, j), value in np.ndenumerate(table):
                color = CARD if value > 0.6 * largest else INK
                axes.text(i, j, f"{100 * value:.0f}", ha="center", va="center", color=color)

    uniform = ", ".join(f"{role} {100 * chance[role]:.0f} %" for role in roles)
    return Panel(
        title=title,
        draw=draw,
        how=f"Mean attention that fits the role. Duplicate token and induction on {REPEATED} random tokens that come "
        f"twice, the rest on the stories. A head has a role from {100 * ROLE_SHARE:.0f} % on. "
        f"Uniform attention would give: {uniform}. In percent; the darkest cell (on a dark page, the brightest) is the "
        f"largest share, {100 * largest:.0f} %."
        + (f" The {SHOWN_HEADS} heads that fit a role best are shown." if len(heads) > SHOWN_HEADS else ""),
        chart=_roles_chart(heads, roles),
    )


def _roles_chart(heads: Sequence[Head], roles: Sequence[str]) -> dict[str, Any] | None:
    """The share of each role, of the heads that fit one best; their numbers are written where they fit."""
    if not roles:
        return None
    best = sorted(heads, key=lambda head: -max(head.roles.values()))[:SHOWN_HEADS]
    shown = [head for head in heads if head in best]
    rows = [
        {"head": head.name, "role": role, "share": round(100 * head.roles[role], 1)} for head in shown for role in roles
    ]
    largest = max(1.0, *(row["share"] for row in rows))
    x = categories("head", "layer.head", axis={"labelAngle": 0 if len(shown) <= 6 else -90})
    tips = tooltip(head="layer.head", role="role", share="share of attention, %")
    chart = shares_map(rows, x, categories("role", None), largest, tips)
    if len(shown) <= 12:
        dark = {"condition": {"test": f"datum.share > {0.55 * largest}", "value": "@card"}, "value": "@ink"}
        text = {"field": "share", "type": "quantitative", "format": ".0f"}
        chart["layer"].append({"mark": "text", "encoding": {"text": text, "color": dark}})
    return chart


def roles_comparison_panel(models: Mapping[str, Sequence[Head]]) -> Panel:
    """For each of two models and each role, the head that fits it best."""
    roles = [role for role in ROLES if all(role in heads[0].roles for heads in models.values())]
    shares = {name: [100 * max(head.roles[role] for head in heads) for role in roles] for name, heads in models.items()}
    (one, first), (other, second) = shares.items()
    most = max(range(len(roles)), key=lambda i: abs(first[i] - second[i]))

    def draw(axes: Any) -> None:
        rows = np.arange(len(roles))
        for (name, values), offset, color in zip(shares.items(), (0.19, -0.19), (BLUE, ORANGE), strict=True):
            axes.barh(rows + offset, values, 0.36, color=color, label=legend_label(name))
        axes.set_yticks(rows, roles)
        axes.set(xlabel="attention of its best head, %", xlim=(0, 100))
        axes.legend(loc="upper center", bbox_to_anchor=(0.4, -0.2), ncols=2)

    return Panel(
        title=f"{roles[most].capitalize()}: {first[most]:.0f} % in {one}, {second[most]:.0f} % in {other}",
        draw=draw,
        how="For each role, the head of each model that gives it most of its attention, on the same stories.",
        chart=_roles_comparison_chart(shares, roles),
    )


def _roles_comparison_chart(shares: Mapping[str, Sequence[float]], roles: Sequence[str]) -> dict[str, Any]:
    rows = [
        {"model": name, "role": role, "share": round(value, 1)}
        for name, values in shares.items()
        for role, value in zip(roles, values, strict=True)
    ]
    color = {"field": "model", "type": "nominal", "title": None, "sort": None}
    return {
        "data": {"values": rows},
        "mark": "bar",
        "encoding": {
            "y": categories("role", None),
            "yOffset": {"field": "model", "sort": None},
            "x": axis("share", "attention of its best head, %", scale={"domain": [0, 100]}),
            "color": color,
            "tooltip": tooltip(model="model", role="role", share="share, %"),
        },
    }


def loss_without_panel(heads: Sequence[Head], tokens: int) -> Panel:
    """Increase of the loss without each head."""
    increases = {head.name: head.loss_without or 0 for head in heads}
    ranked = sorted(increases, key=lambda name: -increases[name])
    unused = sum(increase < NEGLIGIBLE for increase in increases.values())

    def draw(axes: Any) -> None:
        shown = ranked[:14]
        values = [increases[name] for name in shown]
        axes.bar(range(len(shown)), values, color=[BLUE if value >= 0 else ORANGE for value in values])
        axes.set_xticks(range(len(shown)), shown, rotation=90)
        axes.set(xlabel="layer.head, the most important first", ylabel="loss increase, nats per token")
        axes.axhline(0, color=FAINT, linewidth=0.8)

    role = {head.name: head.role for head in heads}
    rows = [{"head": name, "role": role[name], "rise": rounded(increases[name])} for name in ranked[:SHOWN_HEADS]]
    chart = bars(
        rows,
        categories("head", "layer.head, the most important first", axis={"labelAngle": 0 if len(rows) <= 6 else -90}),
        axis("rise", "loss increase, nats per token"),
        tooltip(head="layer.head", role="role", rise="loss increase, nats"),
    )
    few = f"; {unused} of {len(heads)} heads hardly matter" if unused else ""
    return Panel(
        title=f"Without head {ranked[0]} the loss is {increases[ranked[0]]:.2f} higher{few}",
        draw=draw,
        how=f"Each head's output is set to 0 in turn (as if its part of the output projection were 0), on {tokens:,} "
        f"tokens of stories. Hardly matters: an increase of less than {NEGLIGIBLE} nats."
        + (f" The {SHOWN_HEADS} most important are shown." if len(heads) > SHOWN_HEADS else ""),
        chart=chart,
    )
