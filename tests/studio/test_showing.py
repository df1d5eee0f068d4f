"""What is shown is text: whatever a visitor or a model wrote, no tag of it becomes one."""

from __future__ import annotations

from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from talewright.generate.sampling import Sampling
from talewright.studio import showing
from talewright.studio.visit import LETTERS, STORIES, Told, Visit
from talewright.studio.words import Alternative, Word

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


def told(text: str, continuation: str, number: int = 1) -> Told:
    return Told(
        number=number,
        choice="tales",
        about="tales, step 1",
        text=text,
        continuation=continuation,
        given=[],
        told=[1],
        part=0,
        sampling=Sampling(top_k=50),
        finished=False,
        notes=[],
    )


@given(text=texts, continuation=texts)
def test_a_story_is_shown_as_it_is(text, continuation):
    page = Page(showing.story(text, continuation))
    assert page.text == text + continuation
    assert set(page.tags) <= {"article", "p", "span"}


@given(text=texts, pieces=st.lists(texts.filter(bool), max_size=5), chosen=st.none() | st.integers(0, 4))
def test_words_and_alternatives_hold_no_tags_of_a_story(text, pieces, chosen):
    words = [
        Word(start=i, text=piece, probability=0.5, alternatives=[Alternative(token=1, text=piece, probability=0.2)])
        for i, piece in enumerate(pieces)
    ]
    page = Page(showing.story_by_word(told(text, ""), words, chosen) + showing.alternatives(words, chosen))
    assert set(page.tags) <= {"article", "p", "span", "section", "h3", "ul", "li", "button"}
    assert not {name for name in page.attributes if name.startswith("on")}
    shown = Page(showing.story_by_word(told(text, ""), words, chosen)).text.replace("↵", "")
    assert shown == (text + "".join(pieces)).replace("↵", "")


@given(text=texts, kind=st.sampled_from(["", "busy", "error"]))
def test_the_other_lines_are_text_too(text, kind):
    assert Page(showing.status(text, kind)).text == text
    visit = Visit(stories=[told(text, text)])
    assert set(Page(showing.past(visit)).tags) <= {"ol", "li", "details", "summary", "span", "p", "div", "button"}


def test_a_visit_forgets_its_oldest_stories():
    from talewright.studio.telling import Telling

    class Opened:
        about, choice = "tales, step 1", "tales · step 1"

        class tokenizer:  # noqa: N801
            token_bytes = (b"", b" dog")

    visit = Visit()
    telling = Telling(visitor="Ada", choice="tales", text="", sampling=Sampling())
    for number in range(STORIES + 5):
        telling = Telling(visitor="Ada", choice="tales", text=f"{number}", sampling=Sampling())
        telling.given, telling.told, telling.state, telling.opened = [], [1], "done", Opened  # pyright: ignore
        visit.keep(telling)
    assert [story.text for story in visit.stories] == [str(n) for n in range(5, STORIES + 5)]
    assert visit.current is visit.stories[-1]
    telling.text = "x" * LETTERS
    visit.keep(telling)
    assert len(visit.stories) == 1


def test_a_visitor_who_only_reads_keeps_no_model_open():
    from talewright.studio.telling import Telling

    visit, one, two = Visit(), *(Telling(visitor="Ada", choice="tales", text="") for _ in range(2))
    visit.telling, visit.compared = one, [two]
    assert visit.busy
    visit.stop()
    assert one.stopped
    assert two.stopped
    visit.forget(two)
    assert visit.telling is one
    visit.forget(one)
    assert (visit.telling, visit.compared, visit.busy) == (None, [], False)
