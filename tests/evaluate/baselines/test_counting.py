"""Questions answered by counting: the log-probability of a choice is that of its own tokens."""

from __future__ import annotations

import numpy as np
import pytest

from talewright.evaluate.baselines.counting import counted_by
from talewright.evaluate.baselines.kneser_ney import KneserNey, count_grams
from talewright.evaluate.multiple_choice.scoring import Row

EOS, VOCAB = 0, 9


def test_a_row_has_the_log_probability_of_its_tokens_from_start_on():
    rng = np.random.default_rng(0)
    stories = [rng.integers(1, VOCAB, rng.integers(3, 30)) for _ in range(60)]
    model = KneserNey(count_grams(stories, EOS, VOCAB, 3), 3, EOS)
    rows = [Row(np.array([EOS, *story]), start) for story, start in zip(stories[:9], (1, 2, 3) * 3, strict=True)]
    for row, found in zip(rows, counted_by(model)(rows), strict=True):
        before, whole = (model.score([row.ids[1:stop]]).losses for stop in (row.start, len(row.ids)))
        # the story's own end of text stands last, and is no part of the choice
        expected = whole[:-1].astype(np.float64).sum() - before[:-1].astype(np.float64).sum()
        assert found == pytest.approx(-expected, abs=1e-5)
        assert found < 0
