from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from talewright.config import EOT
from talewright.errors import UserError
from talewright.tokenizer import Tokenizer
from talewright.tokenizer.foreign import left_out, read_foreign
from tests.tokenizer.foreign import added, changed

SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<|im_end|>"]
IDS = {name: 400 + place for place, name in enumerate(SPECIAL)}
NAMES, NUMBERS = ("tokenizer_config.json", "special_tokens_map.json"), ("generation_config.json", "config.json")


def write(folder: Path, tokenizer: Tokenizer, files: dict[str, Any], eot: str = "<|other|>") -> Path:
    """A folder with the tokenizer, whose end of text has another name, five more special tokens, and these files."""
    text = changed(tokenizer, {"added_tokens": [added(IDS[name], name, special=True) for name in SPECIAL]})
    (folder / "tokenizer.json").write_text(text.replace(EOT, eot))
    for name in (*NAMES, *NUMBERS):
        (folder / name).unlink(missing_ok=True)
    for name, values in files.items():
        (folder / name).write_text(json.dumps(values))
    return folder


@given(data=st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_the_begin_and_the_end_are_found_wherever_transformers_keeps_them(
    small_bpe: Tokenizer, tmp_path: Path, data: st.DataObject
):
    begin, end = data.draw(st.permutations(SPECIAL))[:2]
    eot = data.draw(st.sampled_from(["<|other|>", EOT]))
    files: dict[str, Any] = {}
    for what, name in (("bos_token", begin), ("eos_token", end)):
        file = data.draw(st.sampled_from([*NAMES, *NUMBERS]))
        if file in NAMES:
            value = data.draw(st.sampled_from([name, {"content": name, "special": True}]))
            files.setdefault(file, {})[what] = value
        else:
            value = data.draw(st.sampled_from([IDS[name], [IDS[name]]])) if what == "eos_token" else IDS[name]
            files.setdefault(file, {})[f"{what}_id"] = value
    found = read_foreign(write(tmp_path, small_bpe, files, eot))
    assert (found.begin_id, found.eos_id) == (IDS[begin], IDS[end])
    assert set(found.ends) == {IDS[begin], IDS[end]}
    assert found.separator == [IDS[end], IDS[begin]]
    text = f"a fox {begin} {end} {EOT}"
    assert found.encode(text) == small_bpe.encode(text)
    found.save(tmp_path / "saved")
    again = Tokenizer.load(tmp_path / "saved")
    assert (again.begin_id, again.eos_id, again.ends) == (found.begin_id, found.eos_id, found.ends)
    assert again.fingerprint == found.fingerprint


def test_all_ends_of_a_list_end_a_text_and_the_tokenizers_own_is_the_first(small_bpe: Tokenizer, tmp_path: Path):
    files = {
        "generation_config.json": {"eos_token_id": [IDS["</s>"], IDS["<|im_end|>"]]},
        "config.json": {"eos_token_id": IDS["<unk>"]},
        "tokenizer_config.json": {"eos_token": "<|im_end|>", "bos_token": None},
    }
    found = read_foreign(write(tmp_path, small_bpe, files))
    assert found.ends == (IDS["<|im_end|>"], IDS["</s>"])
    assert found.begin_id == found.eos_id == IDS["<|im_end|>"]


def test_what_the_tokenizer_itself_puts_before_a_text_begins_it(small_bpe: Tokenizer, tmp_path: Path):
    write(tmp_path, small_bpe, {"tokenizer_config.json": {"bos_token": "<pad>", "eos_token": "</s>"}})
    path = tmp_path / "tokenizer.json"
    template = {
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {"<s>": {"id": "<s>", "ids": [IDS["<s>"]], "tokens": ["<s>"]}},
    }
    path.write_text(json.dumps(json.loads(path.read_text()) | {"post_processor": template}))
    assert read_foreign(tmp_path).begin_id == IDS["<s>"]


def test_numbers_of_ordinary_tokens_are_no_ends(small_bpe: Tokenizer, tmp_path: Path):
    files = {"config.json": {"eos_token_id": 2, "bos_token_id": 1}}  # what transformers writes if nobody says otherwise
    assert read_foreign(write(tmp_path, small_bpe, files)).eos_id == IDS["</s>"]


def test_without_any_end_the_special_tokens_are_named(small_bpe: Tokenizer, tmp_path: Path):
    text = small_bpe.files()["tokenizer.json"].replace(EOT, "<|other|>")
    (tmp_path / "tokenizer.json").write_text(text)
    with pytest.raises(UserError, match=r"tokenizer\.json: no token ends a text: .*special tokens: <\|other\|>"):
        read_foreign(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text('{"eos_token": "<|other|>"}')  # as the message says
    assert read_foreign(tmp_path).eos_id == small_bpe.eos_id
    (tmp_path / "tokenizer_config.json").unlink()
    (tmp_path / "config.json").write_text('{"eos_token_id": 0}')
    assert Tokenizer.load(tmp_path).fingerprint == small_bpe.fingerprint


def test_special_tokens_beyond_the_models_rows_are_left_out(small_bpe: Tokenizer, tmp_path: Path):
    (tmp_path / "tokenizer.json").write_text(
        changed(small_bpe, {"added_tokens": [added(400, "[PAD]", special=True), added(401, "<x>", special=True)]})
    )
    assert left_out(tmp_path, 400) == ["[PAD]", "<x>"]
    assert read_foreign(tmp_path, 400).fingerprint == small_bpe.fingerprint
    assert read_foreign(tmp_path, 401).vocab_size == 401
    assert read_foreign(tmp_path).vocab_size == 402


@given(values=st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=3), st.lists, max_leaves=4))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_a_damaged_file_is_only_a_mistake_of_the_user(small_bpe: Tokenizer, tmp_path: Path, values: Any):
    for part in ("model", "added_tokens", "pre_tokenizer", "normalizer"):
        text = json.dumps(json.loads(small_bpe.files()["tokenizer.json"]) | {part: values})
        (tmp_path / "tokenizer.json").write_text(text)
        with contextlib.suppress(UserError):  # any other error fails
            read_foreign(tmp_path)
