"""The included model: a regression test of its scores, what its folder holds, and the commands that use it."""

from __future__ import annotations

import json
import re
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

import talewright
from talewright import api, cli
from talewright.config import DataConfig
from talewright.data import tokenize_source
from talewright.evaluate.likelihood import score_stories
from talewright.evaluate.scores import held_out_facts, read_scores
from talewright.files import folder_size
from talewright.run.included import FOLDER

MAX_BYTES = 5_000_000
TOLERANCE = 1e-4
"""Of a loss, relative: float32 sums in another order, as on another processor, differ by some 1e-6; other weights,
other tokens or another model's arithmetic by far more."""
ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def included() -> api.Run:
    return talewright.load(device="cpu")


@pytest.fixture(scope="module")
def checks() -> dict[str, Any]:
    return json.loads((FOLDER / "checks.json").read_text(encoding="utf-8"))


@pytest.fixture
def files() -> dict[str, bytes]:
    return {str(path.relative_to(FOLDER)): path.read_bytes() for path in FOLDER.rglob("*") if path.is_file()}


def loss_of(run: api.Run, source: str, expected: dict[str, Any]) -> float:
    """The loss on the stories that were scored, in float32."""
    stories, sizes = tokenize_source(DataConfig(source=source, limit=expected["stories"]), run.tokenizer)
    facts = held_out_facts(expected["source"], run.tokenizer.decode_batch(stories))
    assert facts == {name: value for name, value in expected.items() if name != "loss"}, (
        "these are other stories than those that were scored: python -m tools.include_model scores them"
    )
    return score_stories(run.model, stories, sizes, run.tokenizer.separator).loss


def test_its_loss_on_bundled_stories_is_the_recorded_one(included: api.Run, checks: dict[str, Any]) -> None:
    expected = checks["bundled"]
    assert loss_of(included, expected["source"], expected) == pytest.approx(expected["loss"], rel=TOLERANCE)


def test_its_loss_on_tinystories_is_the_recorded_one(included: api.Run, checks: dict[str, Any], shared: Path) -> None:
    expected, valid = checks["held_out"], shared / "tinystories" / "valid.txt"
    if not valid.is_file():
        pytest.skip(f"no TinyStories here: {valid}")
    assert loss_of(included, str(valid), expected) == pytest.approx(expected["loss"], rel=TOLERANCE)


def test_its_most_likely_story_is_the_recorded_one(included: api.Run, checks: dict[str, Any]) -> None:
    """It ends where the two best tokens are so close that rounding could exchange them."""
    prompt, text = checks["greedy"]["prompt"], checks["greedy"]["text"]
    count = len(included.tokenizer.encode(text)) - len(included.tokenizer.encode(prompt))
    assert count > 5
    greedy = talewright.Sampling(temperature=0, max_new_tokens=count)
    assert included.generate(prompt, greedy).text == text
    assert talewright.load(precision="int8", device="cpu").generate(prompt, greedy).text[:60] == text[:60]


def test_its_scores_are_those_of_a_trained_model_and_8_bits_lose_almost_nothing(checks: dict[str, Any]) -> None:
    whole, rounded = checks["float32"]["bits_per_byte"], checks["8-bit"]["bits_per_byte"]
    assert rounded < 0.7
    assert abs(rounded - whole) < 0.002
    card = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert f"{whole:.4f}" in card
    assert f"{rounded:.4f}" in card


def test_its_folder_is_small_and_has_no_name_of_a_machine(files: dict[str, bytes]) -> None:
    assert folder_size(FOLDER) <= MAX_BYTES
    assert set(files) >= {"README.md", "recipe.yaml", "checks.json", "tokenizer/tokenizer.json", "log.jsonl"}
    texts = {name: text.decode() for name, text in files.items() if not name.endswith("safetensors")}
    del texts["tokenizer/tokenizer.json"]
    for name, text in texts.items():
        assert not re.search(r"""(^|[\s"'=(])(/[\w.-]+){2,}|[A-Za-z]:\\""", text), name
    assert not [path for path in FOLDER.rglob("*") if path.is_file() and path.stat().st_mode & 0o444 != 0o444]


