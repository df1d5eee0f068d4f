"""Second moments: read from a checkpoint, measured, and inside the projections."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F

from talewright.cli import main
from talewright.config import ModelConfig
from talewright.inspect.influence.gradients import matrices
from talewright.inspect.influence.projections import (
    RARE,
    SecondMoment,
    measured_moments,
    random_projections,
    saved_moments,
)
from talewright.model.loss import IGNORED
from talewright.run import RunFolder
from tests.model.shapes import lively_model

CONFIG = ModelConfig(n_layers=1, n_heads=2, d_model=16, d_ff=24, vocab_size=50, context_length=12)


def test_moments_that_are_an_outer_product_divide_the_gradient_as_adam_does() -> None:
    """With such moments, projecting with the factors equals projecting gradient / sqrt(V)."""
    model = lively_model(CONFIG, 0)
    rows = {name: torch.rand(len(w)) + 0.5 for name, w in matrices(model).items()}
    columns = {name: torch.rand(w.shape[1]) + 0.5 for name, w in matrices(model).items()}
    whole = {name: rows[name][:, None] * columns[name][None] for name in rows}
    flat = {n: SecondMoment(torch.ones(len(w)), torch.ones(w.shape[1])) for n, w in matrices(model).items()}
    plain = random_projections(model, flat, 3, seed=5)
    scaled = random_projections(model, {name: SecondMoment.of(v) for name, v in whole.items()}, 3, seed=5)
    for name, weight in matrices(model).items():
        gradient, v, mean = torch.randn_like(weight), whole[name], whole[name].mean()
        damped = (v.mean(1, keepdim=True) + RARE * mean) * (v.mean(0, keepdim=True) / mean + RARE)
        torch.testing.assert_close(damped, v, atol=0.1 * float(v.max()), rtol=0)  # nearly V itself
        expected = (1 + RARE) * plain[name].out @ (gradient / damped.sqrt()) @ plain[name].into.T
        actual = scaled[name].out @ gradient @ scaled[name].into.T
        torch.testing.assert_close(actual, expected, atol=1e-4, rtol=1e-4)


def test_measured_moments_are_mean_squares_of_batch_gradients() -> None:
    model = lively_model(CONFIG, 1)
    generator = torch.Generator().manual_seed(0)
    given = [tuple(torch.randint(50, (3, 12), generator=generator) for _ in range(2)) for _ in range(2)]
    given[1][1][0, 5:] = IGNORED
    moments = measured_moments(model, [(tokens, targets) for tokens, targets in given])
    for name, weight in matrices(model).items():
        squares = torch.zeros_like(weight)
        for tokens, targets in given:
            loss = F.cross_entropy(model(tokens).flatten(0, 1), targets.flatten(), ignore_index=IGNORED)
            squares += torch.autograd.grad(loss, weight)[0].square() / 2
        torch.testing.assert_close(moments[name].rows, squares.mean(1), atol=1e-7, rtol=1e-4)
        torch.testing.assert_close(moments[name].columns, squares.mean(0), atol=1e-7, rtol=1e-4)


def test_moments_of_adamw_come_from_the_checkpoint(run: Path) -> None:
    from safetensors.torch import load_file

    folder = RunFolder(run)
    model, checkpoint = folder.load_model("best", torch.device("cpu"))
    moments = saved_moments(checkpoint, model)
    assert moments.keys() == matrices(model).keys()
    name = "blocks.0.mlp.up.weight"
    squares = load_file(checkpoint / "optimizer.safetensors")[f"exp_avg_sq.{name}"]
    torch.testing.assert_close(moments[name].columns, squares.mean(0))
    (checkpoint / "optimizer.safetensors").unlink()
    assert saved_moments(checkpoint, model) == {}


def test_muon_keeps_second_moments_of_the_embedding_alone(run: Path) -> None:
    home = run.parent
    recipe = (Path(run) / "recipe.yaml").read_text().replace("kind: adamw", "kind: muon")
    (home / "muon.yaml").write_text(recipe)
    main(["train", "--recipe", str(home / "muon.yaml"), "--out", str(home / "muon")])
    model, checkpoint = RunFolder(home / "muon").load_model("best", torch.device("cpu"))
    assert list(saved_moments(checkpoint, model)) == ["embedding.weight"]
