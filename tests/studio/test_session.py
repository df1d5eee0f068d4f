"""The session of a user: which stories it keeps, and that it stops those in progress."""

from __future__ import annotations

import time

from talewright.server.registry import LoadedModel
from talewright.server.scheduler import Generation
from talewright.studio.session import MAX_CHARACTERS, MAX_STORIES, StudioSession


def generated(prompt: str) -> Generation:
    story = Generation(user="Ada", choice="tales · step 1", prompt=prompt)
    story.tokens, story.continuation, story.label, story.state = [1], " dog", "tales, step 1", "done"
    return story


def test_a_session_drops_its_oldest_stories():
    session = StudioSession()
    for number in range(MAX_STORIES + 5):
        session.keep(generated(f"{number}"))
    assert [story.prompt for story in session.stories.values()] == [str(n) for n in range(5, MAX_STORIES + 5)]
    assert list(session.stories) == list(range(6, MAX_STORIES + 6))
    assert session.story is session.stories[MAX_STORIES + 5]
    session.keep(generated("x" * MAX_CHARACTERS))
    assert len(session.stories) == 1


def test_a_story_without_a_word_is_not_kept():
    session, empty = StudioSession(), generated("Once")
    empty.tokens = []
    session.keep(empty)
    assert not session.stories
    empty.finished = True  # the model ended it at once
    session.keep(empty)
    assert not session.stories
    unloaded = Generation(user="Ada", choice="tales", prompt="Once", tokens=[1])
    session.keep(unloaded)
    assert not session.stories


def test_stop_reaches_every_story_in_progress():
    one, two = (Generation(user="Ada", choice="tales", prompt="") for _ in range(2))
    session = StudioSession(generating=one, compared=[two])
    session.stop()
    assert one.stopped
    assert two.stopped


def test_a_kept_story_holds_no_model(make_scheduler):
    """Otherwise each session would keep models in memory that nobody uses."""
    scheduler = make_scheduler()
    story = scheduler.submit(Generation(user="Ada", choice="tales", prompt="Once"))
    while story.running:
        story.polled = time.monotonic()
        time.sleep(0.01)
    assert story.tokens or story.finished
    assert not [value for value in vars(story).values() if isinstance(value, LoadedModel)]
