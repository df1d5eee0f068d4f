"""torch.compile sees the whole forward pass as one graph, and a GPU's attention takes a fused kernel."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
import torch._dynamo.config
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from talewright.config import ModelConfig, list_recipes, load_recipe
from talewright.model.gpt import GPT
from tests.model.shapes import SEEDS, lively_model, model_configs, token_batch

SITES = st.lists(st.sampled_from(["embedding", "attention", "residual", "mlp"]), unique=True)
