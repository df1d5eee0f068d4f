"""HTML of stories, words, alternatives and states. All text comes from a user or a model, and is escaped here."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from talewright.generate.sampling import Sampling
from talewright.studio.session import StudioSession
from talewright.studio.word_probabilities import WordProbability

FULL = 6.0
"""Surprise, in nats, at which a word has the strongest shade."""
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


def state(text: str, kind: str = "") -> str:
    """The state of one of several stories, below it."""
    return f'<p class="status {kind}">{escape(text)}</p>'


def story_head(model: str, by_word: bool) -> str:
    """Above a story: its model, and the toggle that shows it word by word, with the legend of the shades."""
    legend = (
        f'<p class="surprise">Surprise: 0 <span class="scale" aria-hidden="true"></span> {FULL:g} nats. Choose a word '
        "to see what else might have stood there.</p>"
    )
    return (
        f'<div class="story-head"><span class="chip">{escape(model)}</span>'
        f'<button type="button" class="toggle" data-toggle="1" aria-pressed="{str(by_word).lower()}">Word by word'
        f"</button></div>{legend if by_word else ''}"
    )


def story_by_word(prompt: str, words: Sequence[WordProbability], chosen: int | None) -> str:
    """A story with words to choose, shaded by their surprise. It is one tab stop: arrow keys move inside."""
    before, pieces = prompt, []
    for number, word in enumerate(words):
        joined = before[-1:].isalnum() and word.text[:1].isalnum()
        pieces.append(_word(number, word, joined, (chosen or 0, chosen)))
        before = word.text
    return (
        '<article class="story words" aria-label="The story, word by word"><p>'
        f'{_prompt(prompt)}<span role="group" aria-label="Generated words: arrow keys move, Enter shows the '
        f'alternatives">{"".join(pieces)}</span></p></article>'
    )


def _prompt(text: str) -> str:
    return f'<span class="given">{escape(text)}</span>' if text else ""


def _word(number: int, word: WordProbability, joined: bool, stop_and_chosen: tuple[int, int | None]) -> str:
    """Only the visible part of a word is a button; the spaces and line breaks around it stay outside. `joined`: it
    goes on with the word before it, as the second of two tokens.
    """
    seen, (tab_stop, chosen) = word.text.strip(), stop_and_chosen
    before, _, after = word.text.partition(seen) if seen else ("", "", word.text)
    share = f"{percent(word.probability)}, {nats(word.probability)}"
    return (
        f'{escape(before)}<span role="button" class="word{" joined" if joined else ""}" data-word="{number}" '
        f'style="--a:{shade(word.probability):.2f}" tabindex="{0 if number == tab_stop else -1}" '
        f'aria-pressed="{str(number == chosen).lower()}" aria-label="{escape(seen or "a new line")}, {share}" '
        f'title="{share}">{escape(seen) or "↵"}</span>{escape(after)}'
    )


def shade(probability: float) -> float:
    """How strong a word's shade is, from 0 to 1: in proportion to its surprise, up to FULL nats."""
    return min(1.0, max(0.0, -math.log(max(probability, 1e-9)) / FULL))


def nats(probability: float) -> str:
    """The surprise of a word, -log of its probability."""
    return f"{abs(math.log(max(probability, 1e-9))):.1f} nats"


def alternatives(words: Sequence[WordProbability], chosen: int | None) -> str:
    """The alternatives to a word, each to be chosen, and a bar for the rest of the probability."""
    if chosen is None or not 0 <= chosen < len(words):
        return ""
    word = words[chosen]
    rows = []
    for each in word.alternatives:
        name = visible(each.text) if each.text else "the end of the story"
        rows.append(
            f'<li><button type="button" class="other" data-word="{chosen}" data-token="{each.token}">'
            f"{_share(name, each.probability)}</button></li>"
        )
    rest = 1 - sum(each.probability for each in word.alternatives)
    rows.append(f'<li class="other rest">{_share("everything else", max(0.0, rest))}</li>')
    return (
        f'<section class="others" aria-label="Alternatives"><h3>“{escape(visible(word.text))}” had '
        f"{percent(word.probability)}, a surprise of {nats(word.probability)}. The most probable here:</h3>"
        f'<ul>{"".join(rows)}</ul><p class="hint">Choose one to continue the story from there. These are the model’s '
        "own probabilities, before temperature, top-k and top-p.</p></section>"
    )


def _share(name: str, probability: float) -> str:
    """A name, a bar and a percentage."""
    return (
        f'<span class="name">{escape(name)}</span><span class="bar" aria-hidden="true">'
        f'<span style="width:{100 * probability:.1f}%"></span></span>'
        f'<span class="share">{percent(probability)}</span>'
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
