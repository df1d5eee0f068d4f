from __future__ import annotations

import json
import math
import os
import signal
import threading
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from benchmarks.killed import differences
from safetensors.torch import load_file

from talewright.errors import UserError
from talewright.model.gpt import GPT
from talewright.run.log import read_log
from talewright.train.trainer import Trainer
from tests.train.conftest import batches_of, train_small


def losses(run: Path) -> list[float]:
    return [event["loss"] for event in read_log(run / "log.jsonl") if event["event"] == "step"]


def weights(run: Path, step: int) -> dict[str, torch.Tensor]:
    return load_file(run / "checkpoints" / f"step-{step}" / "model.safetensors")


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_the_loop_computes_what_a_plain_one_does(small, small_corpus, tmp_path):
    recipe = small(model={"dropout": 0.0}, schedule={"kind": "constant", "warmup_steps": 0}, train={"max_steps": 5})
    train_small(recipe, small_corpus, tmp_path)
    torch.manual_seed(recipe.seed)
    model = GPT(recipe.model)
    matrices, vectors = ([p for p in model.parameters() if (p.dim() == 2) == wanted] for wanted in (True, False))
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=1e-2, betas=(0.9, 0.95))
    batches, expected = batches_of(recipe, small_corpus), []
    for step in range(5):
        inputs, targets = map(torch.from_numpy, batches.samples(step * 8, 8))  # the whole batch at once
        loss = F.cross_entropy(model(inputs).flatten(0, 1), targets.flatten(), ignore_index=-100)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        expected.append(loss.item())
    assert losses(tmp_path) == pytest.approx(expected, rel=1e-4)
    assert expected[-1] < expected[0] - 0.1


def test_property_16_seeds_reproduce_a_run(small, small_corpus, tmp_path):
    for name in ("a", "b"):
        train_small(small(), small_corpus, tmp_path / name)
    train_small(small(seed=4), small_corpus, tmp_path / "c")
    assert losses(tmp_path / "a") == losses(tmp_path / "b") != losses(tmp_path / "c")
    assert same(weights(tmp_path / "a", 12), weights(tmp_path / "b", 12))
    assert (tmp_path / "a/samples.jsonl").read_text() == (tmp_path / "b/samples.jsonl").read_text()


def test_the_average_is_the_runs_model_and_training_is_as_without_it(small, small_corpus, tmp_path):
    often = {"max_steps": 30, "checkpoint_every": 1, "keep": 30}
    train_small(small(train=often), small_corpus, tmp_path / "plain")
    train_small(small(train={**often, "average": 0.6}), small_corpus, tmp_path / "averaged")
    assert losses(tmp_path / "plain") == losses(tmp_path / "averaged")
    torch.manual_seed(3)
    means = {name: tensor.double() for name, tensor in GPT(small().model).state_dict().items()}
    for step in range(1, 31):
        decay = min(0.6, (1 + step) / (10 + step))
        newest, found = weights(tmp_path / "plain", step), weights(tmp_path / "averaged", step)
        beside = load_file(tmp_path / "averaged" / "checkpoints" / f"step-{step}" / "optimizer.safetensors")
        assert all(torch.equal(tensor, beside[f"trained.{name}"]) for name, tensor in newest.items())
        means = {name: decay * mean + (1 - decay) * newest[name].double() for name, mean in means.items()}
        for name, mean in means.items():
            torch.testing.assert_close(found[name].double(), mean, atol=1e-6, rtol=1e-5)
    scores = [
        [event["loss"] for event in read_log(tmp_path / name / "log.jsonl") if event["event"] == "evaluation"]
        for name in ("plain", "averaged")
    ]
    assert scores[0] != scores[1]


