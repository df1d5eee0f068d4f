"""The included model as a run: its name, where results about it go, and matrices in 8 bits."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from talewright.cli import common
from talewright.config import ModelConfig
from talewright.errors import UserError
from talewright.generate.quantization import at_precision, to_int8
from talewright.model.gpt import GPT
from talewright.run import RunFolder
from talewright.run.checkpoint import SCALE, WEIGHTS, load_weights
from talewright.run.folder import with_absolute_paths
from talewright.run.included import FOLDER, INCLUDED, RESULTS, run_path
from talewright.run.verify import verify
from talewright.train.session import recipe_from_run

SHAPE = ModelConfig(n_layers=2, n_heads=2, d_model=8, d_ff=16, vocab_size=11, context_length=6)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_name_stands_for_the_included_model_unless_a_run_of_that_name_lies_here() -> None:
    assert run_path(INCLUDED) == run_path(Path("./included")) == FOLDER
    Path(INCLUDED).mkdir()  # a folder that is no run, such as an export
    assert run_path(INCLUDED) == FOLDER
    (Path(INCLUDED) / "recipe.yaml").write_text("")
    assert run_path(INCLUDED) == Path(INCLUDED)
    assert run_path("elsewhere/included") == Path("elsewhere/included")
    assert common.INCLUDED == INCLUDED


def test_results_go_into_a_folder_here_and_those_of_other_runs_into_their_own(tmp_path: Path) -> None:
    assert RunFolder(INCLUDED).results == RunFolder(FOLDER).results == RESULTS
    assert (RunFolder(INCLUDED).label, RunFolder(INCLUDED).name) == (INCLUDED, INCLUDED)
    shutil.copytree(FOLDER, tmp_path / "copy")
    copy = RunFolder("copy")
    assert (copy.results, copy.label, copy.included) == (Path("copy"), "copy", False)


def test_its_training_stories_are_not_available_and_the_error_names_another_way() -> None:
    run = RunFolder(INCLUDED)
    assert run.imported
    with pytest.raises(UserError, match="do not come with it; name stories by --data"):
        run.corpus()


def test_its_files_are_verified() -> None:
    findings = list(verify(Path(INCLUDED), lambda run: 1 / 0))
    assert not [finding for finding in findings if finding.fault]
    assert {finding.what for finding in findings} >= {"tokenizer", "checkpoints/best", "stories, evaluation"}


def test_training_can_begin_with_it_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = with_absolute_paths(recipe_from_run(INCLUDED, None, {"train.teacher": INCLUDED}))
    assert (recipe.train.init_from, recipe.train.teacher) == (INCLUDED, INCLUDED)
    assert Path(recipe.tokenizer.source) == FOLDER / "tokenizer"
    assert recipe.model == RunFolder(INCLUDED).recipe.model


def in_8_bits(model: GPT) -> dict[str, torch.Tensor]:
    tensors = {}
    for name, tensor in model.state_dict().items():
        tensors[name] = tensor
        if tensor.ndim == 2:
            tensors[name], tensors[name + SCALE] = to_int8(tensor)
    return tensors


def test_a_checkpoint_in_8_bits_loads_as_the_rounded_weights_and_rounds_to_itself(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, loaded = GPT(SHAPE), GPT(SHAPE)
    save_file(in_8_bits(model), tmp_path / WEIGHTS)
    load_weights(tmp_path, loaded)
    scales = load_file(tmp_path / WEIGHTS)
    for name, weight in model.state_dict().items():
        found = loaded.state_dict()[name]
        if weight.ndim == 2:
            assert ((found - weight).abs() <= 0.51 * scales[name + SCALE][:, None] + 1e-9).all()
        else:
            assert torch.equal(found, weight)
    again = at_precision(loaded, "int8")  # generating at int8 loses nothing more
    assert all(torch.equal(a, b) for a, b in zip(again.parameters(), loaded.parameters(), strict=True))


@pytest.mark.parametrize("wrong", [torch.ones(3), torch.ones(2, 2), torch.tensor(1.0)])
def test_scales_that_do_not_fit_are_an_error_that_names_them(tmp_path: Path, wrong: torch.Tensor) -> None:
    tensors = in_8_bits(GPT(SHAPE))
    tensors["embedding.weight" + SCALE] = wrong
    save_file(tensors, tmp_path / WEIGHTS)
    with pytest.raises(UserError, match=r"holds embedding\.weight\.scale as"):
        load_weights(tmp_path, GPT(SHAPE))


def test_scales_that_are_not_numbers_are_refused(tmp_path: Path) -> None:
    tensors = in_8_bits(GPT(SHAPE))
    tensors["embedding.weight" + SCALE][0] = float("nan")
    save_file(tensors, tmp_path / WEIGHTS)
    with pytest.raises(UserError, match="NaN or infinity"):
        load_weights(tmp_path, GPT(SHAPE))
