"""The scheduler: stories never mix, every user gets a turn, a user who leaves gives up the slot."""

from __future__ import annotations

import shutil
import time

import pytest

from talewright.errors import UserError
from talewright.generate.engine import Engine
from talewright.generate.sampling import Sampling
from talewright.server import scheduler as module
from talewright.server.scheduler import MAX_PROMPT, TIMEOUT, Generation


def request(user: str = "Ada", prompt: str = "Once", choice: str = "tales", **sampling: float) -> Generation:
    options = {"max_new_tokens": 12, **sampling}
    return Generation(user=user, choice=choice, prompt=prompt, sampling=Sampling(**options))  # pyright: ignore[reportArgumentType]


def wait(*generations: Generation, seconds: float = 200) -> None:
    """Polls until all are done, as a page does."""
    end = time.monotonic() + seconds
    while any(each.running for each in generations):
        assert time.monotonic() < end, [each.state for each in generations]
        for each in generations:
            each.polled = time.monotonic()
        time.sleep(0.01)


def test_stories_generated_in_turns_equal_those_generated_alone(make_scheduler, registry):
    scheduler = make_scheduler(slots=3)
    choices = ["tales", "tales · step 20"]
    generations = [
        request(f"v{i}", f"Once {i} dogs", choices[i % 2], seed=i, temperature=0.5 + i / 10) for i in range(12)
    ]
    for each in generations:
        scheduler.submit(each)
    wait(*generations)
    for each in generations:
        loaded = registry.load(each.choice)
        alone = Engine(loaded.model, loaded.tokenizer, notify=lambda message: None).generate(
            [each.prompt], each.sampling
        )[0]
        assert not each.error
        assert each.text == alone.text
        assert each.finished == alone.finished


def test_slots_are_limited_and_filled_in_the_order_of_submission(make_scheduler):
    scheduler = make_scheduler(slots=2)
    generations = [scheduler.submit(request(f"v{i}", max_new_tokens=400, seed=i)) for i in range(6)]
    most, began = 0, []
    end = time.monotonic() + 200
    while any(each.running for each in generations) and time.monotonic() < end:
        most = max(most, scheduler.counts()[0])
        for i, each in enumerate(generations):
            each.polled = time.monotonic()
            if each.state != "waiting" and i not in began:
                began.append(i)
        places = [place for each in generations if (place := scheduler.position(each))]
        assert places == sorted(places)
        time.sleep(0.002)
    assert began == sorted(began)
    assert len(began) == 6
    assert 1 <= most <= 2


def test_a_user_who_leaves_or_stops_frees_the_slot(make_scheduler):
    scheduler = make_scheduler(slots=1)
    gone, next_one = request("gone", max_new_tokens=100_000), request("next")
    scheduler.submit(gone)
    scheduler.submit(next_one)
    gone.polled -= TIMEOUT  # the first is no longer polled
    wait(next_one)
    assert next_one.tokens or next_one.finished
    assert gone.state == "done"
    assert len(gone.tokens) < 100_000
    stopped = scheduler.submit(request("stops", max_new_tokens=100_000))
    scheduler.leave("stops")
    wait(stopped)
    assert len(stopped.tokens) < 100_000


def test_a_full_queue_and_a_user_with_too_many_stories_are_refused(make_scheduler, monkeypatch):
    monkeypatch.setattr(module, "TIMEOUT", 10_000)
    scheduler = make_scheduler(slots=1, queue=3)
    long = [scheduler.submit(request("Ada", max_new_tokens=100_000)) for _ in range(2)]
    with pytest.raises(UserError, match="stop it first"):
        scheduler.submit(request("Ada"))
    refused = []
    for i in range(5):
        try:
            long.append(scheduler.submit(request(f"v{i}", max_new_tokens=100_000)))
        except UserError as error:
            refused.append(str(error))
    assert len(refused) in (3, 4)  # one more if the first of Ada's had no slot yet
    assert all(words.startswith("too many users") for words in refused)
    for each in long:
        each.stop()


def test_what_cannot_be_generated_is_an_error_without_a_path(make_scheduler, run):
    scheduler = make_scheduler()
    with pytest.raises(UserError, match=f"{MAX_PROMPT + 1:,} characters"):
        scheduler.submit(request(prompt="a" * (MAX_PROMPT + 1)))
    with pytest.raises(UserError, match=r"no run '../../etc' is offered here; there are tales"):
        scheduler.submit(request(choice="../../etc"))
    with pytest.raises(UserError, match="tales has no checkpoint '7'; it has best, last, 10, 20"):
        scheduler.submit(request(choice="tales · step 7"))
    lone = scheduler.submit(request(prompt="a \ud800 b"))
    wait(lone)
    assert lone.error
    assert "Traceback" not in lone.error
    shutil.rmtree(run)
    late = scheduler.submit(request())
    wait(late)
    assert late.error == "the run tales is gone: its folder was moved or deleted"


def test_a_story_continues_from_its_own_tokens(make_scheduler, registry):
    scheduler = make_scheduler()
    whole, first = request(temperature=0.0, max_new_tokens=10), request(temperature=0.0, max_new_tokens=4)
    wait(scheduler.submit(whole), scheduler.submit(first))
    rest = request(temperature=0.0, max_new_tokens=6)
    rest.prompt_tokens, rest.tokens = first.prompt_tokens, list(first.tokens)
    wait(scheduler.submit(rest))
    assert rest.tokens == whole.tokens
    ended = request()
    ended.prompt_tokens, ended.tokens = (
        first.prompt_tokens,
        [*first.tokens[:2], registry.load("tales").tokenizer.eos_id],
    )
    wait(scheduler.submit(ended))
    assert ended.finished
    assert ended.tokens == first.tokens[:2]


def test_more_than_the_context_is_generated_and_noted(make_scheduler):
    scheduler = make_scheduler()
    long = scheduler.submit(request(prompt="dog " * 10_000, max_new_tokens=60))
    wait(long)
    assert long.tokens
    assert "longer than the model's context" in " ".join(long.notes)
