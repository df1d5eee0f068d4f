"""`talewright inspect --circuits` and the pushes of a report: what is written, drawn, printed and refused."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from talewright.cli import main
from talewright.errors import UserError
from talewright.evaluate.multiple_choice.understanding import KINDS
from talewright.inspect.circuits.circuit import Effect, circuit_json, find_circuit, most_passes, node_name
from talewright.inspect.circuits.pushes import part_label, strongest, word_pushes
from talewright.inspect.circuits.search import CircuitInspection
from talewright.inspect.circuits.sentence import circuit_sentence, pairs_sentence, percent, size_sentences
from talewright.inspect.figures.circuits import circuit_svg, node_columns, text_alternative
from talewright.inspect.inspection import Inspection, Inspector, inspect_predictions
from talewright.inspect.parts import Part
from talewright.inspect.report.page import data, sections
from talewright.inspect.session import InspectionOptions, inspect_circuits, inspect_run, open_model
from talewright.run import RunFolder
from tests.inspect.cases import small_config
from tests.inspect.circuits.test_circuit import circuit_of, drawn_twins, oriented
from tests.model.shapes import lively_model


def found_circuit() -> Any:
    model = lively_model(small_config(), 2)
    return find_circuit(model, oriented(model, drawn_twins()))


def test_the_command_prints_and_writes_what_the_report_shows(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["inspect", str(run), "--circuits", "--only", "curves"])
    printed = capsys.readouterr().out
    values = json.loads((run / "circuits.json").read_text())
    page = (run / "report.html").read_text(encoding="utf-8")
    assert '<section id="circuits">' in page
    assert '<section id="attention">' not in page
    assert [each["kind"] for each in values["circuits"]] == list(KINDS)
    for each in values["circuits"]:
        assert f"{each['kind']}: {each['sentence']}" in printed
        assert f"{each['pairs']} of {each['pairs'] + each['skipped_pairs']} pairs" in printed
    assert page.count('<svg class="circuit"') == sum(bool(each["edges"]) for each in values["circuits"])
    assert RunFolder(run).find_checkpoint("best").name == f"step-{values['step']}"
    assert set(values["roles"]) == {"0.0", "0.1", "1.0", "1.1"}


def test_a_report_has_no_circuits_unless_they_are_wanted(run: Path) -> None:
    page = inspect_run(run, InspectionOptions(parts=("predictions",))).read_text(encoding="utf-8")
    assert '<section id="circuits">' not in page
    assert '<div id="pushes">' in page
    assert not (run / "circuits.json").exists()


def test_the_graph_has_a_node_for_each_part_and_a_line_for_each_connection() -> None:
    circuit = found_circuit()
    svg = circuit_svg(circuit)
    nodes = {node_name(node) for pair in circuit.edges for node in pair}
    assert sorted(re.findall(r'data-part="([^"]+)"', svg)) == sorted(nodes)
    assert len(re.findall(r"<path ", svg)) == len(circuit.edges)
    against = sum(effect.measured < 0 for effect in circuit.edges.values())
    assert svg.count('class="edge against"') == against
    for source, target in circuit.edges:
        assert node_columns(circuit)[source] < node_columns(circuit)[target]
    assert text_alternative(circuit).count(" to ") == len(circuit.edges)
    assert circuit_svg(replace(circuit, edges={})) == ""


def test_nodes_and_lanes_of_a_column_do_not_overlap() -> None:
    edges = {
        ("embedding", Part(0, 0)): 0.2, ("embedding", "logits"): 0.1, ("embedding", Part(0)): 0.4,
        (Part(0, 0), "logits"): -0.3, (Part(0), Part(1, 1)): 0.5, (Part(1, 1), "logits"): 0.5,
    }  # fmt: skip
    effects = {pair: Effect(estimate=0.0, measured=size) for pair, size in edges.items()}
    svg = circuit_svg(circuit_of({Part(0, 0): 0.1, Part(0): 0.2, Part(1, 1): 0.5}, edges=effects))
    boxes = [tuple(map(float, each)) for each in re.findall(r'<rect x="([\d.]+)" y="([\d.]+)"', svg)]
    assert len(boxes) == 5
    assert all(a == b or a[0] != b[0] or abs(a[1] - b[1]) >= 40 for a in boxes for b in boxes)
    widths = [float(each) for each in re.findall(r'stroke-width="([\d.]+)"', svg)]
    assert widths == sorted(widths, reverse=True)  # thin lines lie above thick ones
    assert widths[0] == 8.0
    assert "30 % more preference without it" in svg


def test_the_size_of_a_circuit_is_said_in_plain_words() -> None:
    edges = {(Part(0), "logits"): Effect(estimate=0.1, measured=0.1)}
    circuit = circuit_of({}, edges=edges, faithfulness=0.81, left=-1e-9, skipped=2)
    text = size_sentences(circuit)
    assert "This 1 of 9 connections alone keeps 81 % of the preference; without it, 0 % is left." in text
    both = replace(circuit, edges=edges | {("embedding", Part(0)): Effect(estimate=0.1, measured=0.1)})
    assert "These 2 of 9 connections alone keep 81 % of the preference; without them, 0 %" in size_sentences(both)
    assert text.endswith("It was chosen on the same questions that score it.")
    assert "No small circuit keeps 80 %" in size_sentences(replace(circuit, faithfulness=0.5))
    assert size_sentences(replace(circuit, edges={})) == ""
    assert pairs_sentence(circuit).startswith("5 of 7 pairs of questions could be used; the twins")
    assert pairs_sentence(replace(circuit, skipped=0)) == "5 of 5 pairs of questions could be used."
    assert percent(-0.02) == "−2 %"


def test_the_role_of_a_head_is_said_where_it_has_one() -> None:
    effects = {Part(0, 1): 0.6, Part(1, 0): 0.3}
    circuit, roles = circuit_of(effects), {Part(0, 1): "induction", Part(1, 0): "mixed"}
    sentence = "Mostly head 0.1 (in stories an induction head), and head 1.0."
    assert circuit_sentence(circuit, roles) == sentence
    assert circuit_json(circuit, roles)["sentence"] == sentence
    assert CircuitInspection(step=3, circuits=[circuit], roles=roles).summary().startswith(f"context: {sentence}")


def test_the_passes_of_a_circuit_are_counted_and_bounded() -> None:
    model, rows = lively_model(small_config(), 2), []
    twins = oriented(model, drawn_twins())
    find_circuit(model, twins, rows.append)
    assert 0 < sum(rows) <= most_passes(model) * len(twins.clean)
    assert sum(rows) % len(twins.clean) == 0


def test_the_pushes_of_the_page_are_those_of_the_model(run: Path) -> None:
    inspected = open_model(RunFolder(run), "best", [], torch.device("cpu"))
    assert inspected.model is not None
    inspector = Inspector(inspected, [], "Tom had a red ball. He")
    inspection = Inspection(model=inspected, predictions=inspect_predictions_alone(inspector))
    pushes, shown = word_pushes(inspected.model, inspector.story()), data(inspection)["pushes"]
    assert len(shown) == len(data(inspection)["story"]) == len(pushes.targets)
    for position, (row, each) in enumerate(zip(pushes.values, shown, strict=True)):
        by_name = {part_label(name): value for name, value in zip(pushes.names, row, strict=True)}
        sizes = sorted(map(abs, row), reverse=True)[:5]
        assert [abs(value) for _, value in each["top"]] == pytest.approx(sizes, abs=1e-3)
        assert [value for _, value in each["top"]] == pytest.approx(
            [by_name[part] for part, _ in each["top"]], abs=1e-3
        )
        (up, most), (down, least) = strongest(pushes, position)
        assert each["up"] == ((up, pytest.approx(most, abs=1e-3)) if most > 5e-4 else None)
        assert each["down"] == ((down, pytest.approx(least, abs=1e-3)) if least < -5e-4 else None)


def inspect_predictions_alone(inspector: Inspector) -> Any:
    inspector.stories = [inspector.story()[1:-1]]
    return inspect_predictions(inspector, None)


def test_a_post_norm_model_has_no_pushes_and_is_refused(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    post = tmp_path / "post"
    recipe, stories = run / "recipe.yaml", tmp_path / "stories.txt"
    stories.write_text("\n<|endoftext|>\n".join(f"Tom had {n} red balls. He ran to the park." for n in range(60)))
    main(
        ["train", "--recipe", str(recipe), "--data", str(stories), "--model.norm-placement", "post", "--out", str(post)]
    )
    with pytest.raises(SystemExit) as stopped:
        main(["inspect", str(post), "--circuits"])
    assert stopped.value.code == 2
    assert "norm_placement: post" in capsys.readouterr().err
    assert not (post / "report.html").exists()
    inspected = open_model(RunFolder(post), "best", [], torch.device("cpu"))
    inspection = Inspection(model=inspected, predictions=inspect_predictions_alone(Inspector(inspected, [], "Tom ran")))
    assert "pushes" not in data(inspection)
    assert 'id="pushes"' not in sections(inspection, ["predictions"])["predictions"]


def test_a_run_without_a_checkpoint_has_no_circuits(run: Path) -> None:
    shutil.rmtree(run / "checkpoints")
    with pytest.raises(UserError, match="no checkpoint yet"):
        inspect_circuits(run)