def test_its_weights_are_in_8_bits(included: api.Run, files: dict[str, bytes]) -> None:
    from safetensors.torch import load

    stored = load(files[f"checkpoints/{included.loaded_checkpoint.name}/model.safetensors"])
    matrices = [name for name, weight in included.model.state_dict().items() if weight.ndim == 2]
    assert matrices
    assert all(stored[name].dtype == torch.int8 for name in matrices)


def test_git_keeps_its_files_as_they_are_and_ignores_none() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("not a clone of the repository")
    command = ["git", "check-ignore", *map(str, FOLDER.rglob("*"))]
    assert not subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout
    assert "src/talewright/included/** -text" in (ROOT / ".gitattributes").read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_wheel_contains_it(tmp_path: Path, files: dict[str, bytes]) -> None:
    builder = pytest.importorskip("hatchling.builders.wheel", reason="hatchling builds wheels")
    wheel = next(builder.WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"]))
    with zipfile.ZipFile(wheel) as archive:
        prefix = "talewright/included/"
        packed = {name[len(prefix) :]: archive.read(name) for name in archive.namelist() if name.startswith(prefix)}
    assert packed == files


# --- commands ------------------------------------------------------------------------------------------------------


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, bytes]) -> Any:
    """A folder without a run; afterwards, the model's folder is as it was."""
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    assert {str(p.relative_to(FOLDER)): p.read_bytes() for p in FOLDER.rglob("*") if p.is_file()} == files


def test_generate_without_a_run_uses_it(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["generate", "--prompt", "Once upon a time", "--max-new-tokens", "8"])
    printed = capsys.readouterr()
    assert printed.out.startswith("Once upon a time")
    assert printed.err.startswith("included, checkpoint best (step ")
    assert not list(here.iterdir())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["generate", "nowhere"], "nowhere is not a run folder: there is no such folder."),
        (["generate", "nowhere"], "`included` is the model that comes with Talewright"),
        (["generate", "Once upon a time"], "A prompt goes behind --prompt, as in --prompt 'Once upon a time'"),
        (["train", "--resume", "included"], "included is an imported model, not a stopped training"),
        (["inspect", "--influence", "Tom had"], "included was trained elsewhere"),
        (["export"], "included can be exported to: hf, "),
    ],
)
def test_what_cannot_be_done_is_one_clear_error(
    words: list[str], message: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(words)
    error = capsys.readouterr().err
    assert ended.value.code == 2
    assert message in error
    assert "Traceback" not in error


def test_inspect_and_evaluate_write_here_and_say_what_they_measured_on(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cli.main(["inspect", "--only", "predictions", "--device", "cpu"])
    printed = capsys.readouterr()
    assert printed.out.strip() == str(Path("included-results/report.html"))
    assert "bundled stories are used instead" in printed.err
    assert (here / "included-results" / "report.html").is_file()
    cli.main(["evaluate", "--only", "likelihood", "--limit", "5", "--device", "cpu"])
    printed = capsys.readouterr()
    assert "learned from TinyStories, which do not come with Talewright" in printed.out.replace("\n", " ")
    assert "bundled:500" in printed.out
    scores = json.loads((here / "included-results" / "scores.json").read_text(encoding="utf-8"))
    assert scores["held_out"]["stories"] == 5
    assert scores["tasks"]["likelihood"]["baselines"]["unavailable"]
    assert read_scores([Path("included")])[0]["tasks"] == scores["tasks"]


def test_evaluate_on_named_stories_has_no_such_note(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["evaluate", "--data", "bundled:5", "--only", "likelihood", "--device", "cpu"])
    assert "TinyStories" not in capsys.readouterr().out
    assert [path.name for path in (here / "included-results").glob("*.json")] == ["scores-bundled-5.json"]


def test_where_results_cannot_be_written_the_scores_are_only_shown(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("included-results").write_text("in the way")
    cli.main(["evaluate", "--data", "bundled:5", "--only", "likelihood", "--device", "cpu"])
    printed = capsys.readouterr()
    assert "The scores are only shown" in printed.err
    assert "included" in printed.out


def test_an_export_leaves_its_folder_as_it_was(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["export", "included", "out", "--to", "hf-remote"])
    assert (here / "out" / "model.safetensors").is_file()
    card = (here / "out" / "README.md").read_text(encoding="utf-8")
    assert "Data: `TinyStories`" in card
