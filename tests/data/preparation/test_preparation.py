"""What a prepared corpus holds: its splits, its tokens, its end-of-text tokens, and what was left out."""

from __future__ import annotations

import json
import random
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from talewright.config import EOT, DataConfig, TokenizerConfig
from talewright.data import Corpus, prepare, read_stories
from talewright.data.preparation import builder
from talewright.data.preparation.split import evaluation_shares
from tests.data.cases import BPE, VOCAB, as_bytes, files_of, packed, stream, tales, texts, write_txt

ROOT = Path(__file__).resolve().parents[3]
shares = st.integers(0, 50)


# --- splits ----------------------------------------------------------------------------------------------------------


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    numbers=st.lists(st.integers(0, 60), min_size=25, max_size=80),
    own=st.sampled_from([(), ("valid",), ("test",), ("valid", "test")]),
    asked=st.none() | st.tuples(st.integers(50, 90), shares) | st.tuples(st.integers(50, 90), shares, shares),
    draw=st.randoms(),
)
def test_property_1_splits_are_disjoint(tmp_path: Path, numbers, own, asked, draw):
    """Whatever stories and sources, copies among them: every text once, in one split, the evaluation split first."""
    stories = tales(61)
    folder = Path(tempfile.mkdtemp(dir=tmp_path))
    settings: dict[str, Any] = {
        name: str(write_txt(folder / f"{name}.txt", [stories[n] for n in draw.choices(numbers, k=9)])) for name in own
    }
    source = write_txt(
        folder / "stories.txt", [stories[n] for n in numbers] + [f"Alone {n}. It has no copy." for n in range(9)]
    )
    config = DataConfig(source=str(source), splits=asked, **settings)
    corpus = prepare(config, BPE, 257, folder / "corpus", progress=False)
    found = {name: texts(corpus, name) for name in corpus.splits}
    everything = [text for some in found.values() for text in some]
    assert len(everything) == len(set(everything))
    read = {
        name: set(read_stories(DataConfig(source=str(path)))) for name, path in {**settings, "stories": source}.items()
    }
    assert set(everything) == set().union(*read.values())
    for name in own:
        assert set(found.get(name, ())) == read[name] - (read["valid"] if name == "test" and "valid" in own else set())


@pytest.mark.parametrize(
    ("splits", "inputs", "expected"),
    [
        (None, {"train"}, (0.05, 0.0)),
        (None, {"train", "valid"}, (0.0, 0.0)),
        (None, {"train", "test"}, (0.05, 0.0)),
        ((90, 10), {"train"}, (0.1, 0.0)),
        ((70, 20, 10), {"train"}, (0.2, 0.1)),
        ((70, 20, 10), {"train", "valid"}, (0.0, 0.1)),
        ((1, 0), {"train"}, (0.0, 0.0)),
    ],
)
def test_which_shares_are_taken_from_the_training_stories(splits, inputs, expected):
    assert evaluation_shares(DataConfig(splits=splits), inputs) == pytest.approx(expected)


def test_a_story_is_in_one_split_whatever_the_limit_and_the_order(make: Callable[..., Corpus]):
    stories = tales(300)
    valid = set(texts(make(stories), "valid"))
    assert 5 < len(valid) < 30
    assert set(texts(make(stories, limit=150), "valid")) == valid & set(stories[:150])
    assert set(texts(make(random.Random(1).sample(stories, 300)), "valid")) == valid


def test_the_tokenizer_is_made_of_the_training_stories_alone(tmp_path: Path):
    train = write_txt(tmp_path / "train.txt", tales(60))
    tokenizers = []
    for word in ("zqx", "vjk"):
        other = write_txt(tmp_path / f"{word}.txt", [f"{word} " * 40 + str(n) for n in range(60)])
        config = DataConfig(source=str(train), valid=str(other), test=str(other))
        tokenizers.append(prepare(config, BPE, 400, progress=False).tokenizer)
    assert tokenizers[0].fingerprint == tokenizers[1].fingerprint
    assert not any(b"zqx" in token for token in tokenizers[0].token_bytes)


# --- what is in the folder -------------------------------------------------------------------------------------------


