"""The training curves of a run, drawn from its log."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from talewright.errors import UserError
from talewright.train.log import read_log

BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "#999999"  # Okabe and Ito's palette, told apart by the colour-blind


def draw_curves(run: Path) -> Path:
    """Draw `plots/training_curves.png`: loss, perplexity and bits per byte, learning rate, speed, against steps.

    Raises UserError where the run has logged no step yet.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    events = list(read_log(run / "log.jsonl"))
    trained = [event for event in events if event["event"] == "step"]
    scored = [event for event in events if event["event"] == "evaluation"]
    if not trained:
        raise UserError(f"{run / 'log.jsonl'} has no step yet; let the run train first")
    with plt.rc_context({"axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.alpha": 0.25}):
        figure, ((loss, bits), (rate, speed)) = plt.subplots(2, 2, figsize=(11, 7), layout="constrained")
        _loss(loss, trained, scored)
        _bits(bits, scored)
        _line(rate, trained, "learning_rate", "Learning rate", "learning rate")
        rate.ticklabel_format(axis="y", style="sci", scilimits=(-2, 2))
        _line(speed, trained, "tokens_per_second", "Speed", "tokens a second")
        speed.set_ylim(bottom=0)
        for axes in (loss, bits, rate, speed):
            axes.set_xlabel("optimiser step")
        figure.suptitle(f"{run.name}: training curves")
        path = run / "plots" / "training_curves.png"
        path.parent.mkdir(exist_ok=True)
        figure.savefig(path, dpi=120)
        plt.close(figure)
    return path


def _loss(axes: Any, trained: list[dict[str, Any]], scored: list[dict[str, Any]]) -> None:
    steps, losses = [event["step"] for event in trained], [event["loss"] for event in trained]
    axes.plot(steps, losses, color=GREY, alpha=0.5, linewidth=0.7, label="each training batch")
    axes.plot(steps, _smooth(losses), color=BLUE, label="training, smoothed")
    axes.plot([e["step"] for e in scored], [e["loss"] for e in scored], "o-", color=ORANGE, label="validation")
    axes.set(title="Loss", ylabel="nats per token")
    axes.legend()


def _bits(axes: Any, scored: list[dict[str, Any]]) -> None:
    steps = [event["step"] for event in scored]
    axes.plot(steps, [event["bits_per_byte"] for event in scored], "o-", color=ORANGE)
    axes.set(title="Validation, whatever the tokenizer", ylabel="bits per byte")
    for event in scored[-1:]:
        words = f"{event['bits_per_byte']:.3f} bits/byte\nperplexity {event['perplexity']:.1f}"
        axes.annotate(words, (0.97, 0.9), xycoords="axes fraction", ha="right", va="top")


def _line(axes: Any, trained: list[dict[str, Any]], key: str, title: str, label: str) -> None:
    axes.plot([event["step"] for event in trained], [event[key] for event in trained], color=BLUE, linewidth=0.8)
    axes.set(title=title, ylabel=label)


def _smooth(values: list[float]) -> list[float]:
    """A running mean that forgets over a fiftieth of the run."""
    weight, smoothed, mean = 1 / max(1, len(values) / 50), [], values[0]
    for value in values:
        mean += weight * (value - mean)
        smoothed.append(mean)
    return smoothed
