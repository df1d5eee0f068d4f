"""The timeline of a run: its points are what its checkpoints are, and what is damaged or missing is left out."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from talewright.cli import main
from talewright.errors import UserError
from talewright.evaluate.baselines import kneser_ney
from talewright.inspect import opening
from talewright.inspect.heads import find_names, measure_heads
from talewright.inspect.session import InspectionOptions, _stories, inspect_run
from talewright.inspect.timeline import (
    Timeline,
    inspect_timeline,
    load_point,
    point_steps,
    timeline_values,
    write_timeline,
)
from talewright.model.gpt import GPT
from talewright.run import RunFolder
from talewright.run.timeline import timeline_file, timeline_steps
from tests.train.conftest import write_stories

RECIPE = """
model: {n_layers: 2, n_heads: 2, d_model: 16, d_ff: 32, vocab_size: 300, context_length: 64, dropout: 0.1}
data: {splits: [80, 20]}
train: {learning_rate: 1e-2, micro_batch: 4, max_steps: 24, evaluate_every: 12, checkpoint_every: 1, keep: 30,
  timeline_checkpoints: 6, precision: fp32}
"""
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with stories, their cache and a run with every checkpoint."""
    folder = tmp_path_factory.mktemp("timeline")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TALEWRIGHT_CACHE", str(folder / "cache"))
        (folder / "small.yaml").write_text(RECIPE)
        stories = write_stories(folder / "stories.txt", 120)
        main(["train", "--recipe", str(folder / "small.yaml"), "--data", str(stories), "--out", str(folder / "run")])
    return folder


