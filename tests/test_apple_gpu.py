"""Generation, evaluation, inspection and the studio on a stand-in for Apple's GPU: as on the CPU, without float64."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import talewright
from talewright.cli import main
from talewright.config import ModelConfig
from talewright.evaluate.context import EvaluationOptions, GenerationOptions
from talewright.evaluate.evaluator import TASKS, evaluate_run
from talewright.evaluate.likelihood import score_tokens
from talewright.evaluate.multiple_choice.scoring import EncodedChoice, model_scorer
from talewright.generate.engine import Engine
from talewright.generate.quantization import WeightPrecision
from talewright.generate.sampling import Sampling
from talewright.inspect.heads import losses_without, measure_heads
from talewright.inspect.neurons import find_neurons
from talewright.inspect.predictions import logit_lens, predict_tokens, prediction_stats
from talewright.inspect.session import InspectionOptions, inspect_run
from talewright.inspect.weights import matrices, singular_values
from talewright.model.gpt import GPT
from talewright.run import RunFolder
from tests.apple_gpu import GpuTensor, apple_gpu
from tests.generate.cases import byte_tokenizer
from tests.model.shapes import lively_model
from tests.test_cli import SMALL
from tests.train.conftest import write_stories

PROMPTS = ["Tom", "Anna found the red kite and", ""]
SHAPE: dict[str, Any] = {
    "n_layers": 2,
    "n_heads": 4,
    "d_model": 32,
    "d_ff": 32,
    "vocab_size": 257,
    "context_length": 24,
}
SHAPES: dict[str, dict[str, Any]] = {
    "plain": {},
    "grouped, rotary, windows": {"n_kv_heads": 2, "positions": "rotary", "window": 8, "qk_norm": True},
    "sinusoids, untied": {"positions": "sinusoidal", "tied": False, "activation": "swiglu", "norm": "rmsnorm"},
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was trained for a second, with its corpus beside it."""
    home = tmp_path_factory.mktemp("apple")
    (home / "small.yaml").write_text(SMALL)
    write_stories(home / "stories.txt", 120)
    words = ["train", "--recipe", str(home / "small.yaml"), "--data", str(home / "stories.txt")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TALEWRIGHT_CACHE", str(home / "cache"))
        main([*words, "--out", str(home / "run")])
    return home / "run"


@pytest.fixture(autouse=True)
def cache(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TALEWRIGHT_CACHE", str(run.parent / "cache"))


def on_both(model: GPT, compute: Callable[[GPT], Any]) -> tuple[Any, Any]:
    """What is computed with the model on the CPU, and then on the stand-in."""
    expected = compute(model)
    with apple_gpu():
        return expected, compute(model.to("mps"))


def test_the_stand_in_refuses_what_the_real_one_refuses() -> None:
    with apple_gpu():
        x = torch.ones(3).to("mps")
        assert isinstance(x, GpuTensor)
        assert x.device.type == "mps"
        assert isinstance(x + 1, GpuTensor)
        assert type(x.cpu()) is torch.Tensor
        assert x.cpu().double().dtype == torch.float64
        for wrong in (x.double, lambda: x.to(torch.float64), lambda: x.sum(dtype=torch.float64)):
            with pytest.raises(TypeError, match="float64"):
                wrong()
        with pytest.raises(RuntimeError, match="same device"):
            _ = x + torch.ones(3)
        with pytest.raises(RuntimeError):
            x.numpy()


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(temperature=0.0, max_new_tokens=40, repetition_penalty=1.3),
        Sampling(top_p=0.8, max_new_tokens=40),
        Sampling(top_k=20, top_p=None, max_new_tokens=40),
        Sampling(min_p=0.02, top_p=None, max_new_tokens=40, repetition_penalty=1.2),
    ],
    ids=["greedy", "top-p", "top-k", "min-p"],
)
def test_it_generates_what_a_cpu_generates(shape: dict[str, Any], sampling: Sampling) -> None:
    """Prompts of unequal lengths, past the context, so that every mask and every sampler is met."""
    model = lively_model(ModelConfig(**{**SHAPE, **shape}), 0)

    def texts(model: GPT) -> list[str]:
        return [sample.text for sample in Engine(model, byte_tokenizer()).generate(PROMPTS, sampling)]

    expected, found = on_both(model, texts)
    assert found == expected


@pytest.mark.parametrize("precision", ["bf16", "int8"])
def test_it_generates_with_weights_of_fewer_bits(precision: WeightPrecision) -> None:
    model = lively_model(ModelConfig(**SHAPE), 0)
    with apple_gpu():
        engine = Engine(model.to("mps"), byte_tokenizer(), precision=precision)
        assert engine.generate(["Tom"], Sampling(max_new_tokens=5))[0].new_tokens == 5


