"""Learning from another run: the loop against a plain one, and which runs cannot teach."""

from __future__ import annotations

import json

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

import talewright
import talewright.model.loss as loss_module
from talewright.config import load_recipe
from talewright.data import prepare
from talewright.errors import UserError
from talewright.model.gpt import GPT
from talewright.model.loss import IGNORED, cross_entropy
from talewright.run.log import read_log
from talewright.train.distillation import TeacherOutput, distillation_loss, open_teacher
from tests.model.test_loss import Case, cases, make_case
from tests.train.conftest import batches_of, train_small, write_stories


def steps_of(run):
    return [event for event in read_log(run / "log.jsonl") if event["event"] == "step"]


@pytest.mark.parametrize("layout", ["packed", "rows"])
def test_the_loop_learns_from_a_teacher_as_a_plain_one_does(small, small_corpus, teacher_run, tmp_path, layout):
    recipe = small(
        data={"layout": layout},
        model={"dropout": 0.0},
        schedule={"kind": "constant", "warmup_steps": 0},
        optimizer={"weight_decay": 0.0},
        train={"max_steps": 5, "teacher": str(teacher_run), "teacher_weight": 0.3},
    )
    train_small(recipe, small_corpus, tmp_path)
    teacher = GPT(load_recipe(teacher_run / "recipe.yaml").model).eval()
    best = (teacher_run / "checkpoints" / "best").read_text().strip()
    teacher.load_state_dict(load_file(teacher_run / "checkpoints" / best / "model.safetensors"), strict=False)
    torch.manual_seed(recipe.seed)
    model, expected, plain = GPT(recipe.model), [], []
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, betas=(0.9, 0.95), weight_decay=0.0)
    for step in range(5):
        inputs, targets = map(torch.from_numpy, batches_of(recipe, small_corpus).samples(step * 8, 8))
        real = targets != -100
        with torch.no_grad():
            probabilities = teacher(inputs)[real].softmax(-1)
        logits = model(inputs)[real]
        own = F.cross_entropy(logits, targets[real])
        loss = 0.7 * own + 0.3 * F.cross_entropy(logits, probabilities)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        expected.append(loss.item())
        plain.append(own.item())
    assert [event["loss"] for event in steps_of(tmp_path)] == pytest.approx(expected, rel=1e-4)
    assert [event["plain_loss"] for event in steps_of(tmp_path)] == pytest.approx(plain, rel=1e-4)
    assert expected != pytest.approx(plain, rel=1e-3)


def test_a_teacher_without_a_share_changes_nothing(small, small_corpus, teacher_run, tmp_path):
    train_small(small(), small_corpus, tmp_path / "alone")
    without = {"teacher": str(teacher_run), "teacher_weight": 0.0}
    train_small(small(train=without), small_corpus, tmp_path / "distilled")
    alone, distilled = steps_of(tmp_path / "alone"), steps_of(tmp_path / "distilled")
    assert [event["loss"] for event in alone] == [event["loss"] for event in distilled]
    assert [event["loss"] for event in alone] == [event["plain_loss"] for event in distilled]
    assert not any("plain_loss" in event for event in alone)


def test_runs_that_cannot_teach_are_message_in_a_sentence(small, small_corpus, teacher_run, tmp_path):
    def complaint(noted=None, **changes):
        train = {"teacher": str(teacher_run), **changes.pop("train", {})}
        with pytest.raises(UserError) as caught:
            open_teacher(small(train=train, **changes), changes_corpus, noted)
        return str(caught.value)

    changes_corpus = small_corpus
    assert open_teacher(small(), small_corpus) is None
    absent = tmp_path / "absent"
    message = complaint(train={"teacher": str(absent)})
    assert message == f"train.teacher is {absent}, which is not a run folder: there is no such folder"
    message = complaint(model={"context_length": 32})
    assert message.endswith("sees 20 tokens, and a window has 32; --data.sequence-length 20 would do")
    message = complaint(model={"vocab_size": 301})
    assert message.endswith("has model.vocab_size 300, and the recipe 301; the teacher's would do")
    teacher = open_teacher(small(train={"teacher": str(teacher_run)}), small_corpus)
    assert teacher is not None
    assert teacher.source is not None
    message = complaint({**teacher.source, "sha256": "0" * 64})
    assert message.endswith("is not the teacher that this run began with: its weights differ")
    assert complaint({}).startswith("this run began without a teacher")

    other = write_stories(tmp_path / "other.txt", 90)
    recipe = small(data={"source": str(other)}, model={"vocab_size": 290})
    changes_corpus = prepare(recipe.data, recipe.tokenizer, 290, tmp_path / "prepared", progress=False)
    message = complaint()
    assert message == f"train.teacher {teacher_run} has another tokenizer than the stories in {tmp_path / 'prepared'}"


