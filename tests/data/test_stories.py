from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from talewright.config import DataConfig
from talewright.data import Corpus, read_stories, tokenize_source
from talewright.errors import UserError
from tests.data.cases import tales, write_txt


def test_all_stories_of_a_source_are_tokenized_in_order(small: Corpus, tmp_path: Path):
    texts = [*tales(30), "", tales(1)[0], "x"]  # copies are kept
    stories, sizes = tokenize_source(DataConfig(source=str(write_txt(tmp_path / "a.txt", texts))), small.tokenizer)
    expected = [*tales(30), tales(1)[0]]
    assert [small.tokenizer.decode(story) for story in stories] == expected
    assert sizes.tolist() == [len(story.encode()) for story in expected]
    assert all(isinstance(story, np.ndarray) for story in stories)


def test_of_a_source_with_validation_stories_only_these_are_read(tmp_path: Path, small: Corpus):
    write_txt(tmp_path / "train.txt", tales(9))
    write_txt(tmp_path / "valid.txt", tales(3, seed=1))
    assert list(read_stories(DataConfig(source=str(tmp_path)))) == tales(3, seed=1)
    assert list(read_stories(DataConfig(source=str(tmp_path / "train.txt"), limit=4))) == tales(4)
    write_txt(tmp_path / "none.txt", ["x"])
    with pytest.raises(UserError, match=r"none.txt has no story of 20 characters or more"):
        tokenize_source(DataConfig(source=str(tmp_path / "none.txt")), small.tokenizer)
