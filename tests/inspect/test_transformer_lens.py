"""Activations, by our names, against TransformerLens's cache of the exported model."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import talewright
from talewright.cli import main
from talewright.inspect import record
from talewright.inspect.circuits.graph import Graph, graph_pass, record_sources
from talewright.inspect.parts import Part

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


def test_a_head_patched_with_another_texts_equals_transformer_lens(run: Path) -> None:
    """Activation patching through the graph of a circuit: `run_with_hooks` with the head's z of the other text."""
    main(["export", str(run), str(run / "hf")])
    opened = talewright.load(run)
    texts = "Lily had 3 red balls. One ball was lost.", "Tom saw 2 big dogs. One dog was sad and it ran."
    clean, corrupt = (torch.tensor([opened.tokenizer.encode(text)[:12]]) for text in texts)
    bridge = lens.TransformerBridge.boot_transformers(str(run / "hf"), device="cpu")
    graph, name = Graph(opened.model.config), "blocks.0.attn.hook_z"

    with torch.no_grad():
        other = bridge.run_with_cache(corrupt)[1][name]

        def swap(z: torch.Tensor, hook: object) -> torch.Tensor:  # (B, T, H, d), or (B, T, D)
            heads = z.clone().unflatten(-1, (-1, opened.model.config.head_dim)) if z.dim() == 3 else z.clone()
            heads[:, :, 1] = other.reshape(heads.shape)[:, :, 1]
            return heads.reshape(z.shape)

        wanted = bridge.run_with_hooks(clean, fwd_hooks=[(name, swap)])
        here, there = (record_sources(opened.model, tokens) for tokens in (clean, corrupt))
        stream = graph_pass(opened.model, graph, here, there, graph.without_source(Part(0, 1)))
        found = opened.model.logits(opened.model.norm(stream))
        before = opened.model(clean)
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)
    assert (found - before).abs().max() > 1e-3
