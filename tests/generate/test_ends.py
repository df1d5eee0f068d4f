"""Texts of a tokenizer whose begin is not its end, or that puts a space before each text."""

from __future__ import annotations

import json

import pytest
import tokenizers
from tokenizers import AddedToken, normalizers
from tokenizers.models import BPE

from talewright.config import EOT
from talewright.generate.engine import Engine
from talewright.generate.sampling import Sampling
from talewright.tokenizer import Tokenizer
from talewright.tokenizer.ends import begins_with
from tests.generate.cases import BYTE_EOS, byte_tokenizer, parrot

GREEDY = Sampling(temperature=0, max_new_tokens=6)
BEGIN, OTHER = BYTE_EOS + 1, BYTE_EOS + 2


def tokenizer_with_ends() -> Tokenizer:
    """Bytes, an end of text, a begin, and another end."""
    values = json.loads(byte_tokenizer().files()["tokenizer.json"])
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False) | {"special": True}
    values["added_tokens"] += [{"id": BEGIN, "content": "<s>", **flags}, {"id": OTHER, "content": "<|end|>", **flags}]
    values["post_processor"] = begins_with("<s>", {"<s>": BEGIN, EOT: BYTE_EOS, "<|end|>": OTHER})
    return Tokenizer(json.dumps(values))


@pytest.mark.parametrize("end", [BYTE_EOS, BEGIN, OTHER])
def test_a_text_begins_with_the_begin_and_stops_at_any_end(end: int):
    model = parrot({BEGIN: "a", "a": "b", "b": end, end: "x"} | {BEGIN: "a"}, size=OTHER + 1)
    engine = Engine(model, tokenizer_with_ends())
    [story] = engine.generate([""], GREEDY)
    assert (story.text, story.finished) == ("ab", True)
    assert "".join(engine.stream("", GREEDY)) == "ab"


def test_other_special_tokens_are_no_part_of_a_story_and_do_not_end_it():
    values = json.loads(tokenizer_with_ends().files()["tokenizer.json"])
    values["post_processor"] = begins_with("<s>", {"<s>": BEGIN, EOT: BYTE_EOS})
    model = parrot({BEGIN: "a", "a": OTHER, OTHER: "b", "b": BYTE_EOS}, size=OTHER + 1)
    [story] = Engine(model, Tokenizer(json.dumps(values))).generate([""], GREEDY)
    assert (story.text, story.finished) == ("ab", True)


def llama_tokenizer() -> Tokenizer:
    """The bytes as Llama's tokenizer has them, and the mark of a space."""
    vocab = {f"<0x{byte:02X}>": byte for byte in range(256)} | {EOT: BYTE_EOS, "\u2581": BEGIN}
    backend = tokenizers.Tokenizer(BPE(vocab, [], byte_fallback=True))
    steps = [normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")]
    backend.normalizer = normalizers.Sequence(steps)
    backend.add_special_tokens([AddedToken(EOT, special=True, normalized=False)])
    return Tokenizer(backend.to_str())


@pytest.mark.parametrize(("prompt", "text"), [("", "ab c"), ("a", "ab c"), ("b", "b c")])
def test_the_space_that_a_tokenizer_adds_is_left_out_only_where_a_text_begins(prompt: str, text: str):
    space = BEGIN
    model = parrot({BYTE_EOS: space, space: "a", "a": "b", "b": " ", " ": "c", "c": BYTE_EOS}, size=BEGIN + 1)
    engine = Engine(model, llama_tokenizer())
    [story] = engine.generate([prompt], GREEDY)
    assert story.text == text
    assert prompt + "".join(engine.stream(prompt, GREEDY)) == text


def test_ids_without_a_token_are_never_generated():
    values = json.loads(byte_tokenizer().files()["tokenizer.json"])
    values["model"]["vocab"]["ab"] = BYTE_EOS + 2  # nothing has the id before it
    tokenizer = Tokenizer(json.dumps(values))
    assert tokenizer.unused == [BYTE_EOS + 1]
    model = parrot({BYTE_EOS: BYTE_EOS + 1}, size=BYTE_EOS + 3)
    for sampling in (GREEDY, Sampling(temperature=5.0, max_new_tokens=6, top_p=None)):
        engine = Engine(model, tokenizer)
        assert BYTE_EOS + 1 not in [token for seed in range(5) for token in engine.stream_tokens([], sampling, seed)]
