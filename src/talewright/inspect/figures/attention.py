"""Attention drawn: heat maps of the heads, how far they look, the roles they play, and what is lost without them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from talewright.errors import UserError
from talewright.inspect.figures.style import BLUE, FAINT, ORANGE, WIDTH, Panel, plotting, save_figure
from talewright.inspect.heads import PLAYS, REPEATED, ROLES, Head

MOST_WORDS, PANEL_WORDS = 64, 32
"""Tokens of a heat map in a file, and in a panel of a page: so many words on an axis can still be read."""


def save_heatmaps(weights: np.ndarray, words: Sequence[str], folder: Path) -> list[Path]:
    """Draw `attn_layer{L}_head{H}.png` for every head of weights (L, H, T, T), and `all_heads.png`.

    They show the first MOST_WORDS tokens. Colours follow the root of the attention, so that small shares show; what a
    token cannot see is left empty.
    """
    weights, words = _seen(weights[:, :, :MOST_WORDS, :MOST_WORDS]), words[:MOST_WORDS]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with plotting() as plt:
            return [*_heatmaps(plt, weights, words, folder), _sheet(plt, weights, folder / "all_heads.png")]
    except OSError as error:
        raise UserError(f"cannot write into {folder}: {error.strerror or error}") from None


def _heatmaps(plt: Any, weights: np.ndarray, words: Sequence[str], folder: Path) -> Iterator[Path]:
    """One file a head. The words around it are drawn once for all: a large model has hundreds of heads."""
    from PIL import Image

    figure, axes = plt.subplots(figsize=(8.4, 7.6), dpi=100)
    image = axes.imshow(weights[0, 0], cmap="cividis", norm=_root(), interpolation="nearest", animated=True)
    title = axes.text(0, 1.015, "", transform=axes.transAxes, animated=True)
    _axes_of_words(axes, words)
    figure.colorbar(image, shrink=0.7, label="share of attention")
    figure.subplots_adjust(left=0.12, right=1.0, bottom=0.12, top=0.95)
    figure.canvas.draw()
    around = figure.canvas.copy_from_bbox(figure.bbox)
    for layer, head in np.ndindex(weights.shape[:2]):
        figure.canvas.restore_region(around)
        image.set_data(weights[layer, head])
        title.set_text(f"Layer {layer}, head {head}: where each token (row) looks (column)")
        axes.draw_artist(image)
        axes.draw_artist(title)
        path = folder / f"attn_layer{layer}_head{head}.png"
        Image.fromarray(np.asarray(figure.canvas.buffer_rgba())).convert("RGB").save(path, compress_level=4)
        yield path
    plt.close(figure)


def heatmap_panel(weights: np.ndarray, words: Sequence[str], head: str) -> Panel:
    """One head's weights (T, T) on these words, of which the first PANEL_WORDS are shown."""
    shown, words = _seen(weights[:PANEL_WORDS, :PANEL_WORDS]), words[:PANEL_WORDS]
    places = np.arange(len(weights))
    reach = float((weights * (places[:, None] - places)).sum(1).mean())

    def draw(axes: Any) -> None:
        axes.imshow(shown, cmap="cividis", norm=_root(), interpolation="nearest")
        _axes_of_words(axes, words)

    return Panel(
        title=f"{head} looks {reach:.1f} tokens back on average",
        draw=draw,
        how="Each row is a token that looks, each column one that is looked at; the brighter, the more attention. "
        f"The first {len(words)} tokens are shown.",
        height=WIDTH,
    )


def _axes_of_words(axes: Any, words: Sequence[str]) -> None:
    axes.grid(visible=False)
    axes.set(xlabel="token that is looked at", ylabel="token that looks")
    size = 9 if len(words) < 40 else 7
    labels = [word.strip().replace("$", r"\$") for word in words]
    axes.set_xticks(range(len(words)), labels, rotation=90, fontsize=size)
    axes.set_yticks(range(len(words)), labels, fontsize=size)


def _sheet(plt: Any, weights: np.ndarray, path: Path) -> Path:
    L, H = weights.shape[:2]
    figure, grid = plt.subplots(L, H, figsize=(1.25 * H + 0.4, 1.35 * L + 0.6), squeeze=False)
    for (layer, head), axes in np.ndenumerate(grid):
        axes.imshow(weights[layer, head], cmap="cividis", norm=_root(), interpolation="nearest")
        axes.set_title(f"{layer}.{head}", fontsize=7, loc="center", pad=2)
        axes.set(xticks=[], yticks=[])
    figure.suptitle("Attention of every head (layer.head) on one story", fontsize=9)
    figure.subplots_adjust(left=0.02, right=0.98, bottom=0.02, top=1 - 0.5 / (1.35 * L + 0.6), wspace=0.08, hspace=0.22)
    return save_figure(figure, path, dpi=110)


def _seen(weights: np.ndarray) -> np.ndarray:
    """The weights, those above the diagonal masked."""
    future = np.triu(np.ones(weights.shape[-2:], dtype=bool), 1)
    return np.ma.masked_array(weights, np.broadcast_to(future, weights.shape))


def _root() -> Any:
    from matplotlib.colors import PowerNorm

    return PowerNorm(0.5, vmin=0, vmax=1)


