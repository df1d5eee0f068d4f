"""Rendering: whatever a user or a model wrote is shown as text, never as HTML."""

from __future__ import annotations

import math
import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from talewright.generate.sampling import Sampling
from talewright.server.scheduler import Generation
from talewright.studio import rendering
from talewright.studio.session import StudioSession
from talewright.studio.word_probabilities import Alternative, WordProbability

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\0"), max_size=60) | st.sampled_from(
    ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "🐉🏳️‍🌈", "${1+1} {{x}}", "&lt;b&gt;", "'\"`"]
)


class Page(HTMLParser):
    """The tags of a page, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.text += data


@given(text=texts, continuation=texts)
def test_a_story_is_shown_as_it_is(text, continuation):
    page = Page(rendering.story(text, continuation))
    assert page.text == text + continuation
    assert set(page.tags) <= {"article", "p", "span"}


@given(text=texts, pieces=st.lists(texts.filter(bool), max_size=5), chosen=st.none() | st.integers(0, 4))
def test_words_and_alternatives_hold_no_tags_of_a_story(text, pieces, chosen):
    words = [
        WordProbability(
            start=i, text=piece, probability=0.5, alternatives=[Alternative(token=1, text=piece, probability=0.2)]
        )
        for i, piece in enumerate(pieces)
    ]
    page = Page(rendering.story_by_word(text, words, chosen) + rendering.alternatives(words, chosen))
    assert set(page.tags) <= {"article", "p", "span", "section", "h3", "ul", "li", "button"}
    assert not {name for name in page.attributes if name.startswith("on")}
    shown = Page(rendering.story_by_word(text, words, chosen)).text.replace("↵", "")
    assert shown == (text + "".join(pieces)).replace("↵", "")


@given(text=texts, kind=st.sampled_from(["", "busy", "error"]))
def test_the_other_lines_are_text_too(text, kind):
    assert Page(rendering.status(text, kind)).text == text
    past = Generation(user="Ada", choice="tales", prompt=text, sampling=Sampling(top_k=50))
    past.continuation = past.label = text
    session = StudioSession(stories={1: past})
    assert set(Page(rendering.past_stories(session)).tags) <= {
        "ol",
        "li",
        "details",
        "summary",
        "span",
        "p",
        "div",
        "button",
    }


@pytest.mark.parametrize(("nats", "shade"), [(0, 0), (0.6, 0.1), (3, 0.5), (6, 1), (9, 1)])
def test_a_shade_is_in_proportion_to_the_surprise_up_to_six_nats(nats, shade):
    word = WordProbability(start=0, text=" dog", probability=math.exp(-nats))
    shown = rendering.story_by_word("", [word], None)
    assert float(re.findall(r"--a:([0-9.]+)", shown)[0]) == pytest.approx(shade)
    assert f"{nats:.1f} nats" in shown


def test_two_tokens_of_one_word_are_joined_and_two_words_are_not():
    texts = [" te", "et", "er", "-", "totter", ".", " An", "na", "\n", "She"]
    words = [WordProbability(start=i, text=text, probability=0.5) for i, text in enumerate(texts)]
    shown = re.findall(r'class="word( joined)?" data-word="(\d+)"', rendering.story_by_word("fl", words, None))
    assert [int(number) for joined, number in shown if joined] == [1, 2, 7]
    first = rendering.story_by_word("fl", [WordProbability(start=0, text="at", probability=0.5)], None)
    assert "joined" in first  # the prompt ended within a word


def test_the_rest_of_the_probability_has_a_bar():
    others = [Alternative(token=1, text=" cat", probability=0.5), Alternative(token=2, text=" dog", probability=0.2)]
    shown = rendering.alternatives([WordProbability(start=0, text=" cat", probability=0.5, alternatives=others)], 0)
    [rest] = re.findall(r'<li class="other rest">.*?</li>', shown)
    assert "everything else" in rest
    assert "width:30.0%" in rest
    assert "30 %" in rest
