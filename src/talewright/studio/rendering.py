"""HTML of stories, words, alternatives and states. All text comes from a user or a model, and is escaped here."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from talewright.generate.sampling import Sampling
from talewright.studio.session import StudioSession
from talewright.studio.word_probabilities import WordProbability

SUMMARY = 60
"""Characters of a past story in its heading."""


def story(prompt: str, continuation: str, busy: bool = False, label: str = "The story") -> str:
    """A story to read, its prompt set apart."""
    caret = '<span class="caret" aria-hidden="true"></span>' if busy else ""
    return (
        f'<article class="story" aria-label="{escape(label)}" aria-busy="{str(busy).lower()}">'
        f"<p>{_prompt(prompt)}{escape(continuation)}{caret}</p></article>"
    )


def placeholder(text: str) -> str:
    """A sentence in place of a story."""
    return f'<article class="story empty"><p>{escape(text)}</p></article>'


def status(text: str, kind: str = "") -> str:
    """The line that a screen reader reads out when it changes. kind: "", "busy" or "error"."""
    return f'<p class="status {kind}" role="status">{escape(text)}</p>'


def story_by_word(prompt: str, words: Sequence[WordProbability], chosen: int | None) -> str:
    """A story with words to choose, the improbable ones shaded. It is one tab stop: arrow keys move inside."""
    pieces = [_word(number, word, number == (chosen or 0), number == chosen) for number, word in enumerate(words)]
    return (
        '<article class="story words" aria-label="The story, word by word"><p>'
        f'{_prompt(prompt)}<span role="group" aria-label="Generated words: arrow keys move, Enter shows the '
        f'alternatives">{"".join(pieces)}</span></p></article>'
    )


def _prompt(text: str) -> str:
    return f'<span class="given">{escape(text)}</span>' if text else ""


def _word(number: int, word: WordProbability, tab_stop: bool, chosen: bool) -> str:
    """Only the visible part of a word is a button; the spaces and line breaks around it stay outside."""
    seen = word.text.strip()
    before, _, after = word.text.partition(seen) if seen else ("", "", word.text)
    shade = min(4, int((1 - word.probability) * 5))
    label = f"{seen or 'a new line'}, {percent(word.probability)}"
    return (
        f'{escape(before)}<span role="button" class="word shade{shade}" data-word="{number}" '
        f'tabindex="{0 if tab_stop else -1}" aria-pressed="{str(chosen).lower()}" aria-label="{escape(label)}" '
        f'title="{percent(word.probability)}">{escape(seen) or "↵"}</span>{escape(after)}'
    )


def alternatives(words: Sequence[WordProbability], chosen: int | None) -> str:
    """The alternatives to a word, each to be chosen."""
    if chosen is None or not 0 <= chosen < len(words):
        return (
            '<p class="hint">Choose a word to see its probability and the alternatives. '
            "The darker a word, the less probable it was.</p>"
        )
    word = words[chosen]
    rows = []
    for each in word.alternatives:
        name = visible(each.text) if each.text else "the end of the story"
        rows.append(
            f'<li><button type="button" class="other" data-word="{chosen}" data-token="{each.token}">'
            f'<span class="name">{escape(name)}</span><span class="bar" aria-hidden="true">'
            f'<span style="width:{max(1.0, 100 * each.probability):.1f}%"></span></span>'
            f'<span class="share">{percent(each.probability)}</span></button></li>'
        )
    return (
        f'<section class="others" aria-label="Alternatives"><h3>“{escape(visible(word.text))}” had '
        f"{percent(word.probability)}. The most probable words here:</h3><ul>{''.join(rows)}</ul>"
        '<p class="hint">Choose one to continue the story from there. These are the model’s own probabilities, before '
        "temperature, top-k and top-p.</p></section>"
    )


def past_stories(session: StudioSession) -> str:
    """The stories of the session, newest first."""
    if not session.stories:
        return '<p class="hint">Your stories are listed here until you leave the page.</p>'
    rows = [_past_story(number, session) for number in reversed(session.stories)]
    return f'<ol class="past" aria-label="Your stories">{"".join(rows)}</ol>'


def _past_story(number: int, session: StudioSession) -> str:
    generation = session.stories[number]
    line = " ".join(generation.text.split())
    heading = line[:SUMMARY] + ("…" if len(line) > SUMMARY else "")
    current = ' aria-current="true"' if number == session.current else ""
    return (
        f'<li{current}><details><summary><span class="number">{number}</span> {escape(heading)}</summary>'
        f'<p class="whole" id="story-{number}">{escape(generation.text)}</p>'
        f'<p class="hint">{escape(generation.label)}; {escape(settings(generation.sampling))}</p></details>'
        f'<div class="keys" role="group" aria-label="Story {number}">'
        f'<button type="button" data-open="{number}">Show</button>'
        f'<button type="button" data-copy="story-{number}">Copy</button>'
        f'<button type="button" data-save="story-{number}">Save</button></div></li>'
    )


def settings(s: Sampling) -> str:
    """The sampling settings in a few words."""
    words = [f"temperature {s.temperature:g}"]
    if s.top_k is not None:
        words.append(f"top-k {s.top_k}")
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
    """A token's text, with invisible text described."""
    return text.strip() or ("a new line" if "\n" in text else "a space")