@pytest.fixture
def run(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the run, which a test may damage."""
    monkeypatch.setenv("TALEWRIGHT_CACHE", str(home / "cache"))
    return Path(shutil.copytree(home / "run", tmp_path / "run"))


def without_full(run: Path, kept: str = "step-24") -> Path:
    for folder in (run / "checkpoints").glob("step-*"):
        if folder.name != kept:
            shutil.rmtree(folder)
    return run


def stories_of(run: Path) -> list[np.ndarray]:
    return _stories(RunFolder(run), InspectionOptions(), [])


def measured(run: Path, notes: list[str] | None = None) -> Timeline | None:
    return inspect_timeline(RunFolder(run), stories_of(run), CPU, [] if notes is None else notes)


def test_light_checkpoints_show_what_the_full_ones_of_the_same_steps_do(run: Path, tmp_path: Path) -> None:
    full = Path(shutil.copytree(run, tmp_path / "full"))
    steps = timeline_steps(run)
    shutil.rmtree(full / "timeline")
    for step in set(point_steps(RunFolder(full))) - set(steps):
        shutil.rmtree(full / "checkpoints" / f"step-{step}")
    light = measured(without_full(run, kept="none"))
    exact = measured(full)
    assert light is not None
    assert exact is not None
    assert [point.step for point in light.points] == [point.step for point in exact.points] == [0, *steps]
    assert light.baselines == exact.baselines
    for mine, theirs in zip(light.points, exact.points, strict=True):
        assert (mine.tokens, mine.seconds) == (theirs.tokens, theirs.seconds)
        assert mine.loss == pytest.approx(theirs.loss, abs=0.01)
        assert mine.loss != theirs.loss or mine.step == 0  # it is indeed the rounded model
        for head, other in zip(mine.heads, theirs.heads, strict=True):
            assert head.roles == pytest.approx(other.roles, abs=0.01)


def test_a_point_is_measured_as_one_would_by_hand(run: Path) -> None:
    opened, stories = RunFolder(run), stories_of(run)
    timeline = measured(run)
    assert timeline is not None
    point = next(point for point in timeline.points if point.step == 12)
    model, _ = opened.load_model("12", CPU)
    end, losses = opened.tokenizer.eos_id, []
    for story in stories:
        ids = torch.tensor([[end, *story.tolist(), end]])
        assert ids.shape[1] <= 65
        with torch.no_grad():
            losses.append(F.cross_entropy(model(ids[:, :-1])[0], ids[0, 1:], reduction="none"))
    assert timeline.stories == len(stories)
    assert timeline.story_tokens == sum(map(len, losses))
    assert point.loss == pytest.approx(torch.cat(losses).mean().item(), abs=1e-5)
    sequences = [np.array([end, *story, end]) for story in stories]
    names = [find_names(tokens, opened.tokenizer.token_bytes) for tokens in sequences]
    heads, _ = measure_heads(model, sequences, names, vocab_size=opened.tokenizer.vocab_size)
    assert [head.roles for head in point.heads] == [pytest.approx(head.roles, abs=1e-5) for head in heads]
    events = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    (event,) = [event for event in events if event["event"] == "step" and event["step"] == 12]
    assert (point.tokens, point.seconds) == (event["tokens"], event["seconds"])
    assert point.sample.startswith("Once upon a time")


def test_the_first_point_is_the_untrained_model(run: Path) -> None:
    timeline = measured(run)
    assert timeline is not None
    first = timeline.points[0]
    assert (first.step, first.tokens, first.seconds) == (0, 0, 0.0)
    assert first.loss == pytest.approx(np.log(300), abs=0.1)  # uniform over the vocabulary
    assert timeline.points[-1].loss < first.loss - 1


def test_the_baselines_are_those_of_the_runs_own_stories(run: Path) -> None:
    timeline = measured(run)
    assert timeline is not None
    opened = RunFolder(run)
    train, end = opened.corpus().split("train"), opened.tokenizer.eos_id
    ids = np.concatenate([[*train.story(i), end] for i in range(train.n_stories)]).astype(int)
    shares = np.bincount(ids, minlength=300) / len(ids)
    targets = np.concatenate([[*story, end] for story in stories_of(run)]).astype(int)
    seen = shares[targets] > 0
    assert timeline.counted_tokens == len(ids)
    assert seen.mean() > 0.9
    assert timeline.baselines["unigram"] == pytest.approx(-np.log(shares[targets][seen]).mean(), abs=0.1)
    assert list(timeline.baselines) == ["unigram", "bigram", "trigram", "4-gram", "5-gram"]
    assert timeline.baselines["bigram"] < timeline.baselines["unigram"] - 0.5


def test_a_run_without_light_checkpoints_uses_its_full_ones(run: Path) -> None:
    shutil.rmtree(run / "timeline")
    assert point_steps(RunFolder(run)) == list(range(1, 25))
    for step in range(4, 24):
        shutil.rmtree(run / "checkpoints" / f"step-{step}")
    timeline = measured(run)
    assert timeline is not None
    assert [point.step for point in timeline.points] == [0, 1, 2, 3, 24]


def test_fewer_than_three_checkpoints_are_no_timeline(run: Path) -> None:
    shutil.rmtree(without_full(run) / "timeline")
    assert measured(run) is None
    inspect_run(run)
    assert not (run / "timeline.json").exists()
    assert 'id="timeline"' not in (run / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty"])
def test_a_damaged_light_checkpoint_is_left_out_with_one_sentence(run: Path, damage: str) -> None:
    path = timeline_file(without_full(run), timeline_steps(run)[1])
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes({"cut": data[: len(data) // 2], "flipped": bytes(data), "empty": b""}[damage])
    notes: list[str] = []
    timeline = measured(run, notes)
    assert timeline is not None
    assert [point.step for point in timeline.points] == [0, *(s for s in timeline_steps(run) if s != 2)]
    (note,) = notes
    assert note.startswith(f"The timeline leaves out step 2: {path} ")
    assert note.count(". ") == 0
    assert "\n" not in note


def test_where_too_few_points_are_whole_there_is_no_timeline(run: Path) -> None:
    steps = timeline_steps(without_full(run, kept="none"))
    for step in steps[2:]:
        timeline_file(run, step).write_bytes(b"")
    notes: list[str] = []
    assert inspect_timeline(RunFolder(run), stories_of(run), CPU, notes) is None
    assert len(notes) == len(steps) - 2


def test_a_damaged_full_checkpoint_is_replaced_by_the_light_one(run: Path) -> None:
    weights = run / "checkpoints" / "step-24" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-9])
    opened = RunFolder(run)
    model, other = GPT(opened.recipe.model), GPT(opened.recipe.model)
    load_point(opened, 24, model)
    shutil.rmtree(run / "checkpoints" / "step-24")
    load_point(opened, 24, other)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))


def test_without_the_training_stories_there_are_no_baselines(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stories = stories_of(run)

    def corpus(self: RunFolder) -> None:
        raise UserError("they are gone")

    monkeypatch.setattr(RunFolder, "corpus", corpus)
    notes: list[str] = []
    timeline = inspect_timeline(RunFolder(without_full(run)), stories, CPU, notes)
    assert timeline is not None
    assert timeline.baselines == {}
    assert notes == ["The timeline has no n-gram models, as the training stories are not available (they are gone)."]


def test_inspect_writes_it_into_the_report_and_beside_it(run: Path) -> None:
    timeline = measured(without_full(run))
    assert timeline is not None
    main(["inspect", str(run), "--only", "timeline"])
    written = json.loads((run / "timeline.json").read_text(encoding="utf-8"))
    assert written == json.loads(json.dumps(timeline_values(timeline)))
    assert [point["step"] for point in written["points"]] == [0, 1, 2, 4, 7, 13, 24]
    page = (run / "report.html").read_text(encoding="utf-8")
    assert '<section id="timeline">' in page
    assert all(f"<li>{finding.split('%')[0].strip()}" in page for finding in timeline.findings)
    assert timeline.findings


@pytest.mark.parametrize("limit", [opening.COUNTED, 100], ids=["all tokens", "fewer than the timeline"])
def test_the_verdict_reuses_ngrams_that_count_the_same(run: Path, monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    counted: list[int] = []
    count = kneser_ney.count_ngrams
    monkeypatch.setattr(kneser_ney, "count_ngrams", lambda *given: counted.append(given[-1]) or count(*given))
    monkeypatch.setattr(opening, "COUNTED", limit)
    verdicts = []
    for parts in (["predictions"], ["predictions", "timeline"]):
        main(["inspect", str(without_full(run)), "--only", *parts])
        page = (run / "report.html").read_text(encoding="utf-8")
        verdicts += re.findall(r"5-gram of .*? bits per byte \([^)]*\)", page)[:1]
    assert len(counted) == (2 if limit > 100 else 3)
    assert len(verdicts) == 2
    assert verdicts[0] == verdicts[1]


def test_a_folder_that_cannot_be_written_is_one_sentence(run: Path, tmp_path: Path) -> None:
    timeline = measured(without_full(run))
    assert timeline is not None
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"cannot write .*file/timeline\.json: "):
        write_timeline(timeline, tmp_path / "file" / "timeline.json")
