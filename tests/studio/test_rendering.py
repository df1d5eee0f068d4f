"""Rendering: whatever a user or a model wrote is shown as text, never as HTML."""

from __future__ import annotations

from html.parser import HTMLParser

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
