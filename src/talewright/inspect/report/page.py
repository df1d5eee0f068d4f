"""The report as one self-contained file: sections, charts, and the data of the interactive parts as JSON.

To add a section called `timeline`:

1. Add a field to `inspection.Inspection`, None by default, and fill it in `session`.
2. Write `sections/timeline.html.j2`, which holds `<section id="timeline"><h2>...</h2> ... </section>` between
   `{% if inspection.timeline %}` and `{% endif %}`. A section without content is left out, of the navigation too.
   After `{% from "macros.html.j2" import figure %}`, `{{ figure(panel) }}` is a card with a panel's chart or picture;
   `{{ chart(specification, label)|safe }}` is that of `look`.
3. Add its name and its link's text to SECTIONS, at its place on the page.
4. If it is interactive, add its data to `data`, and write `sections/timeline.js`: statements such as
   `if (data.timeline) { ... }` that use `data` and the helpers of script.js ($, percent, bars, heading, choosable).
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from talewright.errors import UserError
from talewright.files import error_reason, json_text, write_text_atomic
from talewright.inspect.alignment import largest_differences
from talewright.inspect.circuits.pushes import Pushes, part_label, strongest
from talewright.inspect.circuits.sentence import pairs_sentence, size_sentences
from talewright.inspect.figures.circuits import circuit_svg
from talewright.inspect.figures.style import to_svg
from talewright.inspect.figures.timeline import timeline_charts
from talewright.inspect.heads import ROLE_SHARE, ROLES
from talewright.inspect.inspection import AttentionInspection, Inspection, PredictionInspection
from talewright.inspect.report.facts import compared, facts
from talewright.inspect.sequences import display_token
from talewright.inspect.timeline_findings import moment
from talewright.look import chart, chart_script, page_style
from talewright.tokenizer import Tokenizer

SECTIONS = {
    "predictions": "What it expects",
    "circuits": "Which part does it",
    "timeline": "When did it learn it",
    "beside": "Side by side",
    "attention": "Attention",
    "neurons": "Neurons",
    "influence": "Influential stories",
    "words": "Word embeddings",
    "curves": "Training curves",
    "weights": "Weights",
}
"""The sections of the page in order, `sections/NAME.html.j2`, and their names in the navigation."""
PUSHES = 5
"""Parts that are listed for a token: those that pushed its score most, in either direction."""
FULL = 6.0
"""Loss, in nats, at which a token has the strongest color."""


def write_report(inspection: Inspection, path: Path) -> Path:
    """Write the report. Raises UserError if the file cannot be written."""
    page = render(inspection)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text_atomic(path, page)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error_reason(error)}") from None
    return path


def render(inspection: Inspection) -> str:
    """The whole page as text."""
    written = sections(inspection)
    has_charts = any('<figure class="chart"' in section for section in written.values())
    return (
        _environment()
        .get_template("page.html.j2")
        .render(
            inspection=inspection,
            sections=[(name, SECTIONS[name], section) for name, section in written.items()],
            facts=facts(inspection.model),
            comparison=compared(inspection.model, inspection.other) if inspection.other else None,
            style=f"{page_style()}\n{view_style()}",
            script=_file("script.js").replace("// SECTIONS", _section_scripts(SECTIONS)),
            chart_script=chart_script() if has_charts else "",
            data=_embedded(data(inspection)),
        )
    )


def sections(inspection: Inspection, names: Iterable[str] = SECTIONS) -> dict[str, str]:
    """The HTML of these sections, by name; those without content are left out. On another page, they need `view_style`
    and `view_script`.
    """

    def display(token: Any) -> str:
        return display_token(inspection.model.tokenizer, int(token))

    environment = _environment()
    environment.globals.update(
        svg=to_svg, chart=chart, display=display, shade=_shade, joint=_joint, roles=ROLES, zip=zip, FULL=FULL
    )
    spans = inspection.predictions.spans if inspection.predictions else None
    better, worse = largest_differences(spans or [])
    environment.globals.update(inspection=inspection, spans=spans, better=better, worse=worse)
    if inspection.timeline is not None:
        charts = timeline_charts(inspection.timeline)
        environment.globals.update(timeline_charts=charts, moment=moment, role_share=ROLE_SHARE)
    environment.globals.update(circuit_svg=circuit_svg, size_sentences=size_sentences, pairs_sentence=pairs_sentence)
    written = {name: environment.get_template(f"sections/{name}.html.j2").render().strip() for name in names}
    return {name: section for name, section in written.items() if section}


def view_style() -> str:
    """The style of the sections."""
    return _file("style.css")


def view_script(names: Iterable[str] = ()) -> str:
    """The helpers that draw (bars, heading, choosable ...), then the scripts of these sections: statements that need
    `data` (of `data`) and `$`, which finds an element by its id.
    """
    helpers = _file("script.js").split("// HELPERS", 1)[1].split("\n", 1)[1].split("// SECTIONS")[0]
    return f"{helpers}\n{_section_scripts(names)}"


def _environment() -> Any:
    from jinja2 import Environment, PackageLoader

    return Environment(loader=PackageLoader("talewright.inspect", "report"), autoescape=True, trim_blocks=True)


def _file(name: str) -> str:
    """A file of this package."""
    return (resources.files("talewright.inspect") / "report" / name).read_text(encoding="utf-8")


def _section_scripts(names: Iterable[str]) -> str:
    folder = resources.files("talewright.inspect") / "report" / "sections"
    return "\n".join(_file(f"sections/{name}.js") for name in names if (folder / f"{name}.js").is_file())


def data(inspection: Inspection) -> dict[str, Any]:
    """What the page's script needs: the story's predictions, the attention patterns, the words' neighbors."""
    tokenizer, values = inspection.model.tokenizer, {}
    if inspection.predictions is not None:
        values["story"] = _story(inspection.predictions, tokenizer)
        if inspection.predictions.pushes is not None:
            values["pushes"] = _strongest_pushes(inspection.predictions.pushes)
    if inspection.attention is not None:
        values["attention"] = _attention(inspection.attention, tokenizer)
    if inspection.weights is not None and inspection.weights.neighbors:
        neighbors = inspection.weights.neighbors.items()
        values["near"] = {word: [[other, round(cosine, 2)] for other, cosine in near] for word, near in neighbors}
    return values


