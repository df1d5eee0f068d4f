"""Searching a run's training stories: the index is kept, rebuilt when it must be, and finds what it should."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from talewright.cli import main
from talewright.inspect.influence import query as query_module
from talewright.inspect.influence.index import (
    FOLDER,
    INDEX,
    METADATA,
    build_index,
    inverse_roots,
    load_index,
    save_index,
)
from talewright.inspect.influence.projections import saved_moments
from talewright.inspect.influence.query import InfluenceSearch, find_influence, seen_stories
from talewright.inspect.sequences import batches, make_sequence
from talewright.run import RunFolder


def search(run: Path) -> InfluenceSearch:
    folder = RunFolder(run)
    return InfluenceSearch(folder, *folder.load_model("best", torch.device("cpu")))


def test_a_training_story_has_the_most_influence_on_itself(run: Path) -> None:
    """Its own gradient is parallel to it; the others' are not."""
    searched = search(run)
    number = int(searched.numbers[7])
    text = searched.tokenizer.decode(searched.train.story(number))
    found = searched.find(text)
    same = {each.story for each in found.influential if each.text == text}
    assert found.influential[0].text == text
    assert number in same
    assert found.influential[0].influence > 0.8  # 1, but for the end of text, which a typed text has not
    assert found.nearest[0].shared == 1
    influences = [each.influence for each in found.influential]
    assert influences == sorted(influences, reverse=True)
    assert [each.rank for each in found.influential] == list(range(1, 11))


def test_the_scores_are_cosines_of_whitened_projected_gradients(run: Path) -> None:
    """Computed again from the definition, story by story."""
    searched = search(run)
    stories = [searched.train.story(int(i)) for i in searched.numbers]
    index = searched.index(stories)
    projector = index.projector(searched.model)
    sequences = [make_sequence(story, searched.tokenizer.separator, 32) for story in stories]
    raw = torch.cat([projector.gradients(*next(batches([each]))) for each in sequences]).double()
    query = raw[5]
    blocks = raw.chunk(len(index.projections), 1)
    unit = F.normalize(raw)
    products = torch.zeros(len(raw), dtype=torch.float64)
    norms = torch.zeros(len(raw), dtype=torch.float64)
    for block, q, units in zip(blocks, query.chunk(len(blocks)), unit.chunk(len(blocks), 1), strict=True):
        covariance = units.T @ units / len(units)
        damped = covariance + 0.1 * covariance.trace() / len(covariance) * torch.eye(len(covariance))
        products += block @ torch.linalg.solve(damped, q)  # R^-1/2 on both sides
        norms += (block * torch.linalg.solve(damped, block.T).T).sum(1)
    expected = products / (norms * norms[5]).sqrt()
    actual = index.scores(index.query(query[None].float()))[0]
    torch.testing.assert_close(actual.double(), expected, atol=3e-3, rtol=0)  # the index is float16
    assert actual.argmax() == expected.argmax()


def test_whitening_brings_every_direction_to_the_same_mean_square() -> None:
    """Up to the damping: an eigenvalue v of the mean of g g^T becomes v / (v + damping)."""
    generator = torch.Generator().manual_seed(0)
    gradients = torch.randn(500, 8, generator=generator) @ torch.randn(8, 8, generator=generator)
    values = torch.linalg.eigvalsh(gradients.T @ gradients / len(gradients))
    white = gradients @ inverse_roots(gradients, ["a"])["a"]
    expected = values / (values + 0.1 * values.mean())
    torch.testing.assert_close(torch.linalg.eigvalsh(white.T @ white / len(white)), expected, atol=1e-4, rtol=1e-3)


