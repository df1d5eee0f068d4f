"""The page of a sweep, also when runs failed, were pruned or are elsewhere; and that it loads nothing."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path
from typing import Any

import pytest

from talewright.scaling.sweep.page import render, write_page
from talewright.scaling.sweep.page.charts import COSTS, MOST_NAMED, OTHERS, cost_rows, dividing_cost, frontier_chart
from talewright.scaling.sweep.page.parallel import dimension, dimensions
from talewright.scaling.sweep.pictures import frontier
from talewright.scaling.sweep.reading import read_sweep
from talewright.scaling.sweep.results import Trial, curve_of, measure, rows_of
from talewright.scaling.sweep.verdict import cells
from tests.export.browser import chromium
from tests.scaling.conftest import RECIPE

SWEEP = """
recipe: small.yaml
points:
  base: {}
  wide: {model.d_model: 32, optimizer.kind: muon}
  "<b>low</b>": {train.learning_rate: 1e-4}
seeds: [0, 1]
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.yaml").write_text(RECIPE, encoding="utf-8")
    (tmp_path / "sweep.yaml").write_text(SWEEP, encoding="utf-8")
    return tmp_path


def trial(folder: Path, point: str, seed: int, bits: list[float], state: str = "complete") -> Trial:
    """A trial whose run has an evaluation after each 100 tokens, and a sample."""
    run = folder / "runs" / f"{re.sub('[^a-z]', '', point)}-seed-{seed}"
    run.mkdir(parents=True)
    (run / "recipe.yaml").write_text(RECIPE, encoding="utf-8")
    events = [{"event": "evaluation", "step": 0, "bits_per_byte": 9.0, "seconds": 0}]
    for step, value in enumerate(bits, 1):
        events.append({"event": "step", "step": step, "tokens": 100 * step, "seconds": 60 * step})
        events.append({"event": "evaluation", "step": step, "bits_per_byte": value, "seconds": 60 * step})
    (run / "log.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events), encoding="utf-8")
    sample = {"step": len(bits), "prompt": "Once", "text": f"Once <i>{run.name}</i> &"}
    (run / "samples.jsonl").write_text(json.dumps(sample) + "\n", encoding="utf-8")
    done = measure(run) if state == "complete" else {"reason": "the <loss> is nan"} if state == "fail" else {}
    return Trial(number=0, point={"point": point}, seed=seed, run=run, state=state, attributes={"run": "x", **done})


def trials_of(folder: Path) -> list[Trial]:
    return [
        trial(folder, "base", 0, [4.0, 3.0]),
        trial(folder, "base", 1, [4.0, 3.2, 2.9]),
        trial(folder, "wide", 0, [3.0, 2.0]),
        trial(folder, "wide", 1, [3.5], "pruned"),
        trial(folder, "<b>low</b>", 0, [], "fail"),
        trial(folder, "<b>low</b>", 1, [5.0], "fail"),
    ]


def page_of(folder: Path, trials: list[Trial]) -> str:
    return render(read_sweep(folder / "sweep.yaml"), rows_of(trials), trials, "my sweep")


def charts_of(page: str) -> dict[str, dict[str, Any]]:
    """The charts' specifications by their labels."""
    found = re.findall(r'data-chart="([^"]*)" aria-label="([^"]*)"', page)
    return {html.unescape(label): json.loads(html.unescape(text)) for text, label in found}


def test_a_sweep_with_failed_and_pruned_runs_has_a_page(folder):
    page = page_of(folder, trials_of(folder))
    assert "Best: wide, 2.0000 bits/byte" in page
    assert "<b>&lt;b&gt;low&lt;/b&gt;, seed 0</b>: the &lt;loss&gt; is nan" in page
    assert "<b>low</b>" not in page
    assert "&lt;i&gt;wide-seed-0&lt;/i&gt; &amp;" in page  # the best run's story
    tiles = dict(re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", page))
    assert {name: tiles[name] for name in ("Points", "Complete runs", "Failed runs", "Pruned runs")} == {
        "Points": "3",
        "Complete runs": "3",
        "Failed runs": "2",
        "Pruned runs": "1",
    }
    curves = charts_of(page)["Bits per byte of every run against its cost"]["data"]["values"]
    runs = {(row["point"], row["seed"], row["state"]): [] for row in curves}
    for row in curves:
        runs[row["point"], row["seed"], row["state"]].append((row["tokens"], row["bits"], row["last"]))
    assert runs == {
        ("base", 0, "complete"): [(100, 4.0, False), (200, 3.0, True)],
        ("base", 1, "complete"): [(100, 4.0, False), (200, 3.2, False), (300, 2.9, True)],
        ("wide", 0, "complete"): [(100, 3.0, False), (200, 2.0, True)],
        ("wide", 1, "pruned"): [(100, 3.5, False)],
    }


def test_a_sweep_without_any_result_has_a_page(folder):
    page = page_of(folder, [trial(folder, "base", 0, [], "fail"), trial(folder, "wide", 0, [], "running")])
    assert "No trial is complete." in page
    assert "the &lt;loss&gt; is nan" in page
    assert charts_of(page) == {}


def test_runs_of_another_machine_are_in_the_table_alone(folder):
    trials = trials_of(folder)
    for name in ("recipe.yaml", "log.jsonl", "samples.jsonl"):
        (trials[2].run / name).unlink()
    page = page_of(folder, trials)
    assert "Best: wide, 2.0000" in page
    assert "What the best run writes" not in page
    rows = charts_of(page)["Bits per byte of every run against its cost"]["data"]["values"]
    assert ("wide", 0) not in {(row["point"], row["seed"]) for row in rows}


def test_only_the_ends_of_complete_runs_make_the_frontier(folder):
    trials = trials_of(folder)
    rows = cost_rows(rows_of(trials), trials)
    ends = frontier_chart(rows, COSTS[0])["data"]["values"]
    complete = [curve_of(each.run) for each in trials if each.state == "complete"]
    assert sorted((row["tokens"], row["bits"]) for row in ends) == sorted(
        (curve["tokens"][-1], curve["bits_per_byte"][-1]) for curve in complete
    )


def test_the_ends_are_compared_by_a_cost_in_which_they_differ(folder):
    def row(**costs: float) -> dict[str, Any]:
        return {"tokens": 1.0, "minutes": 1.0, "flops": 1.0, "last": True} | costs

    assert dividing_cost([row(), row(flops=2.0, minutes=3.0)]).name == "flops"
    assert dividing_cost([row(), row(tokens=2.0)]).name == "tokens"
    assert dividing_cost([row(), row(minutes=2.0)]).name == "minutes"
    assert dividing_cost([row(), row(flops=2.0) | {"last": False}]).name == "minutes"
    assert dividing_cost([]).name == "minutes"


def test_the_best_points_have_colors_of_their_own(folder):
    trials = [trial(folder, name, 0, [1.0 + i]) for i, name in enumerate("abcdefghij")]
    rows = cost_rows(rows_of(trials), trials)
    names = list(dict.fromkeys(row["series"] for row in rows))
    assert names == [*"abcdefghij"[:MOST_NAMED], OTHERS]


def test_the_settings_of_named_points_are_those_of_their_recipes(folder):
    trials = trials_of(folder)
    settings = {each.name: each for each in dimensions(read_sweep(folder / "sweep.yaml"), rows_of(trials))}
    assert {name: each.values for name, each in settings.items()} == {  # wide, base, low
        "d_model": ["32", "16", "16"],
        "kind": ["muon", "adamw", "adamw"],
        "learning_rate": ["0.01", "0.01", "0.0001"],
    }
    assert settings["d_model"].positions == [1.0, 0.0, 0.0]


def test_many_numbers_lie_on_a_scale_and_few_values_at_equal_distances():
    few = dimension("rate", [1e-3, 1e-2, 1.0])
    assert (few.positions, few.ticks) == ([0.0, 0.5, 1.0], {"0.001": 0.0, "0.01": 0.5, "1": 1.0})
    many = dimension("rate", [10.0**-i for i in range(9)])
    assert many.positions == pytest.approx([1 - i / 8 for i in range(9)])
    assert {float(text): place for text, place in many.ticks.items()} == pytest.approx(
        {1e-8: 0, 1e-6: 0.25, 1e-4: 0.5, 1e-2: 0.75, 1: 1}
    )
    linear = dimension("width", [100, 110, 120, 130, 140, 150, 200])
    assert linear.positions == pytest.approx([0, 0.1, 0.2, 0.3, 0.4, 0.5, 1])
    assert dimension("bias", [True, [], True]).values == ["true", "[]", "true"]


def test_the_page_loads_nothing_and_draws_every_chart_at_every_cost(folder):
    trials = [
        trial(folder, "base", 0, [3.0]),
        trial(folder, "base", 1, [4.0, 3.2, 2.9]),
        trial(folder, "wide", 0, [3.0, 2.0]),
    ]
    path = write_page(read_sweep(folder / "sweep.yaml"), rows_of(trials), trials, folder)
    assert not re.search(r"""(?:src|href)\s*=\s*["']?(?:https?:)?//""", path.read_text(encoding="utf-8"))
    with chromium() as browser:
        tab = browser.new_page(viewport={"width": 390, "height": 800})
        requests, errors = [], []
        tab.on("request", lambda request: requests.append(request.url))
        tab.on("pageerror", lambda error: errors.append(str(error)))
        tab.goto(path.as_uri())
        figures = tab.locator("figure.chart")
        assert figures.count() == 4
        for i in range(figures.count()):
            figures.nth(i).scroll_into_view_if_needed()
            figures.nth(i).locator("svg").wait_for()
        assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert frontier_line(tab, figures.nth(3)) == [3.0, 2.0]
        tab.locator("input[name=frontier][value=minutes]").check()
        figures.nth(3).locator("svg >> text=minutes of training").wait_for()
        assert errors == []
    assert [url for url in requests if not url.startswith(("file:", "data:"))] == []


@pytest.mark.parametrize("width", [360, 390, 768])
def test_where_the_page_is_narrow_the_table_is_whole_and_each_value_has_its_title(folder, width):
    trials = trials_of(folder)
    (folder / "page.html").write_text(page_of(folder, trials), encoding="utf-8")
    with chromium() as browser:
        tab = browser.new_page(viewport={"width": width, "height": 800})
        tab.goto((folder / "page.html").as_uri())
        assert tab.evaluate("(each => each.scrollWidth <= each.clientWidth)(document.querySelector('.scroll'))")
        shown = tab.evaluate(
            """[...document.querySelectorAll("tr:nth-child(2) td")]
                 .map(cell => [JSON.parse(getComputedStyle(cell, "::before").content), cell.innerText])"""
        )
        titles, _, second = cells(rows_of(trials))[:3]
        assert dict(shown) == dict(zip(titles[1:], second[1:], strict=True))


def frontier_line(tab: Any, figure: Any) -> list[float]:
    """The levels of the step line, as the browser computes it from the chart's rows, checked against `frontier`."""
    specification = json.loads(figure.get_attribute("data-chart"))
    rows = sorted((row["tokens"], row["bits"]) for row in specification["data"]["values"])
    drawn = tab.evaluate(
        """async specification => {
             const compiled = vegaLite.compile({...specification, width: 300}).spec;
             const view = await new vega.View(vega.parse(compiled)).runAsync();
             const rows = compiled.data.flatMap(each => view.data(each.name));
             return [...new Set(rows.filter(row => row.best !== undefined).map(row => row.best))].sort((a, b) => b - a);
           }""",
        json.loads(json.dumps(specification).replace('"@', '"')),
    )
    assert drawn == [bits for _, bits in frontier(*zip(*rows, strict=True))]
    return drawn
