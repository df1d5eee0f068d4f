"""When a run is evaluated, what that costs its budget, and what is said when the validation loss rises."""

from __future__ import annotations

import dataclasses
import io
import itertools
import json
import math
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from talewright.config import Recipe, TrainConfig
from talewright.data import Corpus
from talewright.evaluate.likelihood import Likelihood, score_stories
from talewright.model.gpt import GPT
from talewright.run.checkpoint import TrainState
from talewright.run.log import read_log
from talewright.train.distributed import launch
from talewright.train.hooks import Callbacks, Hooks
from talewright.train.loop import fit
from talewright.train.overfitting import OverfittingMonitor
from talewright.train.progress import TrainingProgress
from talewright.train.schedule import EVALUATIONS, Budget
from talewright.train.signals import StopSignal
from tests.train.conftest import batches_of, train_small

BUDGETS = st.one_of(
    st.fixed_dictionaries({"max_steps": st.integers(20, 400)}),
    st.fixed_dictionaries({"max_tokens": st.integers(64 * 20, 64 * 400)}),
    st.fixed_dictionaries({"max_minutes": st.floats(1.0, 5.0)}),
    st.fixed_dictionaries({"max_minutes": st.floats(1.0, 5.0), "max_steps": st.integers(20, 400)}),
)


def evaluated_steps(train: TrainConfig, step_seconds: float, interrupted_at: int | None = None) -> list[int]:
    """The steps that a run evaluates on a clock of its own; from `interrupted_at` on, by its saved state alone."""
    budget, steps = Budget.of(train, 100, sequence_length=16), []

    def hooks(state: TrainState) -> Hooks:
        made = object.__new__(Hooks)
        score = SimpleNamespace(loss=1.0)
        made.state, made.train, made.callbacks = state, dataclasses.replace(train, prompts=()), cast(Any, None)
        made.trainer = cast(Any, SimpleNamespace(budget=budget, fabric=SimpleNamespace(world_size=1)))
        made.score = lambda: cast(Any, score)
        logged = {"log_evaluation": lambda state, *_: steps.append(state.step), "log_activity": lambda _: None}
        made.metrics = cast(Any, SimpleNamespace(**logged))
        return made

    own, stop = hooks(TrainState()), StopSignal()
    own.evaluate(stop)
    while not budget.spent(own.state.step, own.state.seconds):
        own.state.step += 1
        own.state.seconds += step_seconds
        own.evaluate(stop)
        if own.state.step == interrupted_at:
            own = hooks(TrainState(**dataclasses.asdict(own.state)))
            own.evaluate(stop)
    return steps


@given(budget=BUDGETS, step_seconds=st.floats(0.1, 2.0), interrupted_at=st.integers(1, 100))
def test_a_run_is_evaluated_untrained_at_its_end_and_at_moments_spread_evenly(budget, step_seconds, interrupted_at):
    train = TrainConfig(micro_batch=4, **budget)
    steps = evaluated_steps(train, step_seconds)
    *gaps, last = [after - before for before, after in itertools.pairwise(steps)]
    assert steps[0] == 0
    assert 11 <= len(steps) <= EVALUATIONS + 2  # if the sum of the times just misses the budget, one step follows
    assert max(gaps) - min(gaps) <= 1  # a moment falls between two steps
    assert last <= max(gaps)
    assert steps == evaluated_steps(train, step_seconds, interrupted_at)


@given(every=st.integers(1, 30), steps=st.integers(1, 100))
def test_a_set_number_of_steps_between_evaluations_is_kept(every, steps):
    found = evaluated_steps(TrainConfig(max_steps=steps, evaluate_every=every), 1.0)
    assert found == sorted({*range(0, steps + 1, every), steps})


def test_slow_evaluations_leave_the_schedule_and_the_minutes_alone(small, small_corpus, tmp_path, monkeypatch):
    """On a clock on which an update takes 1/128 s, and an evaluation nothing or a minute."""
    now = 0.0

    def tick() -> float:
        nonlocal now
        now += 1 / 128
        return now

    def wait(seconds: float) -> None:
        nonlocal now
        now += seconds

    monkeypatch.setattr("talewright.train.trainer.time", SimpleNamespace(perf_counter=tick))
    recipe = small(train={"max_steps": None, "max_minutes": 0.5 / 60, "evaluate_every": None})
    fast = train_small(recipe, small_corpus, tmp_path / "fast")
    slow = train_small(recipe, small_corpus, tmp_path / "slow", at_evaluation=lambda _: wait(64.0))
    assert slow.state.seconds == fast.state.seconds == 0.5
    events = [list(read_log(tmp_path / name / "log.jsonl")) for name in ("fast", "slow")]
    rates = [[event["learning_rate"] for event in own if event["event"] == "step"] for own in events]
    assert rates[0] == rates[1]
    assert rates[0][-1] < 0.2 * max(rates[0])
    evaluations = [event for event in events[1] if event["event"] == "evaluation"]
    assert len(evaluations) == EVALUATIONS + 1
    assert all(event["seconds"] <= 0.5 for event in evaluations)


def scored_stories(recipe: Recipe, corpus: Corpus, run: Path, resume: bool = False) -> list[list[int]]:
    """Train into `run`. For each evaluation, the numbers of the validation stories that were scored."""
    whole, found = [story.tolist() for story in corpus.split("valid").stories()[0]], []

    def evaluate(model: GPT, stories: list[np.ndarray], sizes: np.ndarray, separator: list[int]) -> Likelihood:
        found.append([whole.index(story.tolist()) for story in stories])
        assert sizes.tolist() == [len(corpus.tokenizer.decode(story).encode()) for story in stories]
        return score_stories(model, stories, sizes, separator)

    run.mkdir(exist_ok=True)
    batches, callbacks = batches_of(recipe, corpus), Callbacks(evaluate, lambda *_: "")
    fit(recipe, launch(recipe), corpus, batches, run, callbacks, resume=resume)
    return found