def reach_panel(heads: Sequence[Head]) -> Panel:
    """How far each head looks back."""
    near, far = min(heads, key=lambda h: h.reach), max(heads, key=lambda h: h.reach)

    def draw(axes: Any) -> None:
        layers = sorted({head.layer for head in heads})
        for layer in layers:
            found = sorted(head.reach for head in heads if head.layer == layer)
            offsets = np.linspace(-0.2, 0.2, len(found)) if len(found) > 1 else np.zeros(1)
            axes.plot(layer + offsets, found, "o", color=BLUE, markersize=4.5, alpha=0.85)
            axes.hlines(np.mean(found), layer - 0.3, layer + 0.3, color=ORANGE, linewidth=1.4)
        axes.set(xlabel="layer (line: mean of its heads)", ylabel="tokens back, on average", xticks=_few(layers))
        axes.set_ylim(bottom=0)

    return Panel(
        title=f"Head {near.name} looks {near.reach:.1f} tokens back, head {far.name} looks {far.reach:.0f}",
        draw=draw,
        how="Distance to the token looked at, weighted by attention, averaged over the stories' tokens.",
    )


def roles_panel(heads: Sequence[Head], chance: dict[str, float]) -> Panel:
    """How much of each head's attention goes where a role says."""
    roles = [role for role in ROLES if role in heads[0].roles]
    table = np.array([[head.roles[role] for role in roles] for head in heads])  # (heads, roles)
    playing = [head for head in heads if head.role != "mixed"]
    best = max(playing, key=lambda h: h.roles[h.role], default=None)
    title = "No head keeps to one of these roles"
    if best is not None:
        share = 100 * best.roles[best.role]
        title = (
            f"{len(playing)} of {len(heads)} heads keep to a role; {best.name} is clearest: {best.role}, {share:.0f} %"
        )

    def draw(axes: Any) -> None:
        shown = axes.imshow(table.T, cmap="cividis", norm=_root(), aspect="auto", interpolation="nearest")
        axes.grid(visible=False)
        axes.set_yticks(range(len(roles)), roles)
        stride = -(-len(heads) // 24)
        places = range(0, len(heads), stride)
        axes.set_xticks(places, [heads[i].name for i in places], rotation=90)
        axes.set_xlabel("layer.head")
        axes.figure.colorbar(shown, ax=axes, shrink=0.8, pad=0.02, label="share of attention")

    even = ", ".join(f"{role} {100 * chance[role]:.0f} %" for role in roles)
    return Panel(
        title=title,
        draw=draw,
        how=f"Mean attention to where the role says. Duplicate token and induction on {REPEATED} random tokens that "
        f"come twice, the rest on the stories. A head is said to keep to a role from {100 * PLAYS:.0f} % on. "
        f"Attention spread evenly would give: {even}.",
    )


def roles_beside_panel(models: Mapping[str, Sequence[Head]]) -> Panel:
    """How well the best head of each of two models plays each role."""
    roles = [role for role in ROLES if all(role in heads[0].roles for heads in models.values())]
    shares = {name: [100 * max(head.roles[role] for head in heads) for role in roles] for name, heads in models.items()}
    (one, first), (other, second) = shares.items()
    apart = max(range(len(roles)), key=lambda i: abs(first[i] - second[i]))

    def draw(axes: Any) -> None:
        places = np.arange(len(roles))
        for (name, values), offset, colour in zip(shares.items(), (0.19, -0.19), (BLUE, ORANGE), strict=True):
            axes.barh(places + offset, values, 0.36, color=colour, label=name)
        axes.set_yticks(places, roles)
        axes.set(xlabel="attention of its best head, %", xlim=(0, 100))
        axes.legend(loc="upper center", bbox_to_anchor=(0.4, -0.2), ncols=2)

    return Panel(
        title=f"{roles[apart].capitalize()}: {first[apart]:.0f} % in {one}, {second[apart]:.0f} % in {other}",
        draw=draw,
        how="Of each role, the head of each model that gives it most of its attention, on the same stories.",
    )


def loss_without_panel(heads: Sequence[Head], tokens: int) -> Panel:
    """What the loss rises by without each head."""
    ranked = sorted(heads, key=lambda head: -(head.loss_without or 0))
    worst = ranked[0]
    useless = sum((head.loss_without or 0) < 0.002 for head in heads)

    def draw(axes: Any) -> None:
        shown = ranked[:24]
        rises = [head.loss_without or 0 for head in shown]
        axes.bar(range(len(shown)), rises, color=[BLUE if rise >= 0 else ORANGE for rise in rises])
        axes.set_xticks(range(len(shown)), [head.name for head in shown], rotation=90)
        axes.set(xlabel="layer.head, the most needed first", ylabel="loss rises by, nats per token")
        axes.axhline(0, color=FAINT, linewidth=0.8)

    few = f"; {useless} of {len(heads)} would hardly be missed" if useless else ""
    return Panel(
        title=f"Without head {worst.name} the loss is {worst.loss_without or 0:.2f} higher{few}",
        draw=draw,
        how=f"Each head in turn gives 0 (as if its part of the output projection were 0), on {tokens:,} tokens of "
        "stories. Hardly missed: less than 0.002 nats.",
    )


def _few(layers: list[int]) -> list[int]:
    return layers[:: -(-len(layers) // 12)]