def test_an_average_cannot_be_begun_or_left_off_at_a_resume(small, small_corpus, tmp_path):
    train_small(small(train={"max_steps": 4}), small_corpus, tmp_path / "plain")
    with pytest.raises(UserError, match=r"optimizer\.safetensors holds trained\.\S+ as nothing"):
        train_small(small(train={"max_steps": 8, "average": 0.9}), small_corpus, tmp_path / "plain", resume=True)
    train_small(small(train={"max_steps": 4, "average": 0.9}), small_corpus, tmp_path / "averaged")
    with pytest.raises(UserError, match=r"optimizer\.safetensors holds trained\.\S+ as \("):
        train_small(small(train={"max_steps": 8}), small_corpus, tmp_path / "averaged", resume=True)


RESUMED = {
    "packed": {},
    "rows": {"data": {"layout": "rows"}},
    "average": {"train": {"average": 0.9}},
    "teacher": {"train": {"teacher": "its folder"}},
    "aligned": {"data": {"layout": "aligned"}},
    "muon": {
        "optimizer": {"kind": "muon"},
        "schedule": {"kind": "wsd"},
    },
    "mixed values, convolutions, bigrams": {
        "model": {"value_residual": True, "short_convolution": True, "bigrams": 50},
        "optimizer": {"kind": "muon"},
    },
}


@pytest.mark.parametrize("sections", RESUMED.values(), ids=RESUMED)
def test_stopped_and_resumed_equals_never_stopped(small, small_corpus, tmp_path, sections, teacher_run):
    train = {"max_steps": 40, "patience": 50, **sections.get("train", {})}  # past the end of an epoch
    train["teacher"] = train.get("teacher") and str(teacher_run)
    recipe = small(**{**sections, "train": train})
    train_small(recipe, small_corpus, tmp_path / "whole")

    def stop(number: int) -> None:
        if number == 3:
            os.kill(os.getpid(), signal.SIGTERM)

    outcome = train_small(recipe, small_corpus, tmp_path / "parts", at_evaluation=stop)
    assert outcome.signal == signal.SIGTERM
    assert outcome.state.step == 12
    ended = train_small(recipe, small_corpus, tmp_path / "parts", resume=True)
    assert ended.signal is None
    assert differences(tmp_path / "whole", tmp_path / "parts") == []


def test_a_resumed_run_writes_again_what_its_checkpoint_had_not(small, small_corpus, tmp_path):
    recipe = small(train={"max_steps": 10, "evaluate_every": 100, "checkpoint_every": 4})

    class KilledError(Exception):
        pass

    def kill(number: int) -> None:
        if number:  # at the last step's evaluation
            raise KilledError  # steps 9 and 10 are in the log, the checkpoint is of step 8

    with pytest.raises(KilledError):
        train_small(recipe, small_corpus, tmp_path / "run", at_evaluation=kill)
    assert len(losses(tmp_path / "run")) == 10
    train_small(recipe, small_corpus, tmp_path / "run", resume=True)
    train_small(recipe, small_corpus, tmp_path / "whole")
    assert losses(tmp_path / "run") == losses(tmp_path / "whole")


def test_how_a_batch_is_cut_does_not_change_what_is_learned(small, small_corpus, tmp_path):
    for name, micro, accumulation in (("one", 8, 1), ("four", 2, 4)):
        recipe = small(
            data={"layout": "rows"},  # rows are of unequal length: each token must count the same
            model={"dropout": 0.0, "context_length": 48},
            train={"micro_batch": micro, "accumulation": accumulation, "max_steps": 6},
        )
        train_small(recipe, small_corpus, tmp_path / name)
    assert losses(tmp_path / "one") == pytest.approx(losses(tmp_path / "four"), rel=1e-4)


def test_bf16_follows_fp32(small, small_corpus, tmp_path):
    for precision in ("fp32", "bf16"):
        recipe = small(model={"dropout": 0.0}, train={"precision": precision, "max_steps": 20})
        train_small(recipe, small_corpus, tmp_path / precision)
    assert losses(tmp_path / "bf16") == pytest.approx(losses(tmp_path / "fp32"), rel=0.02)
    assert losses(tmp_path / "bf16") != losses(tmp_path / "fp32")


