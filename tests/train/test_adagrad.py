"""AdaGrad by rows, against torch's AdaGrad."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from talewright.train.adagrad import RowAdagrad

BATCHES = st.lists(st.lists(st.integers(0, 8), max_size=6), min_size=1, max_size=5)
"""Rows that each batch reads, some more than once."""


def train(
    optimizer: torch.optim.Optimizer, table: Tensor, batches: Sequence[list[int]], seed: int, sparse: bool
) -> None:
    generator = torch.Generator().manual_seed(seed)
    for rows in batches:
        optimizer.zero_grad()
        read = torch.nn.functional.embedding(torch.tensor(rows, dtype=torch.long), table, sparse=sparse)
        (read * torch.randn(read.shape, generator=generator, dtype=table.dtype)).sum().backward()
        optimizer.step()


def new_table(width: int, seed: int) -> torch.nn.Parameter:
    generator = torch.Generator().manual_seed(seed)
    return torch.nn.Parameter(torch.randn(9, width, generator=generator, dtype=torch.float64))


@settings(max_examples=60, deadline=None)
@given(batches=BATCHES, seed=st.integers(0, 99), sparse=st.booleans())
def test_rows_of_one_value_are_updated_as_by_torch(batches: list[list[int]], seed: int, sparse: bool) -> None:
    ours, theirs = new_table(1, seed), new_table(1, seed)
    train(RowAdagrad([ours], lr=0.1), ours, batches, seed, sparse)
    train(torch.optim.Adagrad([theirs], lr=0.1), theirs, batches, seed, sparse=False)
    torch.testing.assert_close(ours, theirs, atol=1e-8, rtol=1e-6)


@settings(max_examples=60, deadline=None)
@given(batches=BATCHES, seed=st.integers(0, 99), width=st.integers(1, 7))
def test_a_sparse_gradient_does_what_a_whole_one_does(batches: list[list[int]], seed: int, width: int) -> None:
    tables = [new_table(width, seed) for _ in "ab"]
    for table, sparse in zip(tables, (True, False), strict=True):
        train(RowAdagrad([table], lr=0.1), table, batches, seed, sparse)
    torch.testing.assert_close(*tables, atol=1e-12, rtol=1e-12)
    unread = sorted(set(range(9)) - {row for rows in batches for row in rows})
    assert torch.equal(tables[0][unread], new_table(width, seed)[unread])


@pytest.mark.parametrize("sparse", [True, False])
def test_a_step_that_is_not_made_changes_nothing(sparse: bool) -> None:
    table = new_table(3, 0)
    optimizer = RowAdagrad([table], lr=0.1)
    train(optimizer, table, [[1, 2]], 0, sparse)
    before, total = table.detach().clone(), optimizer.state[table]["sum"].clone()
    optimizer.found_inf = torch.tensor(1.0)
    read = torch.nn.functional.embedding(torch.tensor([2, 3]), table, sparse=sparse)
    optimizer.zero_grad()
    (read * float("nan")).sum().backward()
    optimizer.step()
    assert torch.equal(table, before)
    assert torch.equal(optimizer.state[table]["sum"], total)