def test_a_second_search_reads_the_index(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = find_influence(run, "Tom had a ball.")
    monkeypatch.setattr(query_module, "build_index", None)  # would raise
    assert find_influence(run, "Tom had a ball.") == first
    assert json.loads((run / "influence.json").read_text())["influential"][0]["story"] == first.influential[0].story


@pytest.mark.parametrize("change", ["weights", "corpus", "seed"])
def test_the_index_is_computed_again_for_another_model_or_corpus(run: Path, change: str) -> None:
    find_influence(run, "Tom had a ball.")
    metadata = run / FOLDER / METADATA
    key = json.loads(metadata.read_text())
    metadata.write_text(json.dumps({**key, change: "other"}))
    find_influence(run, "Tom had a ball.")
    assert json.loads(metadata.read_text()) == key


def test_an_index_that_cannot_be_kept_is_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("not a folder")
    index: Any = SimpleNamespace(numbers=torch.zeros(1), gradients=torch.zeros(1, 1), projections={})
    save_index(tmp_path / "file" / FOLDER, index, {})
    assert "cannot be written: Not a directory. The next call computes it again" in caplog.text


def test_a_damaged_index_is_computed_again(run: Path) -> None:
    first = find_influence(run, "Tom had a ball.")
    path = run / FOLDER / INDEX
    path.write_bytes(path.read_bytes()[:1000])
    assert find_influence(run, "Tom had a ball.") == first
    searched = search(run)
    assert load_index(run / FOLDER, searched.key(), searched.model) is not None


def test_the_order_of_the_stories_does_not_matter_to_their_scores(run: Path) -> None:
    """Batches are made by length; each gradient must come back to its own story."""
    searched = search(run)
    sequences = [make_sequence(searched.train.story(i), searched.tokenizer.separator, 32) for i in range(20)]
    saved = saved_moments(searched.checkpoint, searched.model)
    index = build_index(searched.model, range(20), sequences, saved)
    backwards = build_index(searched.model, range(20)[::-1], sequences[::-1], saved)
    torch.testing.assert_close(index.gradients, backwards.gradients.flip(0), atol=2e-3, rtol=0)


def test_only_stories_that_the_run_has_read_are_searched(run: Path) -> None:
    """8 steps of 4 windows, of which an epoch has more: some stories have not been seen."""
    folder = RunFolder(run)
    split = folder.corpus().split("train")
    seen = seen_stories(folder, folder.checkpoint("last"), split)
    assert 0 < len(seen) < split.n_stories
    assert (np.diff(seen) > 0).all()
    assert len(seen_stories(folder, folder.find_checkpoint("4"), split)) < len(seen)


def test_a_held_out_story_is_named_by_its_number(run: Path) -> None:
    searched = search(run)
    found = searched.find("valid:0")
    assert found.text == searched.tokenizer.decode(searched.corpus.split("valid").story(0)[:32])


@pytest.mark.parametrize(
    ("query", "message"), [("", "--influence is empty"), ("valid:99999", "--influence is valid:99999")]
)
def test_a_query_that_names_nothing_is_a_clear_error(run: Path, query: str, message: str, capsys) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["inspect", str(run), "--influence", query])
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


def test_the_command_prints_tables_and_writes_no_report(run: Path, capsys) -> None:
    main(["inspect", str(run), "--influence", "Tom had a ball."])
    out = capsys.readouterr().out
    assert "rank  influence  shared  story  where it adds most" in out
    assert "longest shared passage" in out
    assert not (run / "report.html").exists()
    with pytest.raises(SystemExit):
        main(["inspect", str(run), "--influence", "Tom had a ball.", "--neurons", "0.1"])
    assert "--neurons is for the report" in capsys.readouterr().err


def test_the_report_has_a_section(run: Path, capsys) -> None:
    main(["inspect", str(run), "--influence", "Tom <b>had</b> a ball.", "--only", "predictions"])
    page = (run / "report.html").read_text(encoding="utf-8")
    assert '<section id="influence">' in page
    assert '<a href="#influence">' in page
    assert "Tom &lt;b&gt;had&lt;/b&gt; a ball." in page
    assert "Tom <b>had" not in page


def test_an_imported_run_has_no_training_stories(run: Path, tmp_path: Path, capsys) -> None:
    other = tmp_path / "imported"
    shutil.copytree(run, other)
    for name in ("log.jsonl", "data.json"):
        (other / name).unlink()
    with pytest.raises(SystemExit) as stopped:
        main(["inspect", str(other), "--influence", "Tom"])
    assert stopped.value.code == 2
    assert "was trained elsewhere" in capsys.readouterr().err
