from __future__ import annotations

import torch

from talewright.config import ModelConfig, OptimizerConfig
from talewright.model.gpt import GPT
from talewright.train.optimizer import make_optimizer


def test_only_matrices_decay():
    model = GPT(ModelConfig(n_layers=1, n_heads=2, d_model=8, d_ff=16, vocab_size=11, context_length=4, tied=False))
    for parameter in model.parameters():
        parameter.data.fill_(1.0)
        parameter.grad = torch.zeros_like(parameter)
    make_optimizer(model, OptimizerConfig(weight_decay=0.5), 0.1).step()
    for name, parameter in model.named_parameters():
        expected = 0.95 if parameter.dim() == 2 else 1.0
        assert torch.allclose(parameter, torch.full_like(parameter, expected)), name
