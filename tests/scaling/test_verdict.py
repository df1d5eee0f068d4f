"""What a sweep says about its points, from drawn results."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from talewright.scaling.sweep.results import PointResult, Trial, rows_of
from talewright.scaling.sweep.verdict import deviation_text, table, verdict

RESULTS = st.dictionaries(
    st.sampled_from(["base", "wide", "deep", "slow"]),
    st.dictionaries(st.integers(0, 5), st.floats(0.5, 3), min_size=1),
    min_size=1,
)


def results(bits: dict[str, dict[int, float]], parameters: dict[str, int] | None = None) -> list[PointResult]:
    costs = {"minutes": 2.0, "tokens": 1e6, "flops": 1e12}
    trials = [
        Trial(
            number=0,
            point={"point": name},
            seed=seed,
            run=Path(name),
            state="complete",
            attributes={"bits_per_byte": value, "parameters": (parameters or {}).get(name, 1000), **costs},
        )
        for name, by_seed in bits.items()
        for seed, value in by_seed.items()
    ]
    return rows_of(trials)


def test_the_verdict_names_the_best_its_ties_and_what_is_worse():
    bits = {
        "base": {0: 0.843, 1: 0.844, 2: 0.842},
        "wide": {0: 0.812, 1: 0.815, 2: 0.809},
        "deep": {0: 0.813, 1: 0.821, 2: 0.808},
    }
    rows = results(bits, {"wide": 2000, "deep": 2000})
    assert [row.tied for row in rows] == [False, True, False]
    best, deep, base = verdict(rows)
    assert best.startswith("Best: wide, 0.8120 bits/byte (sd 0.0030 over 3 seeds; 2,000 parameters")
    assert deep == "deep is not distinguishable from it (difference 0.0020, 95 % interval -0.0070 to 0.0110)."
    assert base.startswith("base is worse by 0.0310 (95 % interval 0.0")
    assert base.endswith("with 0.5 times the parameters.")
    shown = table(rows).splitlines()
    assert ["best" in shown[1], "= 0.0020" in shown[2], "= " in shown[3]] == [True, True, False]


def test_one_seed_is_no_verdict():
    lines = verdict(results({"base": {0: 0.9}, "wide": {0: 0.8}}))
    assert "With one seed" in lines[1]
    assert lines[2] == "base has 0.1000 bits/byte more; one seed gives no interval."


@given(RESULTS)
def test_the_best_has_the_lowest_mean_and_every_point_is_in_the_verdict(
    bits: dict[str, dict[int, float]],
):
    rows = results(bits)
    assert rows[0].mean == min(row.mean for row in rows if row.mean is not None)
    assert [row.difference is None for row in rows] == [True] + [False] * (len(rows) - 1)
    text = "\n".join(verdict(rows))
    assert all(name in text for name in bits)
    assert max(map(len, table(rows, 80).splitlines())) <= 80


def test_two_seeds_give_one_digit_of_their_deviation():
    two, three = results({"a": {0: 0.8001, 1: 0.8102}}), results({"a": {0: 0.8001, 1: 0.8102, 2: 0.8053}})
    assert (deviation_text(two[0]), deviation_text(three[0])) == ("0.007", "0.0051")
