from __future__ import annotations

import pytest
import torch

from talewright.errors import UserError
from talewright.train import launch
from talewright.train.launch import should_compile
from talewright.train.schedule import Budget

CPU, GPU = torch.device("cpu"), torch.device("cuda")
MINUTES = Budget(max_steps=None, max_seconds=600)
MODEL = {"norm": "rmsnorm", "dropout": 0.0}


@pytest.fixture(params=[True, False], ids=["compiler", "no compiler"])
def has_compiler(request, monkeypatch):
    monkeypatch.setattr(launch, "compiler", lambda: "g++" if request.param else None)
    return request.param


def test_what_is_asked_for_is_done(small, has_compiler):
    for device in (CPU, GPU):
        assert not should_compile(small(train={"compile": False}), device, MINUTES)
    assert should_compile(small(train={"compile": True}), GPU, MINUTES)
    if has_compiler:
        assert should_compile(small(train={"compile": True}), CPU, MINUTES)
    else:
        with pytest.raises(UserError, match="no C\\+\\+ compiler"):
            should_compile(small(train={"compile": True}), CPU, MINUTES)


def test_auto_compiles_on_a_gpu_and_nowhere_without_a_compiler(small, has_compiler):
    recipe = small(train={"compile": "auto"}, model=MODEL)
    assert should_compile(recipe, GPU, Budget(max_steps=1, max_seconds=None))
    assert should_compile(recipe, CPU, MINUTES) is has_compiler
    assert not should_compile(recipe, torch.device("mps"), MINUTES)


@pytest.mark.parametrize(
    ("model", "budget", "expected"),
    [
        (MODEL, MINUTES, True),
        (MODEL, Budget(max_steps=None, max_seconds=90), False),
        (MODEL, Budget(max_steps=100, max_seconds=None), False),
        (MODEL, Budget(max_steps=10**9, max_seconds=None), True),
        (MODEL, Budget(max_steps=100, max_seconds=600), False),
        (MODEL, Budget(max_steps=10**9, max_seconds=90), False),
        ({**MODEL, "norm": "layernorm"}, MINUTES, False),
        ({**MODEL, "dropout": 0.1}, MINUTES, False),
    ],
)
def test_auto_compiles_on_a_cpu_where_it_pays(small, monkeypatch, model, budget, expected):
    monkeypatch.setattr(launch, "compiler", lambda: "g++")
    recipe = small(train={"compile": "auto"}, model=model)
    assert should_compile(recipe, CPU, budget) is expected
