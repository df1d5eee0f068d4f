"""Activations, by our names, against TransformerLens's cache of the exported model."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import talewright
from talewright.cli import main
from talewright.inspect import record

lens = pytest.importorskip(
    "transformer_lens.model_bridge", reason="TransformerLens (4 or later) is not installed here", exc_type=ImportError
)

SAME = {  # ours: theirs, both after "blocks.L."
    "resid_pre": "hook_resid_pre",
    "attn.attn_scores": "attn.hook_attn_scores",
    "attn.pattern": "attn.hook_pattern",
    "attn_out": "hook_attn_out",
    "resid_mid": "hook_resid_mid",
    "mlp.pre": "mlp.hook_pre",
    "mlp.post": "mlp.hook_post",
    "mlp_out": "hook_mlp_out",
    "resid_post": "hook_resid_post",
}
TURNED = {  # theirs hold the heads after the tokens
    "attn.q": "attn.hook_q",
    "attn.k": "attn.hook_k",
    "attn.v": "attn.hook_v",
    "attn.z": "attn.hook_z",
}


def test_activations_equal_transformer_lens_cache(run: Path) -> None:
    main(["export", str(run), str(run / "hf")])
    opened = talewright.load(run)
    tokens = torch.tensor([opened.tokenizer.encode("Lily had 3 red balls. One ball was lost.")[:24]])
    bridge = lens.TransformerBridge.boot_transformers(str(run / "hf"), device="cpu")
    with torch.no_grad():
        cache = bridge.run_with_cache(tokens)[1]
    ours = record(opened.model, tokens, ["*"])
    for layer in range(opened.recipe.model.n_layers):
        for name, other in (SAME | TURNED).items():
            found, wanted = ours[f"blocks.{layer}.{name}"], cache[f"blocks.{layer}.{other}"]
            found = found.transpose(1, 2).reshape(wanted.shape) if name in TURNED else found
            seen = found > -1e30  # theirs writes the smallest float where a token may not look
            assert torch.all(wanted[~seen] < -1e30)
            torch.testing.assert_close(found[seen], wanted[seen], atol=1e-4, rtol=1e-4)
