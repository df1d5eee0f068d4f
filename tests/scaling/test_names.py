from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from talewright.scaling.sweep.names import output_of, run_name, trial_label

POINTS = st.dictionaries(st.sampled_from(["point", "model.d_model", "train.learning_rate"]), st.text(max_size=150))


def test_a_point_is_not_named_like_a_device_of_windows():
    assert run_name({"point": "nul.5"}, 0) == "_nul.5-seed-0"


def test_trials_are_named_after_their_point_and_seed():
    assert run_name({"point": "wide"}, 1) == "wide-seed-1"
    assert (
        run_name({"model.d_model": "256", "train.learning_rate": "1e-2"}, 0) == "d_model-256-learning_rate-1e-2-seed-0"
    )
    assert run_name({"train.learning_rate": "0.0031234567890123"}, 0) == "learning_rate-0.003123-seed-0"
    assert run_name({}, 3) == "recipe-seed-3"
    assert trial_label({"point": "wide"}, 1) == "wide, seed 1"
    assert output_of(Path("runs/learning_rate-0.5-seed-0")) == Path("runs/learning_rate-0.5-seed-0.out")


@given(st.lists(POINTS, max_size=6))
def test_every_name_is_one_folder_and_no_other_trial_has_it(points: list[dict[str, str]]):
    taken: list[str] = []
    for point in [*points, {"point": "../a b"}, {"point": "..\\A/B"}, {"point": "a-b"}]:
        name = run_name(point, 0, taken)
        assert Path(name).name == name
        assert not set(name) & set('/\\:*?"<>| \n\0')
        assert name[0] not in ".-"
        assert len(name) < 130
        assert name.casefold() not in [each.casefold() for each in taken]
        taken.append(name)
    assert taken[-1].startswith("a-b-")
