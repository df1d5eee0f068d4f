"""Where a run compiles its model, and what happens where that fails."""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch._dynamo.backends.common import aot_autograd
from torch._dynamo.testing import CompileCounter
from torch._functorch._aot_autograd.utils import make_boxed_func

from talewright.config import load_recipe
from talewright.machine import compiler
from talewright.machine.speeds import Speed, record_speed
from talewright.model.gpt import GPT
from talewright.run.log import read_log
from talewright.train import compilation
from talewright.train.compilation import compiled, should_compile
from talewright.train.objective import Objective
from talewright.train.schedule import Budget
from talewright.train.setup_name import setup_name
from tests.model.shapes import token_batch
from tests.model.test_compilation import STRUCTURES
from tests.train.conftest import train_small

CPU, GPU, APPLE = torch.device("cpu"), torch.device("cuda"), torch.device("mps")
MINUTES = Budget(max_steps=None, max_seconds=600)
MODEL = {"norm": "rmsnorm", "dropout": 0.0}
STRUCTURE = load_recipe("story-1m").model


@pytest.fixture(autouse=True)
def machine(tmp_path, monkeypatch):
    """A machine with a compiler, a slow processor and a fast GPU, that has trained nothing yet."""
    monkeypatch.setenv("TALEWRIGHT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(compilation, "compile_failure", lambda device_type: None)
    monkeypatch.setattr(compilation, "known_peak", lambda device, precision: 5e14 if device.type == "cuda" else 2e11)
    compilation._works.cache_clear()
    yield
    compilation._works.cache_clear()


@pytest.fixture
def broken(monkeypatch):
    monkeypatch.setattr(compilation, "compile_failure", lambda device_type: "it is broken; repair it")


@pytest.mark.parametrize("device", [CPU, GPU, APPLE])
def test_what_is_asked_for_is_done(small, device):
    assert not should_compile(small(train={"compile": False}), device, MINUTES)
    assert should_compile(small(train={"compile": True}), device, Budget(max_steps=1, max_seconds=1.0))


@pytest.mark.parametrize("wanted", [True, "auto"])
def test_without_a_working_compiler_one_warning_says_so(small, broken, caplog, wanted):
    recipe = small(train={"compile": wanted}, model=MODEL)
    assert not any(should_compile(recipe, CPU, MINUTES) for _ in range(3))
    assert [record.getMessage() for record in caplog.records] == [
        "training without torch.compile: it is broken; repair it"
    ]


def test_nothing_is_said_or_tried_where_compiling_is_not_wanted(small, monkeypatch, caplog):
    monkeypatch.setattr(compilation, "compile_failure", None)  # calling it would raise
    assert not should_compile(small(train={"compile": False}, model=MODEL), CPU, MINUTES)
    assert not should_compile(small(train={"compile": "auto"}, model=MODEL), CPU, Budget(None, 90))
    assert not caplog.records


def test_one_of_several_processes_names_itself(small, broken, monkeypatch, caplog):
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_rank", lambda: 1)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    assert not should_compile(small(train={"compile": True}), CPU, MINUTES)
    assert "process 1 of 2 is training without torch.compile" in caplog.text


@pytest.mark.parametrize(
    ("model", "budget", "expected"),
    [
        (MODEL, MINUTES, True),
        (MODEL, Budget(max_steps=None, max_seconds=300), True),
        (MODEL, Budget(max_steps=None, max_seconds=90), False),
        (MODEL, Budget(max_steps=100, max_seconds=None), False),
        (MODEL, Budget(max_steps=10**9, max_seconds=None), True),
        (MODEL, Budget(max_steps=100, max_seconds=600), False),
        (MODEL, Budget(max_steps=10**9, max_seconds=90), False),
        ({**MODEL, "dropout": 0.1}, MINUTES, True),
        ({"norm": "layernorm", "dropout": 0.1}, Budget(max_steps=None, max_seconds=900), True),
        ({"norm": "layernorm", "dropout": 0.0}, Budget(max_steps=None, max_seconds=900), False),
        ({"norm": "layernorm", "dropout": 0.0}, Budget(max_steps=None, max_seconds=1800), True),
    ],
)
def test_auto_compiles_on_a_cpu_where_it_pays(small, model, budget, expected):
    recipe = small(train={"compile": "auto"}, model=model)
    assert should_compile(recipe, CPU, budget) is expected
    assert not should_compile(recipe, APPLE, budget)


def test_a_fast_processor_needs_more_steps(monkeypatch):
    recipe, budget = load_recipe("story-1m"), Budget(max_steps=3_000, max_seconds=None)
    monkeypatch.setattr(compilation, "known_peak", lambda device, precision: 2e11)
    assert should_compile(recipe, CPU, budget)
    monkeypatch.setattr(compilation, "known_peak", lambda device, precision: 1e13)
    assert not should_compile(recipe, CPU, budget)


@pytest.mark.parametrize("device", [CPU, GPU])
@pytest.mark.parametrize(("seconds", "expected"), [(0.4, True), (0.1, False)])
def test_a_speed_measured_before_is_what_counts(monkeypatch, device, seconds, expected):
    recipe = load_recipe("story-1m")
    tokens = recipe.train.micro_batch * recipe.train.accumulation * recipe.sequence_length
    record_speed(setup_name(recipe, False), recipe.train.micro_batch, Speed(tokens / seconds))
    monkeypatch.setattr(compilation, "known_peak", None)
    assert should_compile(recipe, device, Budget(max_steps=1000, max_seconds=None)) is expected


@pytest.mark.parametrize(
    ("name", "budget", "expected"),
    [
        ("quickstart", Budget(None, 90), False),  # talewright demo
        ("gpt2-124m", Budget(None, 200), False),
        ("gpt2-124m", Budget(None, 600), True),
        ("gpt2-124m", Budget(1_000, None), False),
        ("gpt2-124m", Budget(45_000, None), True),  # launching 900 kernels a step takes 9 ms
        ("story-125m", Budget(400, None), False),
        ("story-125m", Budget(4_000, None), True),  # 1e14 FLOPs a step
        ("story-125m", Budget(4_000, 90), False),
    ],
)
def test_auto_compiles_on_a_gpu_where_it_pays(name, budget, expected):
    assert should_compile(load_recipe(name), GPU, budget) is expected


class Doubler(nn.Module):
    """A module whose method draws a random number."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3))

    def doubled(self, x: Tensor) -> Tensor:
        return 2 * self.weight * x + torch.rand(())


def interpret(graph, inputs):
    return make_boxed_func(graph.forward)


def fail(graph, inputs):
    raise RuntimeError("no code for you")


def compile_with(backend):
    """torch.compile with another backend, which knows none of inductor's options."""
    real = torch.compile
    return lambda function, options, **how: real(function, backend=backend, **how)


BACKENDS = {
    "works": aot_autograd(fw_compiler=interpret),
    "forward fails": fail,
    "backward fails": aot_autograd(fw_compiler=interpret, bw_compiler=fail),
}


@pytest.mark.parametrize("kind", BACKENDS)
def test_a_failed_compilation_leaves_eager_execution_and_one_warning(kind, monkeypatch, caplog):
    caplog.set_level(logging.WARNING, "talewright")
    torch._dynamo.reset()
    monkeypatch.setattr(torch, "compile", compile_with(BACKENDS[kind]))
    module, x = Doubler(), torch.arange(3.0)
    double = partial(compiled(Doubler.doubled), module)
    torch.manual_seed(5)
    found = [double(x), double(x)]
    torch.manual_seed(5)
    torch.testing.assert_close(found, [module.doubled(x), module.doubled(x)])
    assert module.weight.grad is None
    found[1].sum().backward()
    torch.testing.assert_close(module.weight.grad, 2 * x)
    messages = [record.getMessage() for record in caplog.records if record.name.startswith("talewright")]
    assert len(messages) == (kind != "works")
    assert all("without torch.compile" in message and "no code for you" in message for message in messages)


def test_compiled_gradients_that_are_not_finite_are_not_used(monkeypatch, caplog):
    """Code whose gradients alone are wrong: the module's own are finite, and so they are what is trained with."""
    caplog.set_level(logging.WARNING, "talewright")

    def backend(function, options, **how):
        return lambda module, x: function(module, x) + (module.weight * float("nan")).nan_to_num()

    monkeypatch.setattr(torch, "compile", backend)
    module = Doubler()
    compiled(Doubler.doubled)(module, torch.ones(3)).sum().backward()
    torch.testing.assert_close(module.weight.grad, torch.full((3,), 2.0))
    assert "a gradient that is not finite" in caplog.text


@pytest.mark.skipif(compiler() is None, reason="there is no C++ compiler here")
def test_compiled_windows_of_256_with_heads_of_64_have_the_gradients_of_eager_ones(caplog):
    """The shape for which torch's generated code once had gradients of NaN; and values that come from another block."""
    torch.manual_seed(0)
    config = replace(STRUCTURE, n_layers=2, n_heads=2, context_length=256, vocab_size=300, value_residual=True)
    model, tokens = GPT(config), torch.randint(300, (8, 256))
    gradients = []
    for compile_model in (False, True):
        with torch.autocast("cpu", torch.bfloat16):
            loss = Objective(model, compile_model)(tokens, tokens)
        gradients.append(torch.autograd.grad(loss, list(model.parameters())))
    for eager, fast in zip(*gradients, strict=True):
        torch.testing.assert_close(fast, eager, rtol=0.05, atol=0.02 * float(eager.abs().max()))
    assert "without torch.compile" not in caplog.text  # it would be eager too


def test_compiled_code_is_what_runs(monkeypatch):
    ran = []

    def backend(graph, inputs):
        return lambda *arguments: ran.append(1) or graph(*arguments)

    torch._dynamo.reset()
    monkeypatch.setattr(torch, "compile", compile_with(backend))
    double = partial(compiled(Doubler.doubled), Doubler())
    for _ in range(3):
        double(torch.ones(3))
    assert len(ran) == 4  # the first call runs twice


@pytest.mark.parametrize("dropout", [0.0, 0.1])
@pytest.mark.parametrize("config", STRUCTURES, ids=STRUCTURES.values())
def test_all_blocks_of_a_recipe_share_compiled_code(config, dropout, monkeypatch):
    """One graph for global attention, and one for a local window: torch compiles a third time for nothing else."""
    counter = CompileCounter()
    monkeypatch.setattr(torch, "compile", compile_with(counter))
    config = replace(config, n_layers=4, dropout=dropout)
    objective = Objective(GPT(config).train(), compile_model=True)
    tokens = token_batch(config, 0)
    for _ in range(2):
        objective(tokens, tokens).backward()
    assert counter.frame_count == len({config.layer_window(layer) for layer in range(4)})


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory"), KeyboardInterrupt()])
def test_what_is_no_failure_of_the_compiler_is_raised(error, monkeypatch):
    def run(*arguments):
        raise error

    monkeypatch.setattr(torch, "compile", lambda function, **options: run)
    with pytest.raises(type(error)):
        compiled(Doubler.doubled)(Doubler(), torch.ones(3))


@pytest.mark.slow
@pytest.mark.skipif(compiler() is None, reason="there is no C++ compiler here")
def test_compiled_a_run_learns_the_same(small, small_corpus, teacher_run, tmp_path):
    """With a teacher, which changes what the compiled model is given."""
    shape = {**MODEL, "positions": "rotary", "activation": "swiglu", "qk_norm": True}
    more = {"teacher": str(teacher_run), "max_steps": 6}
    for wanted in (False, True):
        recipe = small(model=shape, train={**more, "compile": wanted}, optimizer={"kind": "muon"})
        train_small(recipe, small_corpus, tmp_path / str(wanted))
    eager, fast = (
        [
            (event["loss"], event["plain_loss"])
            for event in read_log(tmp_path / name / "log.jsonl")
            if event["event"] == "step"
        ]
        for name in ("False", "True")
    )
    assert len(eager) == 6
    assert fast == [pytest.approx(losses, rel=1e-3) for losses in eager]


def test_a_shape_that_was_compiled_before_pays_sooner(small):
    recipe = small(train={"compile": "auto"}, model=MODEL)
    short = Budget(max_steps=None, max_seconds=120)
    assert not should_compile(recipe, CPU, short)
    record_speed(setup_name(recipe, True), recipe.train.micro_batch, Speed(1e4, 40.0))
    assert should_compile(recipe, CPU, short)
    assert not should_compile(recipe, CPU, Budget(max_steps=None, max_seconds=20))
