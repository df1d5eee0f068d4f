"""AdaGrad (Duchi et al. 2011), with one step size for each row as in modded-nanogpt's pull request 366: for a table of
which a batch reads few rows.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor


class RowAdagrad(torch.optim.Optimizer):
    """Divides a row's gradient by the root of the sum of its mean squares so far. A row without gradient stays as it
    is, however long; with momentum or a fading mean, as AdamW's, rare rows would move on, or too far when they return.

    Of a sparse gradient, only the rows that it holds are read and written.
    """

    def __init__(self, params: Iterable[Tensor], lr: float) -> None:
        # steps hardly depend on the size of gradients, so it is not cut
        super().__init__(params, {"lr": lr, "weight_decay": 0.0, "clipped": False})
        self.found_inf: Tensor | None = None
        """1 if the next step is to change nothing, else 0: a scalar that torch's GradScaler, too, would set."""

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Update all tables (N, D) that have a gradient, unless `found_inf` is 1."""
        for group in self.param_groups:
            for table in group["params"]:
                if table.grad is not None:
                    self._update(table, table.grad, group["lr"])

    def _update(self, table: Tensor, gradient: Tensor, lr: float) -> None:
        state = self.state[table]
        if not state:
            state["sum"] = torch.full_like(table[:, :1], 1e-20)  # so that no row divides by 0
        total = state["sum"]
        if gradient.is_sparse:
            gradient = gradient.coalesce()
            rows, gradient = gradient.indices()[0], gradient.values()  # (n,), (n, D)
            step = self._step(gradient, of_rows := total[rows], lr)
            total[rows] = of_rows
            table[rows] -= step
        else:
            table -= self._step(gradient, total, lr)

    def _step(self, gradient: Tensor, total: Tensor, lr: float) -> Tensor:
        """What is subtracted from rows with this gradient (n, D); their totals (n, 1) grow."""
        if self.found_inf is not None:
            gradient = torch.where(self.found_inf > 0, 0, gradient)  # 0 * NaN would be NaN
        total += gradient.square().mean(1, keepdim=True)
        return gradient * (lr / total.sqrt())
