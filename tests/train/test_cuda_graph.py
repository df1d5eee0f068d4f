"""Which gradients are recorded as a CUDA graph, and training with one. tests/gpu records real ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest
import torch
from torch import Tensor

from talewright.config import Recipe, load_recipe
from talewright.data import Batches, Corpus
from talewright.train import cuda_graph
from talewright.train.cuda_graph import python_is_the_limit, record_gradient
from talewright.train.trainer import Trainer, training_batches
from tests.gpu.training import losses, make_trainer, train


class StandIn:
    """Computes again what a graph would replay."""

    def __init__(self, trainer: Trainer) -> None:
        self.trainer, self.replays = trainer, 0
        for parameter in trainer.model.parameters():
            parameter.grad = torch.zeros_like(parameter)
        self.gradients = [cast(Tensor, parameter.grad) for parameter in trainer.model.parameters()]

    def replay(self, inputs: Tensor, targets: Tensor, count: Tensor) -> Tensor:
        self.replays += 1
        now = [parameter.grad for parameter in self.trainer.model.parameters()]
        assert all(a is b for a, b in zip(now, self.gradients, strict=True))  # a graph knows only these tensors
        return self.trainer._add_gradient(inputs, targets, count)


@pytest.mark.parametrize("layout", ["packed", "rows"])
def test_losses_are_the_same_with_a_graph(layout: str, small: Callable[..., Recipe], small_corpus: Corpus) -> None:
    """A graph does not know padding: micro-batches that have some are computed without it."""
    recipe = small(data={"layout": layout}, model={"context_length": 24})
    batches = training_batches(recipe, small_corpus.split("train"))
    steps = batches.samples_per_epoch // 8 + 2
    plain, recorded = make_trainer(recipe, batches), make_trainer(recipe, batches)
    graph = StandIn(recorded)
    recorded._graph = cast(Any, graph)
    assert losses(train(recorded, steps)) == pytest.approx(losses(train(plain, steps)), rel=1e-5)
    assert graph.replays == sum(is_whole(batches, 4 * index) for index in range(2 * steps)) > 0
    assert (graph.replays == 2 * steps) == (layout == "packed")


def is_whole(batches: Batches, first: int) -> bool:
    """Whether the micro-batch that begins with this sample has no padding."""
    return bool((batches.samples(first, 4)[1] >= 0).all())


def test_small_models_and_batches_are_recorded() -> None:
    def limited(name: str, micro_batch: int) -> bool:
        return python_is_the_limit(load_recipe(name), micro_batch)

    assert limited("gpt2-124m", 8)
    assert not limited("gpt2-124m", 512)
    assert limited("story-3m", 16)
    assert not limited("story-3m", 4096)


def test_what_cannot_be_recorded_is_trained_without(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("operation not permitted when stream is capturing\nand more")

    monkeypatch.setattr(cuda_graph, "GradientGraph", fail)
    parameter = torch.nn.Parameter(torch.ones(2))
    parameter.grad = torch.full((2,), 7.0)  # of a pass before recording
    assert record_gradient(lambda *_: torch.zeros(1), (2, 3), torch.device("cpu"), [parameter]) is None
    assert parameter.grad is None
    assert caplog.messages == ["training without a CUDA graph: operation not permitted when stream is capturing"]


def test_a_full_gpu_is_not_taken_for_what_cannot_be_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(cuda_graph, "GradientGraph", fail)
    with pytest.raises(torch.OutOfMemoryError):
        record_gradient(lambda *_: torch.zeros(1), (2, 3), torch.device("cpu"), [])
