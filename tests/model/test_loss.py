"""Cross-entropy against torch's, on the whole logits."""

from __future__ import annotations

import math
from typing import cast

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import talewright.model.loss as loss_module
from talewright.model.loss import IGNORED, cross_entropy, softmax_gradient_on_gpu, token_scores
from tests.model.shapes import SEEDS

Case = tuple[Tensor, Tensor, Tensor]


@st.composite
def cases(draw: st.DrawFn, max_places: int = 40) -> Case:
    """hidden (B, T, D), weight (V, D), targets (B, T) of which some, none or all are padding."""
    B, T = draw(st.integers(1, 4)), draw(st.integers(1, max_places))
    D, V = draw(st.integers(1, 16)), draw(st.integers(2, 300))
    return make_case(B, T, D, V, draw(st.sampled_from([0.0, 0.3, 1.0])), draw(SEEDS))


def make_case(B: int, T: int, D: int, V: int, padding: float, seed: int) -> Case:
    generator = torch.Generator().manual_seed(seed)
    hidden, weight = (torch.randn(*shape, generator=generator).requires_grad_() for shape in ((B, T, D), (V, D)))
    targets = torch.randint(V, (B, T), generator=generator)
    targets[torch.rand(B, T, generator=generator) < padding] = IGNORED
    return hidden, weight, targets