def test_each_evaluation_scores_the_same_stories_from_everywhere_also_after_a_resume(small, small_corpus, tmp_path):
    count = small_corpus.split("valid").n_stories
    assert count > 8
    few = {"evaluate_stories": 4}
    found = scored_stories(small(train=few | {"max_steps": 8}), small_corpus, tmp_path / "run")
    found += scored_stories(small(train=few), small_corpus, tmp_path / "run", resume=True)
    assert found == [[count // 8, 3 * count // 8, 5 * count // 8, 7 * count // 8]] * 4  # steps 0, 4, 8 and 12
    start = next(read_log(tmp_path / "run" / "log.jsonl"))
    assert start["evaluated"] == {"stories": 4, "of": count}
    for number in (None, count, count + 1):
        recipe = small(train={"evaluate_stories": number, "max_steps": 1})
        assert scored_stories(recipe, small_corpus, tmp_path / f"{number}")[0] == list(range(count))


@pytest.mark.parametrize("lost", [False, True])
def test_a_run_of_version_0_1_goes_on_with_its_first_stories_unless_it_begins_anew(small, small_corpus, tmp_path, lost):
    run, few = tmp_path / "run", {"evaluate_stories": 4}
    scored_stories(small(train=few | {"max_steps": 8}), small_corpus, run)
    start, *events = (run / "log.jsonl").read_text().splitlines(keepends=True)
    older = {key: value for key, value in json.loads(start).items() if key != "evaluated"}
    (run / "log.jsonl").write_text("".join([json.dumps(older) + "\n", *events]))
    if lost:
        shutil.rmtree(run / "checkpoints")
    found = scored_stories(small(train=few), small_corpus, run, resume=True)
    assert ([0, 1, 2, 3] not in found) if lost else found == [[0, 1, 2, 3]]
    assert ("evaluated" in next(read_log(run / "log.jsonl"))) == lost


def observe(pairs: list[tuple[float, float]]) -> list[int]:
    """The evaluations, counted from 1, at which a rise is noticed in pairs of a training and a validation loss."""
    monitor, state, found = OverfittingMonitor(), TrainState(), []
    for training, validation in pairs:
        state.step += 1
        if state.best_loss is None or validation < state.best_loss:
            state.best_loss, state.best_step = validation, state.step
        monitor.log_step(training)
        if monitor.log_evaluation(state, validation):
            found.append(state.step)
    return found


@given(before=st.integers(1, 10), after=st.integers(2, 10), rise=st.floats(0.02, 0.5))
def test_a_rise_of_the_validation_loss_is_noticed_once_at_its_second_evaluation(before, after, rise):
    falling = [(3.0 - 0.1 * i, 3.0 - 0.1 * i) for i in range(before)]
    best = falling[-1][1]
    rising = [(best - 0.05 * (i + 1), best * (1 + rise * (i + 1))) for i in range(after)]
    assert observe([*falling, *rising]) == [before + 2]
    lower = (0.1, best / 2)
    assert observe([*falling, *rising, lower, (0.05, best), (0.04, best)]) == [before + 2, before + after + 3]


@given(validation=st.lists(st.floats(2.0, 2.019), min_size=1, max_size=40))
def test_noise_is_no_rise(validation):
    assert observe([(3.0 - 0.05 * i, loss) for i, loss in enumerate(validation)]) == []


@given(validation=st.lists(st.floats(2.0, 9.0), min_size=1, max_size=40))
def test_a_rise_of_both_losses_is_no_overfitting(validation):
    assert observe([(1.0 + i, loss) for i, loss in enumerate(validation)]) == []


def test_a_person_reads_once_that_the_model_memorizes_its_stories(small, small_corpus, tmp_path):
    """Of the untrained model, then of every tenth step, the validation losses are given."""
    given_losses, shown = iter([0.5, 5.0, 3.0, 2.0, 2.5, 2.6, 2.7, 2.8]), io.StringIO()

    def evaluate(*values):
        return dataclasses.replace(score_stories(*values), loss=next(given_losses))

    recipe = small(train={"max_steps": 200, "evaluate_every": 10, "patience": 4, "prompts": []})
    callbacks = Callbacks(evaluate, lambda *_: "")
    progress = TrainingProgress(Console(file=shown, width=1000))
    batches, distributed = batches_of(recipe, small_corpus), launch(recipe)
    outcome = fit(recipe, distributed, small_corpus, batches, tmp_path, callbacks, progress=progress)
    stories = small_corpus.split("train").n_stories
    said = "validation loss has risen since step 30: the model is memorizing its {:,} stories; more text or a smaller "
    assert shown.getvalue().count(said.format(stories)) == 1
    ended = "stopped at step 70: 4 evaluations without a lower validation loss than 2.000 at step 30, whose checkpoint"
    assert ended in shown.getvalue()
    assert (outcome.state.step, outcome.state.best_step) == (70, 30)  # not 0, which has no checkpoint
    assert (tmp_path / "checkpoints" / "best").read_text() == "step-30\n"
    assert math.isclose(outcome.state.best_loss or 0, 2.0)


@pytest.mark.parametrize("live", [True, False])
def test_what_takes_time_besides_the_steps_is_shown(small, small_corpus, tmp_path, live):
    out = io.StringIO()
    with TrainingProgress(Console(file=out, force_terminal=live, width=80, color_system=None)) as progress:
        progress.show_activity("evaluating ...")
    assert "evaluating ..." in out.getvalue()
