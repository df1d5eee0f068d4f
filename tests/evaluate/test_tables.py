"""Tables of several runs: seeds of one point share a row, and baselines appear once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from talewright.cli import main
from talewright.evaluate.scores import read_scores
from talewright.evaluate.tables import TABLES, side_by_side


def write_run(path: Path, seed: int, bits: float, width: int = 64, stories: str = "0") -> Path:
    (path / "tokenizer").mkdir(parents=True)
    (path / "tokenizer/tokenizer.json").write_text("{}")
    (path / "recipe.yaml").write_text(f"name: story-1m\nseed: {seed}\nmodel: {{d_model: {width}}}\n")
    figures = {"loss": 3 * bits, "perplexity": 9.0, "bits_per_byte": bits, "token_accuracy": 0.5}
    figures |= {"untrained": {"loss": 9 + seed}, "baselines": {"5-gram": {"loss": 2.9}}}
    run = {"folder": path.name, "checkpoint": "step-9", "seed": seed, "parameters": 1000, "tokens": 10, "seconds": 6.0}
    scores = {
        "format": "talewright scores",
        "version": 3,
        "name": "story-1m",
        "run": run | {"machine": "2 CPU cores"},
        "held_out": {"source": "valid.txt", "stories": 12, "bytes": 3456, "sha256": stories * 64},
        "tasks": {"likelihood": figures},
    }
    (path / "scores.json").write_text(json.dumps(scores))
    return path


@pytest.fixture
def runs(tmp_path: Path) -> list[Path]:
    base = [write_run(tmp_path / f"base-seed-{seed}", seed, 1 + seed / 10) for seed in (0, 1)]
    return [*base, *(write_run(tmp_path / f"wide-seed-{seed}", seed, 0.9, 128) for seed in (0, 1, 2))]


def names(text: str) -> list[str]:
    return [line.split("  ")[0] or line.strip().split("  ")[0] for line in text.split("\n\n")[0].splitlines()[2:]]


def test_seeds_of_one_point_share_a_row_and_runs_that_share_a_tokenizer_the_untrained_one(runs: list[Path]):
    scores = read_scores(runs)
    means = ["untrained", "5-gram", "base, 2 seeds", "± (95 %)", "wide, 3 seeds", "± (95 %)"]
    text = side_by_side(scores)
    assert names(text)[:-1] == means  # the last line is the legend
    assert "base, 2 seeds  3.150" in text
    interval = 12.706 * 0.05  # of 1.0 and 1.1
    assert f"{interval:.3f}" in text
    each = [*means[:4], "base-seed-0", "base-seed-1", *means[4:], "wide-seed-0", "wide-seed-1", "wide-seed-2"]
    assert names(side_by_side(scores, each=True))[:-1] == each


def test_other_settings_other_stories_and_the_same_seed_are_not_averaged(tmp_path: Path):
    first = write_run(tmp_path / "a/base", 0, 1.0)
    others = [
        write_run(tmp_path / "b/base", 0, 1.0),
        write_run(tmp_path / "wide", 1, 1.0, 128),
        write_run(tmp_path / "elsewhere", 2, 1.0, stories="1"),
    ]
    shown = names(side_by_side(read_scores([first, *others])))
    assert [name for name in shown if "gram" not in name][-5:-1] == ["base", "base (2)", "wide", "elsewhere"]
    assert not [name for name in shown if "seeds" in name]


def test_the_page_sorts_points_by_the_mean_of_their_seeds(runs: list[Path], capsys: pytest.CaptureFixture[str]):
    main(["evaluate", "compare", *map(str, runs)])
    page = capsys.readouterr().out
    assert page.index("| wide, 3 seeds |") < page.index("| base, 2 seeds |")
    assert "| base-seed-1, step-9 |" in page  # its cost
    assert "| base-seed-1 |" not in page
    main(["evaluate", "compare", "--each", *map(str, runs)])
    assert "| base-seed-1 |" in capsys.readouterr().out


def test_tables_fit_80_columns_unless_names_are_long(runs: list[Path]):
    assert max(map(len, side_by_side(read_scores(runs), each=True, width=80).splitlines())) <= 80
    for table in TABLES:
        assert len(table.legend) < 450
