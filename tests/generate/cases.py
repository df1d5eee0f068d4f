"""Models, tokenizers and prompts for hundreds of samples in a test, and generation by its definition."""

from __future__ import annotations

import torch
from hypothesis import strategies as st
from torch import nn

from talewright.config import EOT, ModelConfig
from talewright.generate.batching import Request, generate_all
from talewright.generate.fast_decode import Decoder
from talewright.generate.samplers import UNIFORMS, choose, uniforms
from talewright.generate.sampling import Sampling
from talewright.model.gpt import GPT
from talewright.tokenizer.base import BYTE_LETTERS, Merges, Tokenizer
from tests.model.shapes import lively_model, model_configs

VOCAB = 11
EOS = 3
NO_END = VOCAB
"""An end of text that is read but never drawn, in a model of VOCAB + 1 ids."""
BYTE_EOS = 256


def configs() -> st.SearchStrategy[ModelConfig]:
    """Any shape that a recipe can describe, of VOCAB ids; with a dropout that must not act."""
    return model_configs(vocab_size=VOCAB, dropout=0.5)


def prompt_lists(most: int = 5) -> st.SearchStrategy[list[list[int]]]:
    """Prompts of unequal lengths, each after an end of text."""
    token = st.sampled_from([i for i in range(VOCAB) if i != EOS])
    return st.lists(st.lists(token, max_size=12).map(lambda ids: [EOS, *ids]), min_size=1, max_size=most)


def samplings() -> st.SearchStrategy[Sampling]:
    return st.builds(
        Sampling,
        temperature=st.sampled_from([0.0, 0.5, 1.0, 2.0]),
        top_k=st.sampled_from([None, 4]),
        top_p=st.sampled_from([None, 0.8]),
        min_p=st.sampled_from([None, 0.1]),
        repetition_penalty=st.sampled_from([1.0, 1.3]),
        max_new_tokens=st.integers(1, 30),
        seed=st.integers(0, 2**63 - 1),
    )


def model_of(config: ModelConfig, seed: int = 0) -> GPT:
    """A model in float64, so that a batch's rounding does not change which token is drawn."""
    return lively_model(config, seed).double()


def generate(
    model: GPT, prompts: list[list[int]], sampling: Sampling, indices: list[int] | None = None, end: int = EOS
) -> list[list[int]]:
    """What a batch generates after each prompt, its end of text included."""
    context = model.config.context_length
    requests = [
        Request(prompt=prompt[-context:], sampling=sampling, index=index)
        for index, prompt in zip(indices or range(len(prompts)), prompts, strict=True)
    ]
    generate_all(Decoder(model, VOCAB), requests, [end])
    return [with_end(request, end) for request in requests]


def with_end(request: Request, end: int = EOS) -> list[int]:
    """What was generated, with its end of text."""
    return [*request.tokens, *[end] * request.finished]


@torch.inference_mode()
def generate_uncached(model: GPT, prompt: list[int], sampling: Sampling, index: int, end: int = EOS) -> list[int]:
    """The same by its definition: one sample, and for every token a forward pass over all that is in the window."""
    context = model.config.context_length
    window, generated = prompt[-context:], []
    seen = torch.zeros(1, VOCAB, dtype=torch.bool)
    seen[0, [token for token in window if token != end]] = True
    for i in range(sampling.max_new_tokens):
        uniform = uniforms(sampling.seed, [index], i // UNIFORMS)[:, i % UNIFORMS]
        logits = model(torch.tensor([window]))[:, -1, :VOCAB].float()
        generated.append(int(choose(logits, sampling, seen, uniform)))
        if generated[-1] == end:
            break
        seen[0, generated[-1]] = True
        if len(window) == context:
            window = window[len(window) - context // 2 :]
        window = [*window, generated[-1]]
    return generated


def byte_tokenizer() -> Tokenizer:
    """One id a byte, and the end of text."""
    return Tokenizer.from_merges(Merges({letter: i for i, letter in enumerate(BYTE_LETTERS)} | {EOT: BYTE_EOS}, []))


def parrot(after: dict[int | str, int | str], context_length: int = 64, size: int = BYTE_EOS + 1) -> GPT:
    """A model of bytes that always says `after[token]` after a token: its blocks do nothing, its head is the table."""
    config = ModelConfig(
        n_layers=1, n_heads=1, d_model=size, d_ff=1, vocab_size=size, context_length=context_length, tied=False
    )
    model = GPT(config)
    for name, parameter in model.named_parameters():
        if not name.endswith(("norm.weight", "norm1.weight", "norm2.weight")):
            nn.init.zeros_(parameter)
    model.embedding.weight.data.copy_(torch.eye(size))
    assert model.head is not None
    for token, following in after.items():
        model.head.weight.data[_byte(following), _byte(token)] = 10.0
    return model


def _byte(token: int | str) -> int:
    return ord(token) if isinstance(token, str) else token