@pytest.mark.slow
def test_its_evaluation_is_that_of_a_cpu(run: Path) -> None:
    """Every task: `scores.json` differs by rounding only."""
    options = {"tasks": list(TASKS), "limit": 40, "generation": GenerationOptions(stories=4)}
    expected = evaluate_run(RunFolder(run), EvaluationOptions(**options, device="cpu"))["tasks"]
    (run / "scores.json").unlink()  # whose tasks would be kept
    with apple_gpu():
        found = evaluate_run(RunFolder(run), EvaluationOptions(**options, device="mps"))["tasks"]
    assert found.keys() == set(TASKS)
    for task in ("likelihood", "understanding", "cloze"):
        assert _numbers(found[task]) == pytest.approx(_numbers(expected[task]), rel=1e-3, abs=1e-3)
    assert found["generation"]["examples"] == expected["generation"]["examples"]


@pytest.mark.slow
def test_its_report_has_all_parts(run: Path, tmp_path: Path) -> None:
    options = InspectionOptions(device="mps", against="4")
    with apple_gpu():
        report = inspect_run(run, options, tmp_path)
    assert all(f"{part}" in report.read_text().lower() for part in ("attention", "neuron", "weights", "prediction"))


def test_its_measurements_are_those_of_a_cpu() -> None:
    config = ModelConfig(**SHAPE)
    rng = np.random.default_rng(0)
    sequences = [rng.integers(0, config.vocab_size, size) for size in (20, 12, 17)]

    def measure(model: GPT) -> list[Any]:
        choices = [EncodedChoice(tokens, start) for start, tokens in enumerate(sequences, 2)]
        heads, _ = measure_heads(model, sequences, [{1}, {2}, set()])
        return [
            score_tokens(model, sequences, 0).losses,
            model_scorer(model)(choices),
            losses_without(model, sequences),
            [head.distance for head in heads],
            *prediction_stats(model, sequences),
            *predict_tokens(model, sequences[0])[:3],
            *logit_lens(model, sequences[0]),
            [each.values for neuron in find_neurons(model, sequences, [(0, 3)]) for each in neuron.examples],
            [singular_values(matrix) for *_, matrix in matrices(model)],
        ]

    expected, found = on_both(lively_model(config, 0), measure)
    for one, other in zip(expected, found, strict=True):
        for a, b in zip(one, other, strict=True):
            np.testing.assert_allclose(b, a, atol=1e-4)


def test_the_python_api_computes_on_the_named_device(run: Path) -> None:
    expected = talewright.load(run, device="cpu")
    with apple_gpu():
        opened = talewright.load(run)  # the best device
        assert opened.model.output_weight.device.type == "mps"
        assert opened.evaluate().loss == pytest.approx(expected.evaluate().loss, abs=1e-4)
        assert opened.evaluate(untrained=True).loss == pytest.approx(expected.evaluate(untrained=True).loss, abs=1e-4)
        sampling = Sampling(max_new_tokens=8)
        assert "".join(opened.stream("Tom", sampling)) == expected.generate("Tom", sampling).continuation
        assert talewright.load(run, device="cpu").model.output_weight.device.type == "cpu"


def test_the_studio_generates_and_inspects_on_it(run: Path) -> None:
    pytest.importorskip("gradio", reason="the studio needs Gradio: the extra `studio`")
    from talewright.server.registry import ModelRegistry
    from talewright.server.scheduler import Generation
    from talewright.studio.inspection_tab import inspect_story
    from talewright.studio.word_probabilities import word_probabilities

    with apple_gpu():
        loaded = ModelRegistry([run], "mps").load("run")
        assert loaded.model.output_weight.device.type == "mps"
        story = Generation(user="ada", choice="run", prompt="Tom", sampling=Sampling(max_new_tokens=8, seed=1))
        story.prompt_tokens = loaded.tokenizer.encode(story.prompt)
        story.tokens = list(Engine(loaded.model, loaded.tokenizer).stream_tokens(story.prompt_tokens, story.sampling))
        assert len(story.tokens) > 2
        words = word_probabilities(loaded, story.prompt_tokens, story.tokens)
        assert all(0 <= word.probability <= 1 for word in words)
        inspection = inspect_story(loaded, RunFolder(run), story)
        assert inspection.attention is not None
        assert len(inspection.attention.heads) == loaded.model.config.n_layers * loaded.model.config.n_heads


def _numbers(figures: Any) -> list[float]:
    """All the numbers in figures, in their order."""
    if isinstance(figures, dict):
        return [number for value in figures.values() for number in _numbers(value)]
    if isinstance(figures, list):
        return [number for value in figures for number in _numbers(value)]
    return [float(figures)] if isinstance(figures, int | float) else []