def expected_loss(hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    """In float64, place by place over real targets: -log of the softmax."""
    real = targets != IGNORED
    logits = (hidden @ weight.T)[real]
    return (logits.logsumexp(-1) - logits.gather(-1, targets[real][:, None])[:, 0]).sum()


def assert_same_loss_and_gradients(case: Case) -> None:
    hidden, weight, targets = case
    doubles = hidden.detach().double().requires_grad_(), weight.detach().double().requires_grad_()
    expected = expected_loss(*doubles, targets)
    loss = cross_entropy(hidden, weight, targets)
    assert (loss.shape, loss.dtype) == ((), torch.float32)
    torch.testing.assert_close(loss.double(), expected, atol=1e-4, rtol=1e-5)
    (0.37 * loss).backward()  # not 1: what comes from above is to be passed on
    for found, wanted in zip((hidden, weight), torch.autograd.grad(0.37 * expected, doubles), strict=True):
        assert found.grad is not None
        torch.testing.assert_close(found.grad.double(), wanted, atol=1e-5, rtol=1e-3)


@settings(max_examples=60)
@given(case=cases())
def test_loss_and_gradients_equal_the_formula(case: Case) -> None:
    assert_same_loss_and_gradients(case)


@pytest.mark.parametrize(("B", "T", "V"), [(8, 256, 1000), (1, 4099, 300), (3, 1023, 2049)])
def test_loss_and_gradients_equal_the_formula_at_full_size(B: int, T: int, V: int) -> None:
    """Larger than any piece in which a loss might be computed, and no multiple of it."""
    assert_same_loss_and_gradients(make_case(B, T, 16, V, 0.1, 0))


@settings(max_examples=25)
@given(case=cases())
def test_loss_is_torchs_sum_over_real_targets(case: Case) -> None:
    hidden, weight, targets = case
    logits = F.linear(hidden, weight).flatten(0, 1)
    wanted = F.cross_entropy(logits, targets.flatten(), ignore_index=IGNORED, reduction="sum")
    torch.testing.assert_close(cross_entropy(hidden, weight, targets), wanted, atol=1e-4, rtol=1e-5)


@settings(max_examples=25)
@given(case=cases(), seed=SEEDS)
def test_what_stands_at_padding_changes_neither_loss_nor_gradient(case: Case, seed: int) -> None:
    hidden, weight, targets = case
    other = hidden.detach().clone()
    other[targets == IGNORED] = 5 * torch.randn(1, generator=torch.Generator().manual_seed(seed))
    other.requires_grad_()
    losses = [cross_entropy(h, weight, targets) for h in (hidden, other)]
    torch.testing.assert_close(*losses)
    torch.testing.assert_close(*(torch.autograd.grad(loss, weight)[0] for loss in losses), atol=1e-5, rtol=1e-4)
    (gradient,) = torch.autograd.grad(cross_entropy(other, weight, targets), other)
    assert torch.all(gradient[targets == IGNORED] == 0)


def test_padding_alone_has_no_loss_and_no_gradient() -> None:
    hidden, weight, targets = make_case(2, 5, 4, 10, 1.0, 0)
    loss = cross_entropy(hidden, weight, targets)
    loss.backward()
    assert loss.item() == 0
    for tensor in (hidden, weight):
        assert tensor.grad is not None
        assert tensor.grad.count_nonzero() == 0


def test_targets_need_not_lie_in_one_piece_of_memory() -> None:
    hidden, weight, _ = make_case(3, 7, 4, 10, 0.0, 0)
    stream = torch.randint(10, (3, 8))
    shifted = stream[:, 1:]
    assert not shifted.is_contiguous()
    for targets in (shifted, torch.randint(10, (7, 3)).T):
        torch.testing.assert_close(
            cross_entropy(hidden, weight, targets), expected_loss(hidden, weight, targets), atol=1e-4, rtol=1e-5
        )


def test_indifferent_logits_lose_the_logarithm_of_the_vocabulary() -> None:
    hidden, targets = torch.zeros(2, 6, 4), torch.randint(50, (2, 6))
    assert cross_entropy(hidden, torch.randn(50, 4), targets).item() / 12 == pytest.approx(math.log(50))


def test_huge_logits_are_no_trouble() -> None:
    hidden, weight, targets = make_case(2, 5, 4, 10, 0.0, 0)
    hidden = (1e4 * hidden).detach().requires_grad_()
    loss, wanted = cross_entropy(hidden, weight, targets), expected_loss(hidden, weight, targets)
    torch.testing.assert_close(loss, wanted)
    found = torch.autograd.grad(loss, [hidden, weight])
    for gradient, expected in zip(found, torch.autograd.grad(wanted, [hidden, weight]), strict=True):
        torch.testing.assert_close(gradient, expected, atol=1e-2, rtol=1e-3)


@pytest.mark.parametrize("scale", [3.0, 10.0])
def test_improbable_targets_lose_exactly_what_they_should(scale: float) -> None:
    hidden, weight, targets = make_case(4, 20, 4, 50, 0.0, 1)
    hidden = (scale * hidden).detach()
    wanted = expected_loss(hidden.double(), weight.double(), targets)
    assert wanted / 80 > 2 * scale
    torch.testing.assert_close(cross_entropy(hidden, weight, targets).double(), wanted, atol=1e-3, rtol=1e-5)


def test_half_precision_is_summed_in_float32() -> None:
    hidden, weight, targets = make_case(4, 500, 8, 64, 0.0, 0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = cross_entropy(hidden, weight, targets)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(expected_loss(hidden, weight, targets).item(), rel=5e-3)
    loss.backward()
    assert hidden.grad is not None
    assert hidden.grad.dtype == torch.float32


@settings(max_examples=80)
@given(case=cases(), columns=st.sampled_from([1, 7, 64, 2048]), ties=st.booleans())
def test_token_scores_are_the_losses_one_by_one_and_whether_each_was_the_argmax(
    case: Case, columns: int, ties: bool
) -> None:
    hidden, weight, targets = case
    if ties:  # equal logits, of which the first counts
        hidden, weight = hidden.detach().sign(), weight.detach().sign()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loss_module, "COLUMNS_AT_ONCE", columns)
        losses, correct = token_scores(hidden, weight, targets)
    assert losses.shape == correct.shape == targets.shape
    assert not losses.requires_grad
    real = targets != IGNORED
    assert torch.all(losses[~real] == 0)
    assert not correct[~real].any()
    logits = F.linear(hidden, weight).detach()
    wanted = -logits.log_softmax(-1).gather(-1, targets.clamp(min=0)[..., None])[..., 0]
    torch.testing.assert_close(losses[real], wanted[real], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(losses.sum(), cross_entropy(hidden, weight, targets).detach(), atol=1e-3, rtol=1e-4)
    assert torch.equal(correct[real], logits.argmax(-1)[real] == targets[real])


@pytest.mark.parametrize("held", [1, 130, 700, 1000])
def test_loss_and_gradients_do_not_depend_on_how_many_logits_are_held(
    monkeypatch: pytest.MonkeyPatch, held: int
) -> None:
    monkeypatch.setattr(loss_module, "SLICE", held)
    assert_same_loss_and_gradients(make_case(3, 17, 8, 61, 0.2, 0))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("scale", [0.1, 3.0, 30.0])
def test_the_loss_on_a_gpu_is_that_on_a_cpu(dtype: torch.dtype, scale: float) -> None:
    logits = (scale * torch.randn(64, 301)).to(dtype)
    targets = torch.randint(301, (64,))
    log_p = logits.double().log_softmax(-1)
    p = log_p.exp()
    p[torch.arange(64), targets] -= 1
    found, gradient = softmax_gradient_on_gpu(logits, targets)
    step = torch.finfo(dtype).eps
    expected = -log_p[torch.arange(64), targets].sum().item()
    assert found.item() == pytest.approx(expected, rel=step, abs=64 * max(step, 1e-6))
    torch.testing.assert_close(gradient.double(), p, atol=2 * step, rtol=2 * step)


def test_rows_of_the_output_layer_that_only_fill_it_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    hidden, weight, targets = torch.randn(2, 9, 8), torch.randn(37, 8), torch.randint(37, (2, 9))

    def results() -> list[Tensor]:
        h, w = hidden.clone().requires_grad_(), weight.clone().requires_grad_()
        seen = []

        def adjustment(rows: slice, logits: Tensor, targets: Tensor, d_logits: Tensor) -> Tensor:
            seen.append(logits.clone())
            d_logits += 0.1 * logits
            return logits.square().sum() * 0.05

        total = cross_entropy(h, w, targets, adjustment)
        total[0].backward()
        return [total.detach(), *seen, cast(Tensor, h.grad), cast(Tensor, w.grad)]

    plain = results()
    monkeypatch.setattr(loss_module, "pad_vocabulary", lambda weight: F.pad(weight, (0, 0, 0, 27)))
    torch.testing.assert_close(results(), plain)
