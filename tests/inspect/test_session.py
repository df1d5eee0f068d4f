"""`talewright inspect`: what it writes, and its notes on damaged, unfinished and unusual runs."""

from __future__ import annotations

import base64
import html
import json
import re
import shutil
from collections.abc import Sequence
from html import escape
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from talewright.cli import main
from talewright.config import TokenizerConfig
from talewright.errors import UserError
from talewright.inspect import session
from talewright.inspect.report.page import SECTIONS
from talewright.inspect.sequences import display_token
from talewright.inspect.session import PARTS, InspectionOptions, inspect_circuits, inspect_run
from talewright.look import chart_script
from talewright.run import RunFolder
from talewright.tokenizer import make_tokenizer
from tests.disk import fill, mounted

VOID = {"meta", "input", "br", "img", "link"}


class Page(HTMLParser):
    """What a browser would find: every element closed, ids, references, titles, the script's data."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.text: dict[str, list[str]] = {"h3": [], "script": [], "p": []}
        self.feed(path.read_text(encoding="utf-8"))
        assert self.open == [], "every element is closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            if name in ("href", "src", "xlink:href", "action", "data"):
                self.links.append(value or "")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in self.text:
            self.text[self.open[-1]].append(data)

    @property
    def data(self) -> dict:
        return json.loads(self.text["script"][0])


def test_invisible_characters_of_a_token_are_spelled_out():
    tokenizer = make_tokenizer(TokenizerConfig(kind="bpe"), 300, lambda: ["one two"] * 9)
    ids = [*tokenizer.encode("\n\t\x00 é"), tokenizer.eos_id]
    assert "".join(display_token(tokenizer, token) for token in ids[:-3] + ids[-1:]) == "⏎⟨09⟩⟨00⟩ ⟨end⟩"


def test_the_page_needs_nothing_from_elsewhere_and_the_pictures_have_their_names(run):
    report = inspect_run(run)
    assert report == run / "report.html"
    page = Page(report)
    assert all(link.startswith(("#", "data:image/png;base64,")) for link in page.links)
    bare = re.sub(r"<script.*?</script>", "", report.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert not re.search(r"(https?:)?//(?!www\.w3\.org/)[a-z]", bare)
    assert "@import" not in report.read_text()
    assert report.stat().st_size < 5_000_000
    plots = {path.relative_to(run / "plots").as_posix() for path in (run / "plots").rglob("*") if path.is_file()}
    heads = {f"attention_heatmaps/attn_layer{layer}_head{head}.png" for layer in range(2) for head in range(2)}
    weights = {"histograms_layer0.png", "histograms_layer1.png", "histograms_outside.png", "spectral_norms.png"}
    assert plots == {
        "training_curves.png",
        "training_history.json",
        "generated_texts_complete.json",
        "attention_heatmaps/all_heads.png",
        *heads,
        *(f"weight_distributions/{name}" for name in weights),
    }
    for name in plots:
        if name.endswith(".png"):
            assert (run / "plots" / name).read_bytes().startswith(b"\x89PNG")
    anchors = {link[1:] for link in page.links if re.fullmatch("#[a-z-]+", link)}
    assert {"curves", "predictions", "attention", "weights", "words", "neurons"} <= anchors <= set(page.ids)


def test_the_page_begins_with_a_story_and_folds_what_is_for_specialists(run):
    text = inspect_run(run).read_text(encoding="utf-8")
    names = [name for name in SECTIONS if f'<section id="{name}"' in text]
    assert {"predictions", "attention", "neurons", "words", "curves", "weights"} <= set(names)
    order = ['class="card written"', 'class="verdict"', 'class="chips"', *(f'<section id="{name}"' for name in names)]
    places = [text.index(each) for each in order]
    assert places == sorted(places)
    for name in ("curves", "weights"):
        section = text[text.index(f'<section id="{name}"') :]
        assert section.index('<details class="fold">') < section.index('class="card panel"')


def test_the_data_of_the_page_is_what_was_measured(run):
    text = "Lily had 3 red balls. </script><b>Tom</b> & Sam"
    data = Page(inspect_run(run, InspectionOptions(text=text, parts=("predictions", "attention")))).data
    story = "".join(token["t"] for token in data["story"])
    assert (text + "⟨end⟩").startswith(story)
    assert len(story) > 20
    for token in data["story"]:
        assert 0 <= sum(p for _, p in token["top"]) <= 1.001
        assert len(token["lens"]) == 3
    tokens = len(data["attention"]["tokens"])
    levels = base64.b64decode(data["attention"]["levels"])
    square = tokens * (tokens + 1) // 2
    assert len(levels) == 4 * square
    for head in range(4):
        for t in range(tokens):
            row = levels[head * square + t * (t + 1) // 2 :][: t + 1]
            assert abs(sum(row) - 255) <= t + 1  # each rounded to a 255th


def test_the_names_of_runs_are_text_of_the_page(run, tmp_path):
    name = "_'\"><img src=x onerror=alert(1)><script>alert(1)<b> {{ 7 * 7 }} &lt; $_{5$ ’🐱从"
    text = f"Lily saw {name} & </script> Tom"
    named = run.rename(tmp_path / name)
    report = inspect_run(named, InspectionOptions(text=text, parts=("curves", "predictions"), against=str(named)))
    html = report.read_text(encoding="utf-8")
    Page(report)  # every element closed
    assert html.count("<script") == html.count("</script") == 3  # data, page, charts
    shown = html.replace(chart_script(), "")  # the libraries of the charts have such strings of their own
    assert "<img" not in shown
    assert escape(name, quote=False) in html.replace("&#34;", '"').replace("&#39;", "'")
    assert (named / "plots" / "training_curves.png").read_bytes().startswith(b"\x89PNG")


def test_a_part_alone(run, capsys):
    main(["inspect", str(run), "--only", "curves", "--out", str(run / "seen")])
    printed = capsys.readouterr()
    assert printed.out.strip() == str(run / "seen" / "report.html")
    assert sorted(path.name for path in (run / "seen").rglob("*.png")) == ["training_curves.png"]
    page = Page(run / "seen" / "report.html")
    assert "curves" in page.ids
    assert "attention" not in page.ids


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (
            ["--text", "A cat", "--only", "curves"],
            "--text is for predictions, attention; name one of them after --only",
        ),
        (["--text", "A cat", "--only", "weights", "timeline"], "--text is for predictions, attention"),
        (["--neurons", "0.1", "--only", "predictions"], "--neurons is for neurons"),
        (["--data", "bundled", "--only", "curves"], "--data is for predictions, attention, weights, neurons, timeline"),
    ],
)
def test_an_option_that_no_part_reads_is_refused(run, capsys, words, says):
    with pytest.raises(SystemExit) as left:
        main(["inspect", str(run), *words])
    assert left.value.code == 2
    assert says in " ".join(capsys.readouterr().err.split())
    assert not (run / "report.html").exists()


def test_pictures_and_figures_that_do_not_fit_the_disk_leave_the_earlier_ones(run, tmp_path):
    options = InspectionOptions(parts=("curves", "attention"))
    with mounted(tmp_path / "disk", "size=4m") as disk:
        kept = inspect_run(run, options, disk / "seen").parent
        before = {path: path.read_bytes() for path in kept.rglob("*") if path.is_file()}
        assert len(before) > 4
        fill(disk)
        for parts in (("curves",), ("attention",)):
            with pytest.raises((UserError, OSError), match="No space left"):
                inspect_run(run, InspectionOptions(parts=parts), kept)
        assert {path: path.read_bytes() for path in kept.rglob("*") if path.is_file()} == before


def test_a_folder_that_cannot_be_written_is_refused_before_anything_is_measured(run, tmp_path, monkeypatch):
    monkeypatch.setattr("talewright.inspect.session.Inspector", None)  # a call would raise
    with mounted(tmp_path / "disk", "ro") as disk:
        for inspect in (inspect_run, inspect_circuits):
            with pytest.raises(UserError, match=r"disk/new cannot be written; name another folder with --out"):
                inspect(run, InspectionOptions(parts=("predictions",)), disk / "new")


def test_the_curves_alone_need_only_the_log(run, trained, tmp_path, capsys, monkeypatch):
    """As while a run trains before its first checkpoint, or on a GPU without room for a second model."""
    monkeypatch.setattr("talewright.inspect.session.open_model", None)  # a call would raise
    monkeypatch.setattr("talewright.inspect.session._stories", None)
    with (run / "log.jsonl").open("a") as file:
        file.write('{"event": "step", "step": 9, "lo')
    main(["inspect", str(run), "--only", "curves"])
    printed = capsys.readouterr()
    assert "log.jsonl is incomplete" in printed.err
    assert "has no checkpoint yet" not in printed.err
    assert str(run / "plots" / "training_curves.png") in printed.err
    assert (run / "plots" / "training_curves.png").read_bytes().startswith(b"\x89PNG")
    assert "curves" in Page(run / "report.html").ids
    shutil.rmtree(run / "checkpoints")
    other = shutil.copytree(trained, tmp_path / "other")
    main(["inspect", str(run), "--only", "curves", "--against", str(other)])
    assert "other" in (run / "report.html").read_text(encoding="utf-8")
    (run / "log.jsonl").write_text("")
    with pytest.raises(SystemExit):
        main(["inspect", str(run), "--only", "curves"])
    assert "log.jsonl has no step yet; let the run train first" in capsys.readouterr().err


def test_two_checkpoints_and_two_runs_side_by_side(run, trained, tmp_path):
    page = Page(inspect_run(run, InspectionOptions(parts=("curves", "predictions"), against="4")))
    assert "beside" in page.ids
    assert any("The loss of run (step 4) on this story is" in title for title in page.text["h3"])
    other = shutil.copytree(trained, tmp_path / "other")
    page = Page(inspect_run(run, InspectionOptions(parts=("curves", "predictions"), against=str(other))))
    assert any("The loss of other (step 8) on this story is 0.0 nats" in title for title in page.text["h3"])
    page = Page(inspect_run(run, InspectionOptions(parts=("attention", "weights"), against=str(other))))
    assert any(title.endswith(" in other") and " in run, " in title for title in page.text["h3"])
    assert any(" differ most in spectral norm: " in title for title in page.text["h3"])
    heatmaps = run / "plots" / "attention_heatmaps"
    assert (heatmaps / "beside" / "all_heads.png").read_bytes() == (heatmaps / "all_heads.png").read_bytes()


# --- runs that are not as they should be ------------------------------------------------------------------------------


@pytest.fixture
def notes(run, caplog):
    """Inspects the run with some options, and returns the notes, which are logged and stand in the report."""

    def inspect(**options) -> str:
        caplog.clear()
        report = inspect_run(run, InspectionOptions(**{"parts": ("curves", "weights"), **options}))
        logged = [record.getMessage() for record in caplog.records if record.name == "talewright.inspect.session"]
        page = html.unescape(report.read_text(encoding="utf-8"))
        assert all(f"<p>{note}</p>" in page for note in logged)
        return " ".join(logged)

    return inspect


def test_no_checkpoint_yet_shows_the_curves(run, notes):
    shutil.rmtree(run / "checkpoints")
    assert "has no checkpoint yet: only its curves are shown" in notes(parts=PARTS)
    assert Page(run / "report.html").ids.count("curves") == 1


def test_neither_checkpoint_nor_step_is_an_error(run):
    shutil.rmtree(run / "checkpoints")
    (run / "log.jsonl").write_text("")
    with pytest.raises(UserError, match="has neither a step in its log nor a checkpoint yet"):
        inspect_run(run)


def test_a_run_in_training_shows_its_last_whole_checkpoint(run, notes):
    shutil.rmtree(run / "checkpoints" / "step-8")
    (run / "checkpoints" / "last").write_text("step-4\n")
    (run / "checkpoints" / ".step-8.partial").mkdir()
    assert "has reached step 8 since its newest checkpoint, step 4" in notes(checkpoint="last")


def test_a_whole_checkpoint_replaces_a_damaged_one(run, notes):
    path = run / "checkpoints" / "step-8" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-7])
    assert "step-8 cannot be used (model.safetensors has" in notes(checkpoint="last")
    with pytest.raises(UserError, match=r"step-8 is damaged: model\.safetensors has"):
        inspect_run(run, InspectionOptions(checkpoint="8"))


def test_an_incomplete_last_line_of_the_log_is_noted(run, notes):
    with (run / "log.jsonl").open("a") as file:
        file.write('{"event": "step", "step": 9, "lo')
    assert "log.jsonl is incomplete" in notes()


def test_a_text_longer_than_the_context_is_cut_with_a_note(run, notes):
    long, parts = "Lily had a red ball. " * 30, ("predictions", "attention")
    assert "more than the model's context: it is cut to the first 32" in notes(text=long, parts=parts)
    with pytest.raises(UserError, match="--text is empty"):
        inspect_run(run, InspectionOptions(text="", parts=("attention",)))


def test_bundled_stories_replace_those_that_are_gone(run, notes, tmp_path, monkeypatch):
    monkeypatch.setenv("TALEWRIGHT_CACHE", str(tmp_path / "empty"))
    text = (run / "recipe.yaml").read_text()
    (run / "recipe.yaml").write_text(re.sub(r"source: .*stories\.txt", "source: gone.txt", text))
    assert "bundled stories are used instead" in notes()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere"], "nowhere is not a run folder"),
        (["run", "--checkpoint", "77"], "run has no checkpoint 77"),
        (["run", "--against", "elsewhere"], "--against is elsewhere, which is neither a run folder nor a checkpoint"),
        (["run", "--neurons", "9.1"], "a neuron is LAYER.NUMBER, from 0.0 to 1.31"),
        (["run", "--data", "absent.txt"], "absent.txt"),
    ],
)
def test_a_mistake_is_one_message_and_exit_code_2(words, message, run, capsys, monkeypatch):
    monkeypatch.chdir(run.parent)
    with pytest.raises(SystemExit) as exit_:
        main(["inspect", *words])
    assert exit_.value.code == 2
    assert message in capsys.readouterr().err


def test_the_first_stories_of_an_inspection_are_a_fair_sample_of_all(run, monkeypatch):
    given: list[list[int]] = []

    def inspector(inspected: Any, stories: list[np.ndarray], text: str | None) -> None:
        given.append([int(story[0]) for story in stories])
        raise UserError("enough")

    def stories(indices: Sequence[int]) -> tuple[list[np.ndarray], None]:
        return [np.array([index]) for index in indices], None

    corpus = SimpleNamespace(split=lambda name: SimpleNamespace(n_stories=1000, stories=stories))
    monkeypatch.setattr(RunFolder, "corpus", lambda run: corpus)
    monkeypatch.setattr(session, "Inspector", inspector)
    monkeypatch.setattr(session, "STORIES", 200)
    for _ in range(2):
        with pytest.raises(UserError, match="enough"):
            inspect_run(run)
    assert given[0] == given[1]  # the same again
    assert sorted(given[0]) == [2 + 5 * i for i in range(200)]
    assert 20 < sum(index < 500 for index in given[0][:64]) < 44
