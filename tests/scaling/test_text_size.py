"""The amount of training text, known before it is read."""

from __future__ import annotations

import gzip
import lzma
import math
import random

import pytest

from talewright.config import DataConfig, TokenizerConfig
from talewright.data import prepare
from talewright.errors import UserError
from talewright.scaling.text_size import text_size
from tests.train.conftest import write_stories

OPENING = "Once upon a time, there was a fox. One day, it met a hen and they became good friends. "


@pytest.mark.parametrize("source", ["bundled:2000", "stories.txt"])
def test_the_estimate_is_near_what_a_preparation_counts(tmp_path, monkeypatch, source):
    monkeypatch.setenv("TALEWRIGHT_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    write_stories(tmp_path / "stories.txt", 500)
    data = DataConfig(source=source)
    corpus = prepare(data, TokenizerConfig(kind="bpe"), 300, tmp_path / "corpus", progress=False)
    counted = corpus.split("train").n_bytes
    assert text_size(data).bytes == pytest.approx(counted, rel=0.2)
    assert text_size(DataConfig(source="corpus")).bytes == counted


def test_splits_validation_stories_and_limits_are_considered(tmp_path):
    path = tmp_path / "stories.txt"
    path.write_text("x" * 100_000)
    size = {
        "95/5": text_size(DataConfig(source=str(path))).bytes,
        "70/30": text_size(DataConfig(source=str(path), splits=(70, 30))).bytes,
        "own": text_size(DataConfig(source=str(path), valid="elsewhere.txt")).bytes,
        "ten": text_size(DataConfig(source=str(path), valid="elsewhere.txt", limit=10)).bytes,
    }
    assert size == {"95/5": 95_000, "70/30": 70_000, "own": 100_000, "ten": 8_500}
    (tmp_path / "valid.txt").write_text("x" * 5_000)
    assert text_size(DataConfig(source=str(tmp_path))).bytes == 100_000


def test_the_hub_needs_no_network_and_has_more_than_can_be_read():
    assert text_size(DataConfig()) == (math.inf, True)
    assert text_size(DataConfig(source="hub:somebody/poems", valid="hub:somebody/else")) == (math.inf, False)


def test_text_like_tinystories_is_recognized_compressed_too(tmp_path):
    (tmp_path / "tiny.txt.gz").write_bytes(gzip.compress(OPENING.encode() * 1000))
    (tmp_path / "other.txt").write_text("Call me Ishmael. Some years ago, once upon a time, " * 5 + "I sailed. " * 1000)
    tiny, other = (text_size(DataConfig(source=str(tmp_path / name))) for name in ("tiny.txt.gz", "other.txt"))
    assert (tiny.is_tinystories, other.is_tinystories) == (True, False)


def test_an_empty_file_is_named(tmp_path):
    (tmp_path / "none.txt").touch()
    with pytest.raises(UserError, match=r"none\.txt is empty; training needs stories"):
        text_size(DataConfig(source=str(tmp_path / "none.txt")))


def test_a_damaged_file_has_a_size(tmp_path):
    packed = bytearray(lzma.compress(random.Random(0).randbytes(100_000).hex().encode()))
    packed[50_000:50_008] = b"\xff" * 8
    (tmp_path / "damaged.txt.xz").write_bytes(packed)
    assert text_size(DataConfig(source=str(tmp_path / "damaged.txt.xz"))).bytes == 0.95 * len(packed)


def test_a_missing_file_is_named():
    with pytest.raises(UserError, match=r"absent\.txt"):
        text_size(DataConfig(source="absent.txt"))