def test_the_end_of_text_stands_after_each_story_and_nowhere_else(tmp_path: Path):
    stories = [*tales(30), f"A story that says {EOT} in its midst, and goes on."]
    lines = "".join(json.dumps({"text": story}) + "\n" for story in stories)
    (tmp_path / "a.jsonl").write_text(lines, encoding="utf-8")
    corpus = prepare(DataConfig(source=str(tmp_path / "a.jsonl")), BPE, VOCAB, progress=False)
    assert sorted(texts(corpus, *corpus.splits)) == sorted(stories)
    for name in corpus.splits:
        ids = stream(corpus, name)
        assert ids[-1] == corpus.tokenizer.eos_id
        assert (ids == corpus.tokenizer.eos_id).sum() == corpus.split(name).n_stories


def test_what_was_left_out_is_counted(make: Callable[..., Corpus]):
    stories = tales(20)
    corpus = make(
        [*stories, "", "Short.", "  \t ", stories[3], stories[3] + "\r\n", "It was Tomâ€™s ball, and it was red."]
    )
    read = corpus.manifest["source"]["read"]["train"]
    assert read == {"read": 26, "empty": 2, "short": 1, "repaired": 1, "duplicates": 2}
    assert "It was Tom’s ball, and it was red." in texts(corpus, *corpus.splits)


@pytest.mark.parametrize("kind", ["jsonl", "json", "csv", "parquet", "txt.gz", "jsonl.zst", "parquet.gz"])
def test_every_format_prepares_the_same_tokens(make: Callable[..., Corpus], tmp_path: Path, kind: str):
    expected = make(tales(60)).fingerprint
    ending, _, packing = kind.partition(".")
    path = tmp_path / f"same.{kind}"
    path.write_bytes(packed(f".{packing}" if packing else "", as_bytes(ending, tales(60))))
    assert prepare(DataConfig(source=str(path)), BPE, VOCAB, progress=False).fingerprint == expected


def test_preparing_twice_gives_the_same_bytes(tmp_path: Path):
    source = str(write_txt(tmp_path / "a.txt", tales(200)))
    one, two = (prepare(DataConfig(source=source), BPE, VOCAB, tmp_path / name, progress=False) for name in "ab")
    assert files_of(one.folder) == files_of(two.folder)
    assert "manifest.json" in files_of(one.folder)


def test_a_tokenizer_is_trained_on_a_part_of_a_large_corpus(
    make: Callable[..., Corpus], monkeypatch: pytest.MonkeyPatch
):
    learned: list[list[str]] = []
    make_it = builder.make_tokenizer

    def made(words: TokenizerConfig, size: int, stories: Callable[[], Any]) -> Any:
        learned.append(list(stories()))
        return make_it(words, size, stories)

    monkeypatch.setattr(builder, "make_tokenizer", made)
    monkeypatch.setattr(builder, "BPE_TRAINING_BYTES", 3000)
    stories = tales(100)
    corpus = make(stories, splits=(1, 0))
    size = corpus.split("train").n_bytes
    assert learned[0] == stories[:: -(-size // 3000)]
    assert sum(len(story.encode()) for story in learned[0]) < 3500


def test_a_story_longer_than_a_batch_is_one_story(make: Callable[..., Corpus], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("talewright.data.preparation.tokenize.BATCH", 1000)
    long = " ".join(tales(100))
    corpus = make([*tales(20), long], splits=(1, 0))
    assert long in texts(corpus, "train")


@pytest.mark.parametrize(("kind", "size"), [("gpt2", 50257), pytest.param("gpt2-top", 400, marks=pytest.mark.slow)])
def test_gpt2s_tokens_prepare_too(tmp_path: Path, gpt2_folder: Path, kind: Any, size: int):
    source = str(write_txt(tmp_path / "a.txt", tales(60)))
    words = TokenizerConfig(kind=kind, source=str(gpt2_folder))
    corpus = prepare(DataConfig(source=source), words, size, progress=False)
    assert (corpus.tokenizer.vocab_size, corpus.manifest["dtype"]) == (size, "uint16")
    assert sorted(texts(corpus, *corpus.splits)) == sorted(tales(60))
