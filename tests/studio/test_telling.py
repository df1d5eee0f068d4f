"""The desk: nobody's story is mixed with another's, everybody's turn comes, who leaves gives up his place."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest

from talewright.errors import UserError
from talewright.generate.engine import Engine
from talewright.generate.sampling import Sampling
from talewright.studio import library as library_module
from talewright.studio import telling as module
from talewright.studio.library import Library
from talewright.studio.telling import LEFT, LONGEST, Telling


def asked(visitor: str = "Ada", text: str = "Once", choice: str = "tales", **sampling: float) -> Telling:
    options = {"max_new_tokens": 12, **sampling}
    return Telling(visitor=visitor, choice=choice, text=text, sampling=Sampling(**options))  # pyright: ignore[reportArgumentType]


def wait(*tellings: Telling, seconds: float = 200) -> None:
    """As a page does: asks until all are told."""
    end = time.monotonic() + seconds
    while any(each.running for each in tellings):
        assert time.monotonic() < end, [each.state for each in tellings]
        for each in tellings:
            each.asked = time.monotonic()
        time.sleep(0.01)


def test_stories_told_in_turns_are_what_each_would_be_alone(make_desk, library):
    desk = make_desk(seats=3)
    choices = ["tales", "tales · step 20"]
    tellings = [asked(f"v{i}", f"Once {i} dogs", choices[i % 2], seed=i, temperature=0.5 + i / 10) for i in range(12)]
    for each in tellings:
        desk.ask(each)
    wait(*tellings)
    for each in tellings:
        opened = library.open(each.choice)
        alone = Engine(opened.model, opened.tokenizer, notify=lambda words: None).generate([each.text], each.sampling)[
            0
        ]
        assert not each.error
        assert each.text + each.continuation == alone.text
        assert each.finished == alone.finished


def test_seats_are_few_and_given_in_the_order_of_asking(make_desk):
    desk = make_desk(seats=2)
    tellings = [desk.ask(asked(f"v{i}", max_new_tokens=400, seed=i)) for i in range(6)]
    most, began = 0, []
    end = time.monotonic() + 200
    while any(each.running for each in tellings) and time.monotonic() < end:
        most = max(most, desk.busy()[0])
        for i, each in enumerate(tellings):
            each.asked = time.monotonic()
            if each.state != "waiting" and i not in began:
                began.append(i)
        places = [place for each in tellings if (place := desk.place(each))]
        assert places == sorted(places)
        time.sleep(0.002)
    assert began == sorted(began)
    assert len(began) == 6
    assert 1 <= most <= 2


def test_who_leaves_or_stops_frees_his_seat(make_desk):
    desk = make_desk(seats=1)
    gone, next_one = asked("gone", max_new_tokens=100_000), asked("next")
    desk.ask(gone)
    desk.ask(next_one)
    gone.asked -= LEFT  # nobody asks for the first any more
    wait(next_one)
    assert next_one.told or next_one.finished
    assert gone.state == "done"
    assert len(gone.told) < 100_000
    stopped = desk.ask(asked("stops", max_new_tokens=100_000))
    desk.leave("stops")
    wait(stopped)
    assert len(stopped.told) < 100_000


def test_a_crowd_and_a_greedy_visitor_are_told_so(make_desk, monkeypatch):
    monkeypatch.setattr(module, "LEFT", 10_000)
    desk = make_desk(seats=1, queue=3)
    long = [desk.ask(asked("Ada", max_new_tokens=100_000)) for _ in range(2)]
    with pytest.raises(UserError, match="stop it first"):
        desk.ask(asked("Ada"))
    refused = []
    for i in range(5):
        try:
            long.append(desk.ask(asked(f"v{i}", max_new_tokens=100_000)))
        except UserError as error:
            refused.append(str(error))
    assert len(refused) in (3, 4)  # one more where the first of Ada's was not yet seated
    assert all(words.startswith("very many visitors") for words in refused)
    for each in long:
        each.stop()


def test_what_cannot_be_told_is_said_in_a_sentence_without_a_path(make_desk, run):
    desk = make_desk()
    with pytest.raises(UserError, match=f"{LONGEST + 1:,} letters"):
        desk.ask(asked(text="a" * (LONGEST + 1)))
    with pytest.raises(UserError, match=r"no run '../../etc' is offered here; there are tales"):
        desk.ask(asked(choice="../../etc"))
    missing = desk.ask(asked(choice="tales · step 7"))
    wait(missing)
    assert "has no checkpoint 7" in missing.error
    assert str(run.parent) not in missing.error
    lone = desk.ask(asked(text="a \ud800 b"))
    wait(lone)
    assert lone.error
    assert "Traceback" not in lone.error
    shutil.rmtree(run)
    late = desk.ask(asked())
    wait(late)
    assert late.error == "the run tales is gone: its folder was moved or deleted while the page was open"


def test_a_story_goes_on_from_its_own_tokens(make_desk, library):
    desk = make_desk()
    whole, first = asked(temperature=0.0, max_new_tokens=10), asked(temperature=0.0, max_new_tokens=4)
    wait(desk.ask(whole), desk.ask(first))
    rest = asked(temperature=0.0, max_new_tokens=6)
    rest.given, rest.told = first.given, list(first.told)
    wait(desk.ask(rest))
    assert rest.told == whole.told
    ended = asked()
    ended.given, ended.told = first.given, [*first.told[:2], library.open("tales").tokenizer.eos_id]
    wait(desk.ask(ended))
    assert ended.finished
    assert ended.told == first.told[:2]


def test_more_than_the_context_is_told_and_noted(make_desk):
    desk = make_desk()
    long = desk.ask(asked(text="dog " * 10_000, max_new_tokens=60))
    wait(long)
    assert long.told
    assert "longer than the model's context" in " ".join(long.notes)


def test_a_checkpoint_half_written_is_not_seen(library: Library, run):
    before = library.choices()
    (run / "checkpoints" / ".step-30.partial").mkdir()
    (run / "checkpoints" / ".step-30.partial" / "model.safetensors").write_bytes(b"half")
    assert library.choices() == before == ["tales", "tales · step 20", "tales · step 10"]
    assert library.open("tales").step == 10
    (run / "checkpoints" / "step-20" / "model.safetensors").write_bytes(b"half")
    with pytest.raises(UserError, match="damaged") as told:
        library.open("tales · step 20")
    assert str(run.parent) not in str(told.value)


def test_a_checkpoint_cleared_away_while_it_is_read_gives_way_to_the_next(library: Library, run, monkeypatch):
    read = library_module.load_model

    def cleared_once(checkpoint, model):
        monkeypatch.setattr(library_module, "load_model", read)
        shutil.rmtree(run / "checkpoints" / "step-10")
        (run / "checkpoints" / "best").write_text("step-20\n")
        return read(checkpoint, model)

    monkeypatch.setattr(library_module, "load_model", cleared_once)
    opened = library.open("tales")
    assert opened.step == 20


def test_few_models_stay_open(library: Library, monkeypatch):
    monkeypatch.setattr("talewright.studio.library.KEPT", 1)
    first = library.open("tales · step 10")
    assert library.open("tales") is first  # the best one is step 10
    library.open("tales · step 20")
    assert library.open("tales") is not first


def test_two_that_differ_are_offered_to_compare(run, tmp_path):
    assert Library([run]).pair() == ("tales", "tales · step 20")  # the best is step 10
    other = Path(shutil.copytree(run, tmp_path / "other"))
    assert Library([run, other]).pair() == ("tales", "other")
    shutil.rmtree(other / "checkpoints")
    assert Library([other]).pair() == ("other", "other")
