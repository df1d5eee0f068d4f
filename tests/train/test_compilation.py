from __future__ import annotations

import pytest
import torch

from talewright.errors import UserError
from talewright.machine import compiler
from talewright.run.log import read_log
from talewright.train import compilation
from talewright.train.compilation import should_compile
from talewright.train.schedule import Budget
from tests.train.conftest import train_small

CPU, GPU = torch.device("cpu"), torch.device("cuda")
MINUTES = Budget(max_steps=None, max_seconds=600)
MODEL = {"norm": "rmsnorm", "dropout": 0.0}


@pytest.fixture(params=[True, False], ids=["compiler", "no compiler"])
def has_compiler(request, monkeypatch):
    monkeypatch.setattr(compilation, "compiler", lambda: "g++" if request.param else None)
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
    monkeypatch.setattr(compilation, "compiler", lambda: "g++")
    recipe = small(train={"compile": "auto"}, model=model)
    assert should_compile(recipe, CPU, budget) is expected


@pytest.mark.slow
@pytest.mark.skipif(compiler() is None, reason="there is no C++ compiler here")
def test_compiled_a_run_learns_the_same(small, small_corpus, teacher_run, tmp_path):
    """With a teacher, which changes what the compiled model is given."""
    shape = {**MODEL, "positions": "rotary", "activation": "swiglu", "qk_norm": True}
    more = {"teacher": str(teacher_run), "max_steps": 6}
    for compiled in (False, True):
        recipe = small(model=shape, train={**more, "compile": compiled}, optimizer={"kind": "muon"})
        train_small(recipe, small_corpus, tmp_path / str(compiled))
    eager, compiled = (
        [
            (event["loss"], event["plain_loss"])
            for event in read_log(tmp_path / name / "log.jsonl")
            if event["event"] == "step"
        ]
        for name in ("False", "True")
    )
    assert len(eager) == 6
    assert compiled == [pytest.approx(losses, rel=1e-3) for losses in eager]