def test_a_run_notes_its_teacher_and_goes_on_with_it_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("TALEWRIGHT_CACHE", str(tmp_path / "cache"))
    stories = write_stories(tmp_path / "stories.txt", 100)
    small = {"model.n-layers": "1", "model.d-model": "16", "model.d-ff": "32", "model.vocab-size": "300"}
    small |= {
        "model.context-length": "16",
        "train.max-steps": "2",
        "data.source": str(stories),
        "train.compile": "false",
    }
    large = talewright.fit(talewright.load_recipe("quickstart", {**small, "model.d-model": "32"}), tmp_path / "large")
    distilled = {**small, "train.teacher": str(large.path)}
    run = talewright.fit(talewright.load_recipe("quickstart", distilled), tmp_path / "run")
    noted = json.loads((run.path / "data.json").read_text())
    assert noted["teacher"]["checkpoint"] == "step-2"
    talewright.resume(run.path, {"train.max_steps": "3"})
    assert "plain_loss" in steps_of(run.path)[-1]
    noted["teacher"]["sha256"] = "0" * 64
    (run.path / "data.json").write_text(json.dumps(noted))
    with pytest.raises(UserError, match="is not the teacher that this run began with"):
        talewright.resume(run.path, {"train.max_steps": "4"})


# --- the loss ----------------------------------------------------------------------------------------------------


def assert_loss_is_the_formula(case: Case, width: int, share: float) -> None:
    """Against float64, position by position: (1 - share) * -log p[target] + share * -sum of q log p."""
    hidden, weight, targets = case
    generator = torch.Generator().manual_seed(width)
    their_hidden = 2 * torch.randn(*hidden.shape[:2], width, generator=generator)
    their_weight = torch.randn(len(weight), width, generator=generator)
    doubles = hidden.detach().double().requires_grad_(), weight.detach().double().requires_grad_()
    real = targets != IGNORED
    logits, theirs = (doubles[0] @ doubles[1].T)[real], (their_hidden.double() @ their_weight.double().T)[real]
    logs = logits.log_softmax(-1)
    plain = -logs[torch.arange(len(logs)), targets[real]].sum()
    expected = (1 - share) * plain - share * (theirs.softmax(-1) * logs).sum()

    found = distillation_loss(hidden, weight, targets, TeacherOutput(their_hidden, their_weight, share))
    assert (found.shape, found.dtype) == ((2,), torch.float32)
    torch.testing.assert_close(found.double(), torch.stack((expected, plain)), atol=1e-4, rtol=1e-5)
    torch.testing.assert_close(found[1], cross_entropy(hidden, weight, targets), atol=0, rtol=0)
    (0.37 * found[0]).backward()
    for mine, other in zip((hidden, weight), torch.autograd.grad(0.37 * expected, doubles), strict=True):
        assert mine.grad is not None
        torch.testing.assert_close(mine.grad.double(), other, atol=1e-5, rtol=1e-3)


@settings(max_examples=60)
@given(case=cases(), width=st.integers(1, 20), share=st.floats(0, 1))
def test_the_loss_with_a_teacher_is_the_formula(case: Case, width: int, share: float) -> None:
    assert_loss_is_the_formula(case, width, share)


@pytest.mark.parametrize("held", [1, 130, 700, 1000])
def test_the_loss_with_a_teacher_does_not_depend_on_how_many_logits_are_held(
    monkeypatch: pytest.MonkeyPatch, held: int
) -> None:
    monkeypatch.setattr(loss_module, "SLICE", held)
    assert_loss_is_the_formula(make_case(3, 17, 8, 61, 0.2, 0), 5, 0.3)


def test_a_teacher_in_half_precision_is_near_the_formula() -> None:
    hidden, weight, targets = make_case(4, 500, 8, 64, 0.1, 0)
    teacher = TeacherOutput(torch.randn(4, 500, 12), torch.randn(64, 12), 0.5)
    exact = distillation_loss(hidden, weight, targets, teacher)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = distillation_loss(hidden, weight, targets, teacher)
    assert found.dtype == torch.float32
    assert found.tolist() == pytest.approx(exact.tolist(), rel=5e-3)
