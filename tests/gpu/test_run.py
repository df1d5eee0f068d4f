"""What is done with a run that was trained on a GPU: generate, evaluate, inspect, export; and the command line."""

from __future__ import annotations

import json
import re
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

import talewright
from talewright.cli import main
from talewright.evaluate.likelihood import score_stories
from talewright.generate.batching import Request, generate_all
from talewright.generate.fast_decode import Decoder
from talewright.model.gpt import GPT
from talewright.run import RunFolder
from tests.gpu.test_training import Record

pytestmark = pytest.mark.gpu

PROMPTS = ["Once upon a time", "One day", "The little", "A boy named Tom had a big red ball and"]


@pytest.mark.parametrize("batch", [1, 64])
def test_cached_generation_equals_the_whole_forward_pass(run: Path, batch: int, record_property: Record) -> None:
    opened = talewright.load(run)
    tokenizer = opened.tokenizer
    prompts = [[tokenizer.eos_id, *ids] for ids in tokenizer.encode_batch((PROMPTS * 16)[-batch:])]
    sampling = talewright.Sampling(temperature=0.0, max_new_tokens=40)
    decoder = Decoder(opened.model, tokenizer.vocab_size)
    requests = [Request(prompt=prompt, sampling=sampling) for prompt in prompts]
    generate_all(decoder, requests, tokenizer.ends)
    worst = 0.0
    for prompt, request in zip(prompts, requests, strict=True):
        assert request.tokens
        worst = max(worst, _largest_gap(opened.model, [*prompt, *request.tokens], len(prompt)))
    record_property("largest gap to the best logit", worst)
    assert worst < 1e-3


def _largest_gap(model: GPT, ids: list[int], first: int) -> float:
    """How far the logit of a token after the `first` ones is below the highest of its position, at the most."""
    tokens = torch.tensor([ids], device=model.output_weight.device)
    with torch.inference_mode():
        logits = model(tokens)[0, first - 1 : -1]
    chosen = logits.gather(-1, tokens[0, first:, None])
    return float((logits.amax(-1, keepdim=True) - chosen).max())


def test_a_sample_does_not_depend_on_the_batch(run: Path) -> None:
    opened = talewright.load(run)
    sampling = talewright.Sampling(max_new_tokens=24, seed=3)
    together = [sample.text for sample in opened.engine.generate(PROMPTS, sampling)]
    streamed = [PROMPTS[i] + "".join(opened.engine.stream(PROMPTS[i], sampling, i)) for i in range(len(PROMPTS))]
    assert together == streamed


def test_scores_equal_those_of_the_cpu(run: Path, record_property: Record) -> None:
    opened = RunFolder(run)
    stories, sizes = opened.stories(None)
    cpu = opened.load_model(device=torch.device("cpu"))[0]
    here, there = (
        score_stories(model, stories, sizes, opened.tokenizer.eos_id) for model in (opened.load_model()[0], cpu)
    )
    record_property("loss", here.loss)
    record_property("difference to the CPU", abs(here.loss - there.loss))
    assert here.loss == pytest.approx(there.loss, abs=1e-3)
    assert here.token_accuracy == pytest.approx(there.token_accuracy, abs=0.01)
    assert here.tokens == there.tokens


def test_logits_equal_those_of_the_cpu(run: Path, record_property: Record) -> None:
    opened = RunFolder(run)
    tokens = torch.from_numpy(np.random.default_rng(0).integers(512, size=(4, 64)))
    with torch.inference_mode():
        cpu = opened.load_model(device=torch.device("cpu"))[0](tokens)
        model = opened.load_model()[0]
        here = model(tokens.to(model.output_weight.device)).cpu()
    difference = float((here - cpu).abs().max())
    record_property("largest difference", difference)
    assert difference < 1e-3


@pytest.mark.slow
def test_the_report_of_an_inspection_is_written(run: Path) -> None:
    main(["inspect", str(run)])
    assert (run / "report.html").stat().st_size > 10_000


@pytest.mark.slow
@pytest.mark.skipif(find_spec("transformers") is None, reason="transformers is not installed")
def test_an_export_equals_the_model_in_transformers(run: Path, tmp_path: Path) -> None:
    record = talewright.load(run).export(tmp_path / "exported", "hf")
    assert record["verified"]


@pytest.mark.parametrize("command", ["generate", pytest.param("evaluate", marks=pytest.mark.slow)])
def test_commands_run_on_the_device_they_are_given(
    run: Path, command: str, device: torch.device, capsys: pytest.CaptureFixture[str]
) -> None:
    name = f"{device.type}:0" if device.type == "cuda" else device.type
    main([command, str(run), "--device", name, "--json"])
    assert json.loads(capsys.readouterr().out)


def test_a_gpu_that_is_not_there_is_one_sentence(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["generate", str(run), "--device", "cuda:63"])
    assert exit_.value.code == 2
    assert re.search(r"cuda:63", capsys.readouterr().err)
