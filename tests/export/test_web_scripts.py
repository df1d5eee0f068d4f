"""The page's scripts, in a headless browser: they tokenize and sample as Talewright does."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from talewright.errors import UserError
from talewright.export.web import PAGE, tokenizer_json
from talewright.generate.samplers import UNIFORMS, choose, filtered, uniforms
from talewright.generate.sampling import Sampling
from talewright.tokenizer import Tokenizer
from talewright.tokenizer.gpt2 import load_gpt2
from tests.export.browser import WebPage, chromium, served

pytestmark = pytest.mark.slow
SPACES = " \t\n\r\x0b\x0c\x1c\x1f\x85\xa0\u1680\u180e\u2003\u200b\u2028\u202f\u205f\u3000\ufeff"
PIECES = [
    "'s",
    "'ll",
    "'S",
    "don't",
    "<|endoftext|>",
    "Once upon",
    "aaaa",
    "12",
    "½",
    "é",
    "e\u0301",
    "👩‍👩‍👧",
    "ﬁ",
    "中文",
    "ñ",
    "_",
    "...",
]
CHARACTERS = st.characters(exclude_categories=["Cs", "Cn"])  # Unicode versions differ in unassigned characters
TEXTS = st.lists(st.one_of(st.sampled_from([*SPACES, *PIECES]), CHARACTERS)).map("".join)
HARD = [
    "",
    "  two  spaces   at the end  ",
    "\n\n\tI'll say: \"they've\" 'd 's\r\n",
    f"a{SPACES}b {SPACES}",
    "👩‍👩‍👧 🐰🐰 naïve café 中文 x² ٣",
    "\x00\x7f\u200d\ufffd",
    "a" * 5000,
    "ab" * 3000,
]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A blank page next to the scripts."""
    folder = tmp_path_factory.mktemp("scripts")
    shutil.copytree(PAGE, folder, dirs_exist_ok=True)
    (folder / "blank.html").write_text("<!doctype html><title>blank</title>")
    with served(folder) as address, chromium() as browser:
        yield WebPage(browser.new_page(), address + "blank.html").tab


def open_tokenizer(page: Any, tokenizer: Tokenizer) -> None:
    page.evaluate(
        "async rules => { const { Tokenizer } = await import('./tokenizer.js'); window.t = new Tokenizer(rules); }",
        json.loads(tokenizer_json(tokenizer)),
    )


def encoded(page: Any, texts: list[str]) -> list[list[int]]:
    return page.evaluate("texts => texts.map(text => window.t.encode(text))", texts)


@pytest.fixture(scope="module")
def gpt2(gpt2_folder: Path) -> Tokenizer:
    return Tokenizer.from_merges(load_gpt2(str(gpt2_folder)))


@pytest.mark.parametrize("name", ["tokenizer", "gpt2"])
def test_text_gives_the_same_tokens_with_the_same_bytes(request, page, name):
    tokenizer: Tokenizer = request.getfixturevalue(name)
    open_tokenizer(page, tokenizer)
    assert encoded(page, HARD) == tokenizer.encode_batch(HARD)
    bytes_ = page.evaluate("window.t.bytes.map(bytes => Array.from(bytes))")
    assert [bytes(each) for each in bytes_] == tokenizer.token_bytes

    @given(st.lists(TEXTS, min_size=5, max_size=20))
    @settings(max_examples=60, deadline=None)
    def same(texts):
        assert encoded(page, texts) == tokenizer.encode_batch(texts)

    same()


def test_a_tokenizer_of_another_kind_is_refused(tokenizer):
    rules = json.loads(tokenizer_json(tokenizer))
    rules["pre_tokenizer"]["use_regex"] = False
    with pytest.raises(UserError, match="supports only tokenizers that split text as GPT-2's does"):
        tokenizer_json(Tokenizer(json.dumps(rules)))


@given(seed=st.integers(0, 999_999_999), token=st.integers(0, 5000))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_random_numbers_are_those_of_the_engine(page, seed, token):
    block, place = divmod(token, UNIFORMS)
    number = page.evaluate(
        "async ([seed, token]) => { const { Uniforms } = await import('./sampler.js');"
        " return new Uniforms(seed).at(token); }",
        [seed, token],
    )
    assert number == float(uniforms(seed, [0], block)[0, place])


@given(data=st.data(), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_tokens_are_sampled_as_by_the_engine(page, data, seed):
    """Each token that is likely enough, by the number in the middle of its share, which rounding cannot change."""
    V = data.draw(st.integers(2, 400))
    random = np.random.default_rng(seed)
    logits = (random.normal(size=V) * data.draw(st.sampled_from([0.5, 3, 10]))).astype(np.float32)
    seen = random.random(V) < 0.3
    sampling = Sampling(
        temperature=data.draw(st.sampled_from([0.1, 0.8, 1.5])),
        top_k=data.draw(st.none() | st.integers(1, 500)),
        top_p=data.draw(st.none() | st.sampled_from([0.05, 0.5, 0.9, 1.0])),
        repetition_penalty=data.draw(st.sampled_from([1.0, 1.3, 2.0])),
    )
    whole = shares(logits, replace(sampling, top_p=None), seen)
    assume(sampling.top_p is None or np.abs(np.sort(whole)[::-1].cumsum() - sampling.top_p).min() > 1e-5)
    kept = shares(logits, sampling, seen)
    ids = np.flatnonzero(kept > 1e-4)
    numbers = (kept.cumsum() - kept / 2)[ids]
    for i in (0, -1):  # the engine samples the same
        ours = choose(*rows(logits), sampling, *rows(seen), torch.tensor([numbers[i]], dtype=torch.float32))
        assert int(ours[0]) == ids[i]
    theirs = page.evaluate(
        """async ([logits, settings, seen, numbers]) => {
          const { choose } = await import("./sampler.js");
          return numbers.map((number) => choose(Float32Array.from(logits), settings, new Set(seen), number));
        }""",
        [logits.tolist(), in_script(sampling), np.flatnonzero(seen).tolist(), numbers.tolist()],
    )
    assert theirs == ids.tolist()


def rows(array: np.ndarray) -> tuple[torch.Tensor]:
    return (torch.from_numpy(array)[None],)


def shares(logits: np.ndarray, sampling: Sampling, seen: np.ndarray) -> np.ndarray:
    """Probability of each token in the engine; 0 if it is filtered out."""
    return filtered(*rows(logits), sampling, *rows(seen))[0].double().softmax(-1).numpy()


def in_script(sampling: Sampling) -> dict[str, Any]:
    return {
        "temperature": sampling.temperature,
        "topK": sampling.top_k,
        "topP": sampling.top_p,
        "penalty": sampling.repetition_penalty,
    }
