from __future__ import annotations

from pathlib import Path

import pytest

from talewright.errors import UserError
from talewright.scaling.sweep.reading import Range, grid, read_sweep, recipes
from talewright.scaling.sweep.results import last_line


def read(folder: Path, text: str):
    path = folder / "sweep.yaml"
    path.write_text(text, encoding="utf-8")
    return read_sweep(path)


def test_a_sweep_is_read_as_it_stands(tmp_path):
    found = read(
        tmp_path,
        "recipe: mini-2m\n"
        "set: {train.max-steps: 30, data.source: bundled}\n"
        "vary: {train.learning_rate: [1e-3, 0.003], model.bias: [[], [mlp]], model.tied: [true]}\n"
        "seeds: [0, 1]\n",
    )
    assert found.set == {"train.max_steps": "30", "data.source": "bundled"}
    assert found.vary == {
        "train.learning_rate": ("1e-3", "0.003"),
        "model.bias": ("[]", '["mlp"]'),
        "model.tied": ("true",),
    }
    assert (found.recipe, found.seeds, found.sampler) == ("mini-2m", (0, 1), "grid")
    assert found.pruner == {"kind": "none"}
    assert len(list(grid(found))) == 4


def test_ranges_need_a_sampler(tmp_path):
    ranges = "train.learning_rate: {from: 1e-4, to: 1e-2, log: true}, model.n_layers: {from: 1, to: 3}"
    text = f"recipe: mini-2m\nvary: {{{ranges}}}\n"
    found = read(tmp_path, text + "sampler: random\ntrials: 4\n")
    assert found.vary == {"train.learning_rate": Range(1e-4, 1e-2, True), "model.n_layers": Range(1, 3, whole=True)}
    with pytest.raises(UserError, match="a grid needs a list of values"):
        read(tmp_path, text)
    with pytest.raises(UserError, match="trials is None; a tpe sampler needs vary, and the number of points"):
        read(tmp_path, text + "sampler: tpe\n")
    with pytest.raises(UserError, match="trials is for the samplers random and tpe"):
        read(tmp_path, "recipe: mini-2m\nseeds: [0, 1]\ntrials: 4\n")
    assert read(tmp_path, text + "search: random\ntrials: 4\n") == found  # the older name of sampler


def test_points_are_listed_with_what_each_changes(tmp_path):
    points = "points: {base: {}, adamw: {optimizer.kind: adamw, optimizer.matrix-learning-rate: null}}\n"
    text = "recipe: story-1m\nset: {data.source: bundled, optimizer.kind: muon}\n" + points
    found = read(tmp_path, text)
    assert list(grid(found)) == [{"point": "base"}, {"point": "adamw"}]
    assert found.settings({"point": "base"}) == {}
    assert found.settings({"point": "adamw"}) == {"optimizer.kind": "adamw", "optimizer.matrix_learning_rate": "null"}
    with pytest.raises(UserError, match=r"matrix_learning_rate is Muon's"):
        read(tmp_path, text.replace(", optimizer.matrix-learning-rate: null", ""))
    with pytest.raises(UserError, match="points cannot be combined with vary"):
        read(tmp_path, text + "vary: {model.n_layers: [1, 2]}\n")
    with pytest.raises(UserError, match=r"(?s)points\.base is 3.*no setting optimizer\.knd"):
        read(tmp_path, text.replace("base: {}", "base: 3").replace("adamw: {optimizer.kind", "adamw: {optimizer.knd"))
    with pytest.raises(UserError, match=r"points is \[1\]"):
        read(tmp_path, "recipe: story-1m\npoints: [1]\n")


def test_a_pruner_is_a_name_or_a_section(tmp_path):
    text = "recipe: mini-2m\nseeds: [0, 1]\npruner: "
    assert read(tmp_path, text + "median\n").pruner == {"kind": "median"}
    options = {"kind": "hyperband", "min_resource": 50}
    assert read(tmp_path, text + "{kind: hyperband, min_resource: 50}\n").pruner == options
    for wrong in ("medium", "{n_startup_trials: 2}", "[median]"):
        with pytest.raises(UserError, match="it is none, median, hyperband"):
            read(tmp_path, text + wrong + "\n")


