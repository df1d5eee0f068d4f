"""Programs that run the classes of transformers: only for models that they compute the same."""

from __future__ import annotations

import shlex

import pytest

from talewright.config import load_recipe, recipe_names
from talewright.export import TARGETS
from talewright.export.adapters import PUBLISHED, choose_adapter
from talewright.export.programs import PROGRAMS

LLAMA = {"norm": "rmsnorm", "positions": "rotary", "activation": "swiglu", "bias": ()}
QWEN3 = {**LLAMA, "qk_norm": True}
CASES = {
    "Llama": (LLAMA, {"vLLM", "MLX"}),
    "Llama with biases": ({**LLAMA, "bias": ("qkv", "out", "mlp")}, {"vLLM", "MLX"}),
    "Llama with groups and an output layer": ({**LLAMA, "n_kv_heads": 1, "tied": False}, {"vLLM", "MLX"}),
    "Qwen3": (QWEN3, {"vLLM", "MLX"}),
    "Qwen3 with biases": ({**QWEN3, "bias": ("qkv",)}, set()),
    "Qwen3 with local layers": ({**QWEN3, "attention": ("global", "local"), "window": 4}, set()),
    "GPT-2": ({"activation": "gelu_tanh"}, {"vLLM"}),
    "GPT-2 with an output layer": ({"activation": "gelu_tanh", "tied": False}, set()),
    "GPT-2 with a scaled embedding": ({"activation": "gelu_tanh", "embedding_scaled": True}, set()),
    "GPT-Neo": ({"attention": ("global", "local"), "window": 4, "bias": ("out", "mlp")}, set()),
}


@pytest.mark.parametrize("case", CASES)
def test_a_program_is_named_only_for_what_it_computes_the_same(case, make_source, tmp_path):
    settings, names = CASES[case]
    source, folder = make_source(**settings), tmp_path / "Lily's stories"
    folder.mkdir()
    TARGETS["hf"].write(source, folder, "f32")
    commands = TARGETS["hf"].commands(folder)
    assert commands.keys() == {"transformers", *names}
    usage = TARGETS["hf"].usage("./Lily's stories", source.recipe.model)
    for name in ("vLLM", "MLX"):
        assert (f"# {name}\n" in usage) == (name in names)
    for name in names:  # shells read the folder as one word
        assert str(folder) in shlex.split(commands[name])
    if "MLX" in names:
        first, second = (line for line in usage.splitlines() if line.startswith("mlx_lm."))
        assert shlex.split(first)[1:] == ["--hf-path", "./Lily's stories", "--mlx-path", "Lily's stories-mlx"]
        assert shlex.split(second)[2] == "Lily's stories-mlx"


def test_the_table_has_only_classes_that_an_export_can_be():
    assert {name for program in PROGRAMS for name in program.classes} < {each.architecture for each in PUBLISHED}


@pytest.mark.parametrize("recipe", recipe_names())
def test_every_recipe_has_a_usage(recipe):
    config = load_recipe(recipe).model
    if choose_adapter(config)[0] is not None:
        assert "pipeline(" in TARGETS["hf"].usage("./out", config)
    story = recipe.startswith(("story-", "ten-story"))
    assert not story or "mlx_lm.convert" in TARGETS["hf"].usage("./out", config)


@pytest.mark.parametrize("case", [name for name, (_, names) in CASES.items() if "MLX" in names])
def test_mlx_computes_the_same(case, make_source, tmp_path):
    mlx = pytest.importorskip("mlx.core", reason="MLX is not installed (mlx-lm; on Linux also mlx[cpu])")
    mlx_lm = pytest.importorskip("mlx_lm", reason="mlx-lm is not installed")
    import numpy as np
    import torch

    source = make_source(**CASES[case][0])
    TARGETS["hf"].write(source, tmp_path, "f32")
    model, _ = mlx_lm.load(str(tmp_path))
    tokens = np.random.default_rng(0).integers(1, 299, size=(2, 24))
    theirs = np.array(model(mlx.array(tokens)))
    with torch.inference_mode():
        ours = source.model(torch.tensor(tokens)).numpy()
    np.testing.assert_allclose(theirs[..., : ours.shape[-1]], ours, atol=2e-5 * max(1, np.abs(ours).max()))
