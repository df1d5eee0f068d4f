from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from talewright.train import muon
from talewright.train.muon import Muon, newton_schulz, share_newton_schulz


def orthogonal(gradient: np.ndarray) -> np.ndarray:
    """Jordan's five steps of Newton and Schulz, on singular values: the same quintic polynomial of each."""
    left, values, right = np.linalg.svd(gradient / np.linalg.norm(gradient), full_matrices=False)
    for _ in range(5):
        values = 3.4445 * values - 4.7750 * values**3 + 2.0315 * values**5
    return left @ np.diag(values) @ right


@given(st.integers(1, 4), st.integers(1, 40), st.integers(1, 40), st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_each_matrix_of_a_stack_becomes_orthogonal(n, rows, columns, seed):
    drawn = torch.randn(n, rows, columns, generator=torch.Generator().manual_seed(seed))
    found = newton_schulz(drawn, torch.float64).numpy()
    for one, matrix in zip(found, drawn.double().numpy(), strict=True):
        np.testing.assert_allclose(one, orthogonal(matrix), atol=1e-9)


@pytest.mark.parametrize(("rows", "columns"), [(16, 40), (40, 16), (2, 16), (1, 7)])
def test_in_bfloat16_it_is_orthogonal_too(rows, columns):
    """If it is far from square. A square one may be next to one of a lower rank, and rounding decides a direction."""
    drawn = torch.randn(3, rows, columns, generator=torch.Generator().manual_seed(80))
    for one, matrix in zip(newton_schulz(drawn).double().numpy(), drawn.double().numpy(), strict=True):
        np.testing.assert_allclose(one, orthogonal(matrix), atol=0.1)


@given(st.lists(st.tuples(st.integers(1, 24), st.integers(1, 24)), min_size=1, max_size=5), st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_of_whole_matrices_it_does_what_torch_does(shapes, seed):
    generator = torch.Generator().manual_seed(seed)
    ours = [nn.Parameter(torch.randn(shape, generator=generator)) for shape in shapes]
    torchs = [nn.Parameter(p.detach().clone()) for p in ours]
    optimizer = Muon({p: [len(p)] for p in ours}, lr=0.1, weight_decay=0.2, momentum=0.9)
    reference = torch.optim.Muon(torchs, lr=0.1, weight_decay=0.2, momentum=0.9, adjust_lr_fn="match_rms_adamw")
    for _ in range(3):
        for one, other in zip(ours, torchs, strict=True):
            one.grad = torch.randn(one.shape, generator=generator)
            other.grad = one.grad.clone()
        optimizer.step()
        reference.step()
    for one, other in zip(ours, torchs, strict=True):
        size = 0.1 * 0.2 * max(one.shape) ** 0.5
        torch.testing.assert_close(one, other, atol=0.15 * size, rtol=1e-5)  # sums in another order, in bfloat16


def test_parts_of_a_matrix_move_as_if_each_were_alone():
    torch.manual_seed(0)
    whole = nn.Parameter(torch.randn(20, 8))
    alone = [nn.Parameter(part.clone()) for part in whole.detach().split([8, 4, 8])]
    whole.grad = torch.randn(20, 8)
    for part, gradient in zip(alone, whole.grad.split([8, 4, 8]), strict=True):
        part.grad = gradient.clone()
    Muon({whole: [8, 4, 8]}, 0.1, 0.0, 0.9).step()
    Muon({part: [len(part)] for part in alone}, 0.1, 0.0, 0.9).step()
    torch.testing.assert_close(whole.detach(), torch.cat([part.detach() for part in alone]))


def test_a_matrix_without_a_gradient_stays():
    still = nn.Parameter(torch.ones(4, 4))
    optimizer = Muon({still: [4]}, 0.1, 0.5, 0.9)
    optimizer.step()
    assert torch.equal(still, torch.ones(4, 4))
    assert not optimizer.state


def matrices_with_gradients(seed: int = 0) -> dict[torch.Tensor, list[int]]:
    """Five matrices of three shapes, one of them stacked, with drawn gradients."""
    generator = torch.Generator().manual_seed(seed)
    found: dict[torch.Tensor, list[int]] = {}
    for rows, columns, sizes in ((8, 8, [8]), (24, 8, [8, 8, 8]), (16, 8, [16]), (8, 16, [8]), (8, 16, [8])):
        matrix = nn.Parameter(torch.randn(rows, columns, generator=generator))
        matrix.grad = torch.randn(rows, columns, generator=generator)
        found[matrix] = sizes
    return found


def contents(optimizer: Muon) -> list[torch.Tensor]:
    """Copies of all weights and of all momentum."""
    weights = [p.detach().clone() for p in optimizer.split_sizes]
    return weights + [optimizer.state[p]["momentum_buffer"].clone() for p in optimizer.split_sizes]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_found_inf_leaves_weights_and_momentum_as_they_were(value):
    optimizer = Muon(matrices_with_gradients(), 0.1, 0.2, 0.9)
    optimizer.step()
    before = contents(optimizer)
    for number, p in enumerate(optimizer.split_sizes):
        assert p.grad is not None
        p.grad[0, 0] = value if number % 2 else 1e38  # what overflowed somewhere is finite elsewhere
    optimizer.found_inf = torch.tensor(1.0)
    optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip(contents(optimizer), before, strict=True))


def test_found_inf_of_zero_changes_no_bit():
    """Neither where the host reads it, nor where the device does."""
    plain, read, on_device = (Muon(matrices_with_gradients(), 0.1, 0.2, 0.9) for _ in range(3))
    read.found_inf = torch.tensor(0.0)
    for _ in range(3):
        plain.step()
        read.step()
        on_device.update(torch.tensor(False))
    for a, b, c in zip(contents(plain), contents(read), contents(on_device), strict=True):
        assert torch.equal(a, b)
        assert torch.equal(a, c)


@pytest.mark.parametrize("processes", [2, 3, 5])
def test_processes_share_the_matrices_of_a_stack(monkeypatch, processes):
    """Each in turn here, some with less to do or nothing: what they send, in order, is the whole result."""
    stack, sent = torch.randn(4, 6, 9, generator=torch.Generator().manual_seed(0)), []
    monkeypatch.setattr(muon.dist, "get_world_size", lambda: processes)
    monkeypatch.setattr(muon.dist, "all_gather", lambda parts, mine, async_op: sent.append(mine))
    for rank in range(processes):
        monkeypatch.setattr(muon.dist, "get_rank", lambda rank=rank: rank)
        received, _ = share_newton_schulz(stack, torch.float32)
        assert received.shape == stack.shape
    assert len({each.shape for each in sent}) == 1
    torch.testing.assert_close(torch.cat(sent)[: len(stack)], newton_schulz(stack, torch.float32))


def test_in_float32_a_matrix_becomes_orthogonal_exactly():
    drawn = torch.randn(1, 12, 30, generator=torch.Generator().manual_seed(0))
    found = newton_schulz(drawn, torch.float32)
    np.testing.assert_allclose(found[0].numpy(), orthogonal(drawn[0].double().numpy()), atol=1e-4)
