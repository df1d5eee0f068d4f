"""The report as one self-contained file: pictures as SVG, what a reader moves over as data, and a page around them."""

from __future__ import annotations

import base64
import json
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from talewright.errors import UserError
from talewright.inspect.figures.predictions import ranks_of_improvement
from talewright.inspect.figures.style import to_svg
from talewright.inspect.heads import ROLES
from talewright.inspect.inspection import Attention, Found, Predictions, Subject, shown
from talewright.model.cost import count_parameters
from talewright.tokenizer import Tokenizer

FULL = 6.0
"""Nats at which a token's colour is full."""


def write_report(found: Found, path: Path) -> Path:
    """Write the report. Raises UserError where the file cannot be written."""
    page = render(found)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        half = path.with_name(path.name + ".part")
        half.write_text(page, encoding="utf-8")
        half.replace(path)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from None
    return path


def render(found: Found) -> str:
    """The whole page as text."""
    from jinja2 import Environment, PackageLoader

    tokenizer = found.subject.tokenizer
    environment = Environment(loader=PackageLoader("talewright.inspect", "report"), autoescape=True, trim_blocks=True)
    environment.globals.update(
        svg=to_svg, shown=lambda token: shown(tokenizer, int(token)), shade=_shade, roles=ROLES, zip=zip, FULL=FULL
    )
    files = resources.files("talewright.inspect") / "report"
    better, worse = ranks_of_improvement(found.stretches or [])
    return environment.get_template("page.html.j2").render(
        found=found,
        facts=facts(found.subject),
        facts_beside=facts(found.other) if found.other is not None else None,
        better=better,
        worse=worse,
        style=(files / "style.css").read_text(encoding="utf-8"),
        script=(files / "script.js").read_text(encoding="utf-8"),
        data=_embedded(data(found)),
    )


def facts(subject: Subject) -> dict[str, str]:
    """What is known of a run, in a reader's words."""
    history, model, found = subject.history, subject.model, {}
    if subject.step is not None:
        found["checkpoint"] = f"step {subject.step:,}" + (f" of {history.steps:,}" if history.steps else "")
    if model is not None:
        c = model.config
        found["parameters"] = f"{count_parameters(c).total:,}"
        found["shape"] = f"{c.n_layers} layers, {c.n_heads} heads, width {c.d_model}"
    if history.steps:
        found["trained on"] = f"{history.training['tokens'][-1]:,} tokens" if history.training["tokens"][-1] else ""
    for key, label in (("loss", "validation loss"), ("perplexity", "perplexity"), ("bits_per_byte", "bits per byte")):
        scores = dict(zip(history.evaluations["step"], history.evaluations[key], strict=True))
        at = subject.step if subject.step in scores else max(scores, default=None)
        if at is not None and scores[at] is not None:
            found[label] = f"{scores[at]:.3f}" + ("" if at == subject.step else f" (at step {at:,})")
    return {label: words for label, words in found.items() if words}


def data(found: Found) -> dict[str, Any]:
    """What the page's script needs: the story, its expectations, the attention, the words' neighbours."""
    tokenizer, told = found.subject.tokenizer, {}
    if found.predictions is not None:
        told["story"] = _story(found.predictions, tokenizer)
    if found.attention is not None:
        told["attention"] = _attention(found.attention, tokenizer)
    if found.weights is not None and found.weights.near:
        told["near"] = {
            word: [[near, round(cosine, 2)] for near, cosine in some] for word, some in found.weights.near.items()
        }
    return told


def _story(found: Predictions, tokenizer: Tokenizer) -> list[dict[str, Any]]:
    reading, lens = found.reading, found.lens
    return [
        {
            "t": shown(tokenizer, int(token)),
            "loss": round(float(reading.losses[i]), 3),
            "rank": int(reading.ranks[i]) + 1,
            "top": [
                [shown(tokenizer, int(guess)), round(float(p), 4)]
                for guess, p in zip(reading.expected[i], reading.probabilities[i], strict=True)
            ],
            "lens": [
                [shown(tokenizer, int(lens.guesses[layer, i])), round(float(lens.probabilities[layer, i]), 3)]
                for layer in range(len(lens.guesses))
            ],
        }
        for i, token in enumerate(reading.tokens[1:])
    ]


def _attention(found: Attention, tokenizer: Tokenizer) -> dict[str, Any]:
    T = len(found.tokens)
    rows, columns = np.tril_indices(T)
    levels = np.rint(found.weights[:, :, rows, columns] * 255).astype(np.uint8)  # (L, H, T (T + 1) / 2)
    return {
        "tokens": [shown(tokenizer, int(token)) for token in found.tokens],
        "heads": [
            {"name": head.name, "role": head.role, "rise": round(head.loss_without or 0.0, 4)} for head in found.heads
        ],
        "levels": base64.b64encode(levels.tobytes()).decode("ascii"),
    }


def _shade(value: float, full: float) -> str:
    """How strongly a token is coloured, from 0 to 1, as CSS."""
    return f"{min(1.0, max(0.0, float(value) / full)):.2f}"


def _embedded(values: dict[str, Any]) -> str:
    """JSON that can stand inside a script element, whatever the stories hold."""
    text = json.dumps(values, ensure_ascii=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
