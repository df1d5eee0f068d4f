"""The settings of the page: those of the engine, and the seed of each story."""

from __future__ import annotations

import pytest

from talewright.errors import UserError
from talewright.generate.sampling import Sampling

gradio = pytest.importorskip("gradio", reason="the studio needs Gradio: the extra `studio`")


def test_the_page_starts_with_the_default_settings_and_an_empty_seed():
    from talewright.studio.shared import sampling_controls, sampling_of

    with gradio.Blocks():
        values = [control.value for control in sampling_controls()]
    assert values[-1] == ""
    assert sampling_of(values, seed=0) == Sampling()


def test_an_empty_seed_is_new_each_time_and_a_given_one_is_used():
    from talewright.studio.shared import SEEDS, sampling_of

    values = [0.8, 512, 0, 0.95, 1.0]
    seeds = {sampling_of([*values, ""]).seed for _ in range(20)}
    assert len(seeds) > 10
    assert max(seeds) < SEEDS
    assert sampling_of([*values, ""], seed=0).seed == 0  # a continued story keeps its own
    assert sampling_of([*values, " 0 "]).seed == sampling_of([*values, 0], seed=5).seed == 0


@pytest.mark.parametrize("typed", ["-1", "1.5", "seven"])
def test_a_wrong_seed_is_an_error(typed):
    from talewright.studio.shared import sampling_of

    with pytest.raises(UserError, match="whole number, 0 or more, or empty"):
        sampling_of([0.8, 512, 0, 0.95, 1.0, typed])
