from __future__ import annotations

import numpy as np
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import nn

from talewright.train.muon import Muon, newton_schulz


def orthogonal(gradient: np.ndarray) -> np.ndarray:
    """Jordan's five steps of Newton and Schulz, on singular values: the same quintic polynomial of each."""
    left, values, right = np.linalg.svd(gradient / np.linalg.norm(gradient), full_matrices=False)
    for _ in range(5):
        values = 3.4445 * values - 4.7750 * values**3 + 2.0315 * values**5
    return left @ np.diag(values) @ right


@given(st.integers(1, 4), st.integers(1, 40), st.integers(1, 40), st.integers(0, 99))
@example(1, 2, 16, 80)  # the largest difference that was found: 0.071
@settings(max_examples=60, deadline=None)
def test_each_matrix_of_a_stack_becomes_orthogonal(n, rows, columns, seed):
    drawn = torch.randn(n, rows, columns, generator=torch.Generator().manual_seed(seed))
    found = newton_schulz(drawn).double().numpy()
    for one, matrix in zip(found, drawn.double().numpy(), strict=True):
        np.testing.assert_allclose(one, orthogonal(matrix), atol=0.1)  # it counts in bfloat16


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
