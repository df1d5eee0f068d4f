"""What is shown, as HTML: stories, words, what else might have come, states. All text is a visitor's or a model's, and
is escaped here.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from talewright.studio.visit import Told, Visit
from talewright.studio.words import Word

SUMMARY = 60
"""Letters of a past story that its heading shows."""


def story(text: str, continuation: str, busy: bool = False, label: str = "The story") -> str:
    """A story to read; what the visitor wrote is set apart."""
    caret = '<span class="caret" aria-hidden="true"></span>' if busy else ""
    given = f'<span class="given">{escape(text)}</span>' if text else ""
    return (
        f'<article class="story" aria-label="{escape(label)}" aria-busy="{str(busy).lower()}">'
        f"<p>{given}{escape(continuation)}{caret}</p></article>"
    )


def empty(words: str) -> str:
    return f'<article class="story empty"><p>{escape(words)}</p></article>'


def status(words: str, kind: str = "") -> str:
    """The line that a screen reader speaks when it changes. kind: "", "busy" or "error"."""
    return f'<p class="status {kind}" role="status">{escape(words)}</p>'


def story_by_word(told: Told, words: Sequence[Word], chosen: int | None) -> str:
    """A story whose words can be chosen, the unlikely ones marked. One stop of the Tab key: arrows move inside."""
    pieces = []
    for number, word in enumerate(words):
        here = number == (0 if chosen is None else chosen)
        pieces.append(_word(number, word, here, number == chosen))
    given = f'<span class="given">{escape(told.text)}</span>' if told.text else ""
    return (
        '<article class="story words" aria-label="The story, word by word"><p>'
        f'{given}<span role="group" aria-label="What was told: arrow keys move, Enter shows what else '
        f'might have come">{"".join(pieces)}</span></p></article>'
    )


def _word(number: int, word: Word, tab_stop: bool, chosen: bool) -> str:
    """What is seen of a word can be pressed; the spaces and line ends around it stay outside."""
    seen = word.text.strip()
    before, _, after = word.text.partition(seen) if seen else ("", "", word.text)
    shade = min(4, int((1 - word.probability) * 5))
    label = f"{seen or 'a new line'}, {percent(word.probability)}"
    return (
        f'{escape(before)}<span role="button" class="word shade{shade}" data-word="{number}" '
        f'tabindex="{0 if tab_stop else -1}" aria-pressed="{str(chosen).lower()}" aria-label="{escape(label)}" '
        f'title="{percent(word.probability)}">{escape(seen) or "↵"}</span>{escape(after)}'
    )


def alternatives(words: Sequence[Word], chosen: int | None) -> str:
    """What else might have come at a word, each to be chosen."""
    if chosen is None or not 0 <= chosen < len(words):
        return (
            '<p class="hint">Press a word to see how likely it was to the model, and what else might have come. '
            "The darker a word, the less it was expected.</p>"
        )
    word = words[chosen]
    rows = []
    for each in word.alternatives:
        name = visible(each.text) if each.text else "the end of the story"
        wide = max(1.0, 100 * each.probability)
        rows.append(
            f'<li><button type="button" class="other" data-word="{chosen}" data-token="{each.token}">'
            f'<span class="name">{escape(name)}</span><span class="bar" aria-hidden="true">'
            f'<span style="width:{wide:.1f}%"></span></span><span class="share">{percent(each.probability)}</span>'
            "</button></li>"
        )
    return (
        f'<section class="others" aria-label="What else might have come"><h3>Told: “{escape(visible(word.text))}”, '
        f"{percent(word.probability)} likely. The model expected:</h3><ul>{''.join(rows)}</ul>"
        '<p class="hint">Choose one, and the story goes on from there. These are the model’s own probabilities, before '
        "temperature, top-k and top-p.</p></section>"
    )


def past(visit: Visit) -> str:
    """The stories of the visit, the newest first."""
    if not visit.stories:
        return '<p class="hint">Stories that you have been told will stand here, until you leave the page.</p>'
    rows = []
    for told in reversed(visit.stories):
        first = " ".join(told.whole.split())
        heading = first[:SUMMARY] + ("…" if len(first) > SUMMARY else "")
        now = ' aria-current="true"' if told is visit.current else ""
        rows.append(
            f'<li{now}><details><summary><span class="number">{told.number}</span> {escape(heading)}</summary>'
            f'<p class="whole" id="story-{told.number}">{escape(told.whole)}</p>'
            f'<p class="hint">{escape(told.about)}; {escape(how(told))}</p></details>'
            f'<div class="keys" role="group" aria-label="Story {told.number}">'
            f'<button type="button" data-open="{told.number}">Show</button>'
            f'<button type="button" data-copy="story-{told.number}">Copy</button>'
            f'<button type="button" data-save="story-{told.number}">Save</button></div></li>'
        )
    return f'<ol class="past" aria-label="Stories of this visit">{"".join(rows)}</ol>'


def how(told: Told) -> str:
    """The settings of a story in a few words."""
    s = told.sampling
    words = [f"temperature {s.temperature:g}", f"top-k {s.top_k}"]
    if s.top_p is not None and s.top_p < 1:
        words.append(f"top-p {s.top_p:g}")
    if s.repetition_penalty != 1:
        words.append(f"repetition penalty {s.repetition_penalty:g}")
    return ", ".join([*words, f"seed {s.seed}"])


def percent(share: float) -> str:
    """A probability for a reader: "62 %", "0.4 %"."""
    hundred = 100 * share
    if hundred < 0.05:
        return "under 0.1 %"
    return f"{hundred:.0f} %" if hundred >= 9.95 else f"{hundred:.1f} %"


def visible(text: str) -> str:
    """A token's text with what cannot be seen spelled out."""
    return text.strip() or ("a new line" if "\n" in text else "a space")