def _story(predictions: PredictionInspection, tokenizer: Tokenizer) -> list[dict[str, Any]]:
    lens = predictions.lens

    def pairs(tokens: np.ndarray, probabilities: np.ndarray, digits: int) -> list[list[Any]]:
        both = zip(tokens.tolist(), probabilities.tolist(), strict=True)
        return [[display_token(tokenizer, token), round(p, digits)] for token, p in both]

    return [
        {
            "t": display_token(tokenizer, int(target)),
            "loss": round(float(loss), 3),
            "rank": int(rank) + 1,
            "top": pairs(top, probabilities, 4),
            "lens": pairs(lens.top_tokens[:, i], lens.top_probabilities[:, i], 3),
        }
        for i, (target, loss, rank, top, probabilities) in enumerate(zip(*predictions.tokens, strict=True))
    ]


def _strongest_pushes(pushes: Pushes) -> list[dict[str, Any]]:
    """By token of the story: the part that pushed its score up most, the one that held it back most, and the strongest
    pushes.
    """
    found = []
    for position, row in enumerate(pushes.values.astype(float)):
        up, down = ((part, round(value, 3)) for part, value in strongest(pushes, position))
        largest = sorted(range(len(row)), key=lambda i, row=row: -abs(row[i]))[:PUSHES]
        bars = [(part_label(pushes.names[i]), round(float(row[i]), 3)) for i in largest]
        found.append({"up": up if up[1] > 0 else None, "down": down if down[1] < 0 else None, "top": bars})
    return found


def _attention(attention: AttentionInspection, tokenizer: Tokenizer) -> dict[str, Any]:
    rows, columns = np.tril_indices(len(attention.tokens))
    levels = np.rint(attention.patterns[:, :, rows, columns] * 255).astype(np.uint8)  # (L, H, T (T + 1) / 2)
    return {
        "tokens": [display_token(tokenizer, int(token)) for token in attention.tokens],
        "heads": [
            {"name": head.name, "role": head.role, "rise": round(head.loss_without or 0.0, 4)}
            for head in attention.heads
        ],
        "levels": base64.b64encode(levels.tobytes()).decode("ascii"),
    }


def _shade(value: float, full: float) -> str:
    """How strongly a token is colored, from 0 to 1, as CSS."""
    return f"{min(1.0, max(0.0, float(value) / full)):.2f}"


def _joint(before: str, token: str) -> bool:
    """Whether a token continues the word of the token before it."""
    return before[-1:].isalnum() and token[:1].isalnum()


def _embedded(values: dict[str, Any]) -> str:
    """JSON that can stand inside a script element, whatever the stories hold."""
    text = json_text(values, ensure_ascii=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