def test_nothing_is_updated_at_nan(small, small_corpus, tmp_path):
    recipe = small(train={"learning_rate": 1e30, "max_steps": 12, "checkpoint_every": 10}, optimizer={"clip": None})
    stories = batches_of(recipe, small_corpus).stories(8, 8)  # those of the second step
    listed = ", ".join(map(str, stories[:20]))
    with pytest.raises(
        UserError, match=rf"at step 2; no update was made\. The batch has the training stories {listed}"
    ):
        train_small(recipe, small_corpus, tmp_path)
    last = max(int(path.name.removeprefix("step-")) for path in (tmp_path / "checkpoints").glob("step-*"))
    assert len(losses(tmp_path)) == last == 1  # the weights before it are not lost


BAD = {6, 7, 19}
"""Batches, counted from 0, whose loss is made infinite."""


@pytest.fixture
def bad_batches(monkeypatch):
    """Some batches' loss is not a number, as an overflow would make it."""
    compute_gradient = Trainer.compute_gradient

    def broken(self, first, tokens):
        return compute_gradient(self, first, tokens) * (math.inf if first // 8 in BAD else 1.0)

    monkeypatch.setattr(Trainer, "compute_gradient", broken)


def test_bad_batches_are_skipped_and_counted_if_the_recipe_says_so(small, small_corpus, tmp_path, bad_batches):
    recipe = small(train={"max_steps": 20, "skip_bad_batches": True})
    ended = train_small(recipe, small_corpus, tmp_path / "whole")
    assert (ended.state.step, ended.state.skipped) == (20, 3)
    events = [event for event in read_log(tmp_path / "whole" / "log.jsonl") if event["event"] == "skipped"]
    assert [(event["step"], event["skipped"]) for event in events] == [(7, 1), (7, 2), (18, 3)]
    batches = batches_of(recipe, small_corpus)
    assert [event["stories"] for event in events] == [batches.stories(8 * number, 8) for number in sorted(BAD)]

    def stop(number: int) -> None:
        if number == 2:  # at step 8, just after the first two
            os.kill(os.getpid(), signal.SIGTERM)

    train_small(recipe, small_corpus, tmp_path / "parts", at_evaluation=stop)
    train_small(recipe, small_corpus, tmp_path / "parts", resume=True)
    assert differences(tmp_path / "whole", tmp_path / "parts") == []


def test_a_bad_batch_changes_nothing(small, small_corpus, tmp_path, bad_batches):
    """The weights at the end are those of the batches that are not bad, one after another."""
    with pytest.raises(UserError, match="at step 7; no update was made"):
        train_small(small(train={"max_steps": 20}), small_corpus, tmp_path / "stopped")
    train_small(small(train={"max_steps": 20, "skip_bad_batches": True}), small_corpus, tmp_path / "whole")
    assert losses(tmp_path / "stopped") == losses(tmp_path / "whole")[:6]
    assert weights(tmp_path / "stopped", 6)


def test_nothing_but_bad_batches_ends_a_run_all_the_same(small, small_corpus, tmp_path, bad_batches, monkeypatch):
    monkeypatch.setattr("tests.train.test_loop.BAD", set(range(5, 1000)))
    with pytest.raises(UserError, match=r"Last good checkpoint: step-5\..*10 batches before it were skipped"):
        train_small(small(train={"skip_bad_batches": True}), small_corpus, tmp_path)


@pytest.mark.slow
def test_nothing_leaks(small, small_corpus, tmp_path):
    """2,000 steps with 200 evaluations and 200 saves: memory, open files and threads are at the end what they were."""
    held: list[tuple[int, int, int]] = []

    def look(number: int) -> None:
        if number in (50, 200):
            resident = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
            held.append((resident, len(list(Path("/proc/self/fd").iterdir())), threading.active_count()))

    budget = {"max_steps": 2000, "evaluate_every": 10, "checkpoint_every": 10}
    train_small(small(train=budget), small_corpus, tmp_path, at_evaluation=look)
    events = [event["event"] for event in read_log(tmp_path / "log.jsonl")]
    assert (events.count("evaluation"), events.count("checkpoint")) == (201, 200)
    (memory, files, threads), (memory_then, files_then, threads_then) = held
    assert memory_then - memory < 4 * 2**20
    assert (files_then, threads_then) == (files, threads)


def test_patience_ends_a_run_and_the_best_checkpoint_is_kept(small, small_corpus, tmp_path):
    recipe = small(
        train={"learning_rate": 1.0, "max_steps": 400, "evaluate_every": 2, "patience": 3, "keep": 1},
    )
    outcome = train_small(recipe, small_corpus, tmp_path)
    _, *scores = [event["loss"] for event in read_log(tmp_path / "log.jsonl") if event["event"] == "evaluation"]
    assert outcome.state.step < 400
    assert min(range(len(scores)), key=scores.__getitem__) == len(scores) - 4
    assert outcome.state.best_step == 2 * (len(scores) - 3)
    assert (tmp_path / "checkpoints" / "best").read_text().strip() == f"step-{outcome.state.best_step}"
    assert (tmp_path / "checkpoints" / f"step-{outcome.state.best_step}").is_dir()


def test_minutes_end_a_run(small, small_corpus, tmp_path):
    recipe = small(train={"max_steps": None, "max_minutes": 0.02, "evaluate_every": 10000})
    outcome = train_small(recipe, small_corpus, tmp_path)
    assert 1.2 <= outcome.state.seconds < 5
    rates = [event["learning_rate"] for event in read_log(tmp_path / "log.jsonl") if event["event"] == "step"]
    assert rates[-1] < 0.8 * max(rates)  # where the last step begins depends on how long one takes


def test_the_log_begins_with_the_recipe_and_the_versions(small, small_corpus, tmp_path):
    train_small(small(), small_corpus, tmp_path)
    events = list(read_log(tmp_path / "log.jsonl"))
    assert events[0]["event"] == "run"
    assert events[0]["recipe"]["model"]["d_model"] == 16
    assert events[0]["versions"]["torch"] == torch.__version__
    step = next(event for event in events if event["event"] == "step")
    assert {"step", "loss", "learning_rate", "gradient_norm", "tokens_per_second"} <= step.keys()
    score = next(event for event in events if event["event"] == "evaluation")
    assert {"step", "loss", "perplexity", "bits_per_byte"} <= score.keys()
    samples = [json.loads(line) for line in (tmp_path / "samples.jsonl").read_text().splitlines()]
    assert [sample["step"] for sample in samples] == [0, 4, 8, 12]


@pytest.mark.parametrize("setting", [{"average": 0.9}, {"teacher": "a"}])
def test_lightning_refuses_what_is_the_loops_own(small, setting):
    pytest.importorskip("lightning", reason="Lightning is not installed")
    from talewright.train.lightning import StoryModule

    with pytest.raises(UserError, match="not for lightning"):
        StoryModule(small(train=setting), max_steps=6)


def test_lightning_gives_the_same_losses(small, small_corpus, tmp_path):
    lightning = pytest.importorskip("lightning", reason="Lightning is not installed")
    from talewright.train.lightning import StoryData, StoryModule

    recipe = small(train={"max_steps": 6})
    train_small(recipe, small_corpus, tmp_path)
    found = []

    class Note(lightning.Callback):
        def on_train_batch_end(self, trainer, module, outputs, batch, number):
            found.append(trainer.callback_metrics["loss"].item())

    trainer = lightning.Trainer(
        max_steps=6,
        accumulate_grad_batches=2,
        gradient_clip_val=1.0,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[Note()],
    )
    trainer.fit(StoryModule(recipe, max_steps=6), StoryData(recipe, small_corpus.split("train")))
    means = [(a + b) / 2 for a, b in zip(found[::2], found[1::2], strict=True)]
    assert means == pytest.approx(losses(tmp_path), rel=1e-4)