def test_a_range_is_of_whole_numbers_where_the_setting_is(tmp_path):
    ranges = "{optimizer.weight_decay: {from: 0, to: 1}, model.d_ff: {from: 64, to: 1e3, log: true}}"
    found = read(tmp_path, f"recipe: mini-2m\nsampler: random\ntrials: 4\nvary: {ranges}\n")
    assert found.vary == {"optimizer.weight_decay": Range(0, 1), "model.d_ff": Range(64, 1000, log=True, whole=True)}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (f"vary: {{train.learning_rate: {{from: 1, to: 1{'0' * 400}}}}}", r"vary\.train\.learning_rate is .*; it is a"),
        ("vary: {train.max_steps: [2001-01-01]}", r"train\.max_steps is 2001-01-01; it is a whole number"),
        ("vary: {train.max_steps: [{2001-01-01: 1}]}", r"train\.max_steps is .*; it is a whole number"),
        ("vary: {train.max_steps: &a [*a]}", r"train\.max_steps is .*; it is a whole number"),
        ("vary: {train.max-steps: [1], train.max_steps: [2]}", r"vary\.train\.max_steps is given twice"),
        ("seeds: [0, 9223372036854775808]", r"seeds is \[0, 9223372036854775808\]; .* from 0 to 9223372036854775807"),
    ],
)
def test_odd_values_are_refused_by_name(tmp_path, line, message):
    with pytest.raises(UserError, match=message):
        read(tmp_path, f"recipe: mini-2m\n{line}\n")


WRONG = """
recpie: mini-2m
set: {train.max_steps: 30, model.n_layer: 3}
vary: {train.max_steps: [1, 2], model.d_model: {from: 3, to: 1}, seed: [1]}
seeds: [-1]
sampler: bayes
"""


def test_every_problem_is_named_at_once(tmp_path):
    with pytest.raises(UserError) as caught:
        read(tmp_path, WRONG)
    for words in (
        "no setting recpie; did you mean recipe?",
        "recipe is missing",
        "no setting model.n_layer; did you mean model.n_layers?",
        "train.max_steps is both in set and in vary",
        "vary.model.d_model is {'from': 3, 'to': 1}",
        "vary.seed: seeds are listed under `seeds`",
        "seeds is [-1]",
        "sampler is 'bayes'; it is grid, random or tpe",
    ):
        assert words in str(caught.value), words


def test_wrong_values_are_reported_before_anything_is_trained(tmp_path):
    with pytest.raises(UserError, match=r"(?s)train\.learning_rate is fast.*model\.n_heads is 5"):
        read(tmp_path, "recipe: mini-2m\nvary: {model.n_heads: [4, 5], train.learning_rate: [1e-3, fast]}\n")


@pytest.mark.parametrize(
    "text", ["- a\n", "", "recipe: [\n", "recipe: mini-2m\nrecipe: mini-2m\n", "recipe: mini-2m\n"]
)
def test_what_is_no_sweep_is_refused_in_one_sentence(tmp_path, text):
    with pytest.raises(UserError, match=r"sweep\.yaml"):
        read(tmp_path, text)
    with pytest.raises(UserError, match="no file"):
        read_sweep(tmp_path / "other.yaml")


def test_stories_that_a_sweep_names_are_not_read_as_those_of_its_recipe(tmp_path):
    (tmp_path / "own.yaml").write_text(
        "data: {source: a.jsonl, text_key: story, limit: 9}\ntrain: {max_steps: 1}\n", encoding="utf-8"
    )
    recipe, other = f"recipe: {tmp_path / 'own.yaml'}\n", "{data.source: b.csv}"
    shared = read(tmp_path, f"{recipe}set: {other}\nvary: {{train.max_steps: [1]}}")
    assert [(each.data.text_key, each.data.limit) for each in recipes(shared)] == [("text", None)]
    listed = read(tmp_path, f"{recipe}set: {{data.limit: 5}}\npoints: {{own: {{}}, other: {other}}}")
    assert [(each.data.text_key, each.data.limit) for each in recipes(listed)] == [("story", 5), ("text", 5)]
    assert listed.options({"point": "own"}) == {}
    assert listed.options({"point": "other"})["data.limit"] == "5"


def test_the_reason_of_a_failed_trial_names_settings_of_a_sweep(tmp_path):
    output = tmp_path / "x.out"
    output.write_text('a has no "text". Name the right one with --text-key, or --data b\n', encoding="utf-8")
    assert last_line(output) == 'a has no "text". Name the right one with data.text_key, or data.source b'
