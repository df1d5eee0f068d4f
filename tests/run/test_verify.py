"""`talewright doctor verify`: a run that is as it was, and runs in which something was altered."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from talewright.cli import main
from talewright.run import RunFolder
from talewright.run.timeline import save_light, timeline_file
from tests.train.conftest import write_stories

SMALL = """
model: {n_layers: 1, n_heads: 2, d_model: 16, d_ff: 32, vocab_size: 300, context_length: 32, dropout: 0.1}
data: {splits: [80, 20]}
train: {learning_rate: 1e-2, micro_batch: 4, max_steps: 8, evaluate_every: 4, checkpoint_every: 4, precision: fp32}
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with stories, their cache and a run."""
    folder = tmp_path_factory.mktemp("verified")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("TALEWRIGHT_CACHE", "cache")
        Path("small.yaml").write_text(SMALL)
        write_stories(Path("stories.txt"), 120)
        main(["train", "--recipe", "small.yaml", "--data", "stories.txt", "--out", "run"])
    return folder


@pytest.fixture
def here(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, to be altered."""
    shutil.copytree(trained, tmp_path / "copy", copy_function=shutil.copy2)
    monkeypatch.chdir(tmp_path / "copy")
    monkeypatch.setenv("TALEWRIGHT_CACHE", "cache")
    recipe = Path("run/recipe.yaml")  # it names the stories by their whole path, which is the first folder's
    recipe.write_text(recipe.read_text().replace(str(trained), str(tmp_path / "copy")))
    return tmp_path / "copy"


def verified(capsys: pytest.CaptureFixture[str]) -> tuple[dict[str, str | None], str]:
    """What `talewright doctor verify run --json` finds wrong, by what was looked at, and its last word."""
    capsys.readouterr()
    code = 0
    try:
        main(["doctor", "verify", "run", "--json"])
    except SystemExit as left:
        code = left.code
    printed = capsys.readouterr()
    found = {finding["what"]: finding["fault"] for finding in json.loads(printed.out)}
    assert code == (2 if any(found.values()) else 0)
    return found, printed.err


def altered(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_a_run_that_is_as_it_was(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found, _ = verified(capsys)
    looked_at = ["tokenizer", "draft", *(f"checkpoints/{name}" for name in ("step-4", "step-8", "best", "last"))]
    assert found == dict.fromkeys([*looked_at, "stories", "evaluation"])
    main(["doctor", "verify", "run"])
    evaluation = (
        capsys.readouterr().out.splitlines()[-1].split()
    )  # in fp32 on one machine the score is the same to a digit
    assert evaluation[:3] == ["evaluation:", "validation", "loss"]
    assert evaluation[3] == evaluation[-1]  # in fp32 on one machine the score is the same to a digit


def test_an_altered_checkpoint_is_named(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    altered(here / "run/checkpoints/step-4/optimizer.safetensors")
    found, said = verified(capsys)
    assert found.pop("checkpoints/step-4") == "optimizer.safetensors was altered"
    assert set(found.values()) == {None}
    assert "run has changed: checkpoints/step-4" in said


def test_a_damaged_draft_is_named(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "run/draft.safetensors").write_bytes(b"torn")
    assert "draft.safetensors cannot be read" in str(verified(capsys)[0]["draft"])


def test_altered_shards_and_an_altered_source_are_named(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree("cache")
    verified(capsys)  # prepares the stories here
    shard = next((here / "cache").rglob("train-*.bin"))
    before = shard.read_bytes()
    altered(shard)
    assert "was altered since it was prepared" in str(verified(capsys)[0]["stories"])
    shard.write_bytes(before)
    with (here / "stories.txt").open("a") as file:
        file.write("Once more there was a story, and it was another one than all before.\n<|endoftext|>\n")
    found, _ = verified(capsys)
    assert "since" in str(found["stories"])
    assert "began" in str(found["stories"])


def test_a_log_that_says_another_score_is_named(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = here / "run/log.jsonl"
    events = [json.loads(line) for line in path.read_text().splitlines()]
    for event in events:
        if event["event"] == "evaluation":
            event["loss"] += 0.001
    path.write_text("".join(json.dumps(event) + "\n" for event in events))
    assert "and log.jsonl says" in str(verified(capsys)[0]["evaluation"])


def test_a_pointer_to_nothing_and_a_missing_tokenizer_are_named(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "run/checkpoints/best").write_text("step-5\n")
    (here / "run/tokenizer/tokenizer.json").unlink()
    found, _ = verified(capsys)
    assert found["checkpoints/best"] == "it names 'step-5', which does not exist"
    assert "tokenizer" in str(found["tokenizer"])
    (here / "run/checkpoints/best").unlink()
    assert verified(capsys)[0]["checkpoints/best"] == "No such file or directory"


def test_resuming_with_other_stories_is_refused_by_name(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (here / "stories.txt").read_text()
    (here / "stories.txt").write_text(text.replace("boat", "coat"))
    with pytest.raises(SystemExit) as left:
        main(["train", "--resume", "run", "--max-steps", "12"])
    assert left.value.code == 2
    said = capsys.readouterr().err
    assert "stories" in said
    assert "since" in said


def test_light_checkpoints_are_verified_and_are_no_checkpoints(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before, _ = verified(capsys)
    assert "timeline" not in before
    model, _ = RunFolder("run").load_model("8", torch.device("cpu"))
    for step in (1, 99):
        save_light(Path("run"), step, model)
    found, _ = verified(capsys)
    assert found == {**before, "timeline": None}
    altered(timeline_file(Path("run"), 99))
    found, _ = verified(capsys)
    assert "step-99.safetensors is damaged" in (found.pop("timeline") or "")
    assert found == before
