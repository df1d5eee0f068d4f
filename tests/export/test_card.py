"""The model card, the generation settings, the tokenizer, and the upload."""

from __future__ import annotations

import dataclasses
import json
import math
import re
import shlex
from html import escape
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from huggingface_hub import ModelCard, ModelCardData, SpaceCard
from huggingface_hub.utils import validate_repo_id
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer, GenerationConfig

from talewright.config import ModelConfig, load_recipe
from talewright.errors import UserError
from talewright.export import TARGETS, check_license, export_model
from talewright.export.card import METRICS, front_matter, write_card
from tests.export.sources import source_of
from tests.train.conftest import write_stories

RECORD = {"target": "hf", "dtype": "f32", "proof": "largest logit difference 1e-06"}


@pytest.fixture
def trained(make_source, tmp_path):
    """A source whose run folder has a log, and whose data is a private file."""
    source = make_source()
    (source.run / "plots").mkdir(parents=True)
    (source.run / "plots" / "training_curves.png").write_bytes(b"curve")
    start = {"data": {"stories": 1234, "tokens": 9, "bytes": 5_600_000}, "evaluated": {"stories": 43, "of": 5000}}
    events: list[dict[str, Any]] = [{"event": "run", **start}]
    events += [{"event": "step", "step": step, "tokens": 100 * step, "seconds": 60.0 * step} for step in (1, 2)]
    figures = {"perplexity": 9.5, "bits_per_byte": 1.25, "token_accuracy": 0.421}
    events += [{"event": "evaluation", "step": step, "loss": 3.0 - step, **figures} for step in (1, 2)]
    (source.run / "log.jsonl").write_text("\n".join(map(json.dumps, events)) + "\n")
    stories = write_stories(tmp_path / "private" / "mine.txt", 3) if (tmp_path / "private").mkdir() is None else None
    data = dataclasses.replace(source.recipe.data, source=str(stories))
    return dataclasses.replace(source, recipe=dataclasses.replace(source.recipe, data=data))


def test_the_card_has_what_the_run_logged_and_no_path_of_this_machine(trained, tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    write_card(folder, trained, RECORD, TARGETS["hf"], "ada/tales")
    card = (folder / "README.md").read_text()
    front = yaml.safe_load(card.split("---")[1])
    assert front["pipeline_tag"] == "text-generation"
    assert front["library_name"] == "transformers"
    assert "No license is stated" in card
    assert not {"license", "language", "datasets"} & front.keys()
    assert "a byte-level BPE trained on the training stories" in card
    assert "openai-community/gpt2" not in card
    assert (folder / "training_curves.png").read_bytes() == b"curve"
    expected = ["1,234 stories for training", "`mine.txt`", "5.6 MB", "1 steps, 100 tokens, 1.0 minutes"]
    expected += [
        "| 2.000 | 9.50 | 1.250 | 42.1% |",
        "Scores on 43 of 5,000 validation stories, evenly spread, at step 1:",
    ]
    expected += [
        "talewright evaluate run --checkpoint 1",
        'pipeline("text-generation", model="ada/tales")',
        "## Limits",
    ]
    expected += ["largest logit difference 1e-06", "![Training curves](training_curves.png)", "> Once upon a time"]
    for text in expected:
        assert text in card, text
    assert str(tmp_path) not in card
    recipe = yaml.safe_load(card.split("```yaml")[1].split("```")[0])
    assert recipe["model"]["d_model"] == 16


@pytest.mark.parametrize(
    ("evaluated", "number", "said"),
    [
        ({"stories": 5000, "of": 5000}, None, "Scores on all 5,000 validation stories, at"),
        ({"stories": 1, "of": 1}, 20, "Scores on the only validation story, at"),
        (None, 500, "Scores on the first 500 validation stories, at"),
        (None, None, "Scores on the validation stories, at"),
    ],
)
def test_the_card_says_which_stories_were_scored_also_of_an_earlier_version(trained, tmp_path, evaluated, number, said):
    log = trained.run / "log.jsonl"
    start, *events = log.read_text().splitlines()
    values = {key: value for key, value in json.loads(start).items() if key != "evaluated"}
    start = json.dumps(values | ({"evaluated": evaluated} if evaluated else {}))
    log.write_text("\n".join([start, *events]) + "\n")
    train = dataclasses.replace(trained.recipe.train, evaluate_stories=number)
    source = dataclasses.replace(trained, recipe=dataclasses.replace(trained.recipe, train=train))
    write_card(tmp_path, source, RECORD, TARGETS["hf"], "ada/tales")
    assert said in (tmp_path / "README.md").read_text()


@pytest.mark.parametrize("to", ["hf", "hf-remote"])
def test_the_tokenizer_puts_an_end_of_text_first_as_in_training(to, make_source, tmp_path, tokenizer):
    source = make_source(context_length=24)
    TARGETS[to].write(source, tmp_path, "f32")
    tok = AutoTokenizer.from_pretrained(tmp_path, trust_remote_code=True)
    text = 'Lily said: "Hello  you!"\n\u00e9\u4f60'
    assert tok(text)["input_ids"] == [tokenizer.eos_id, *tokenizer.encode(text)]
    assert tok.decode(tok(text)["input_ids"], skip_special_tokens=True) == text
    assert tok.is_fast
    assert set(tok(text)) == {"input_ids", "attention_mask"}
    settings = json.loads((tmp_path / "tokenizer_config.json").read_text())  # transformers 4 needs this for the same
    assert settings["model_input_names"] == ["input_ids", "attention_mask"]
    assert settings["add_bos_token"]  # by which transformers.js and converters to GGUF begin so too
    tok.save_pretrained(tmp_path / "again")
    assert AutoTokenizer.from_pretrained(tmp_path / "again")(text)["input_ids"] == tok(text)["input_ids"]
    assert (tok.eos_token_id, tok.bos_token_id) == (tokenizer.eos_id,) * 2
    assert tok.pad_token == "<|pad|>"
    assert (tok.model_max_length, tok.padding_side) == (24, "left")
    generation = GenerationConfig.from_pretrained(tmp_path)
    assert (generation.max_length, generation.do_sample, generation.eos_token_id) == (24, True, tokenizer.eos_id)


class FakeHub:
    """Stands in for huggingface_hub.HfApi and records the calls."""

    def __init__(self, known: bool = True) -> None:
        self.known, self.uploaded, self.kinds = known, {}, set()

    def whoami(self) -> None:
        if not self.known:
            raise ValueError("Token is required")

    def create_repo(self, repo: str, exist_ok: bool, repo_type: str, space_sdk: str | None) -> Any:
        assert exist_ok
        assert (space_sdk is None) == (repo_type == "model")
        return SimpleNamespace(repo_id=repo)

    def upload_folder(self, folder_path: Path, repo_id: str, repo_type: str, commit_message: str) -> None:
        self.kinds.add(repo_type)
        self.uploaded[repo_id] = sorted(path.name for path in Path(folder_path).iterdir())


@pytest.fixture
def reachable(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_token")
    monkeypatch.setattr("huggingface_hub.get_session", lambda: SimpleNamespace(head=lambda *args, **options: None))


def test_a_finished_folder_is_pushed(make_source, tmp_path, monkeypatch, reachable, no_parity_check):
    hub = FakeHub()
    monkeypatch.setattr("huggingface_hub.HfApi", lambda: hub)
    export_model(make_source(), "hf", tmp_path / "out", push="ada/tales")
    assert hub.uploaded == {"ada/tales": sorted(path.name for path in (tmp_path / "out").iterdir())}
    assert {"README.md", "model.safetensors", "tokenizer.json"} <= set(hub.uploaded["ada/tales"])
    assert 'model="ada/tales"' in (tmp_path / "out" / "README.md").read_text()


def test_an_unknown_user_of_the_hub_is_reported_before_anything_is_written(
    make_source, tmp_path, monkeypatch, reachable
):
    monkeypatch.setattr("huggingface_hub.HfApi", lambda: FakeHub(known=False))
    with pytest.raises(UserError, match="Run `hf auth login`"):
        export_model(make_source(), "hf", tmp_path / "out", push="ada/tales")
    with pytest.raises(UserError, match="is not a repository name"):
        export_model(make_source(), "hf", tmp_path / "out", push="ada/my tales")
    assert not (tmp_path / "out").exists()


def test_a_missing_token_of_the_hub_is_reported_without_asking_the_hub(make_source, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    monkeypatch.setattr("huggingface_hub.get_session", lambda: pytest.fail("the hub was asked"))
    with pytest.raises(UserError, match=r"not logged in to the hub\. Run `hf auth login`"):
        export_model(make_source(), "hf", tmp_path / "out", push="ada/tales")


@pytest.mark.parametrize(
    ("source", "step", "expected"),
    [
        ("bundled", 5, {"license": "apache-2.0", "language": "en"}),
        (
            "hub:roneneldan/TinyStories",
            5,
            {"language": "en", "datasets": ["roneneldan/TinyStories"]},
        ),
        ("hub:ada/tales", 5, {"datasets": ["ada/tales"]}),
        ("hub:ada/tales/data/*.txt", 5, {"datasets": ["ada/tales"]}),
        ("hub:ada/tales:small", 5, {"datasets": ["ada/tales"]}),
        (
            "hub:roneneldan/TinyStories/TinyStories-train.txt",
            5,
            {"language": "en", "datasets": ["roneneldan/TinyStories"]},
        ),
        ("stories.txt", 5, {}),
        ("bundled", 0, {}),  # imported: nobody knows what it was trained on
    ],
)
def test_the_card_says_of_the_data_what_is_known(source, step, expected, make_source, tmp_path):
    made = make_source()
    data = dataclasses.replace(made.recipe.data, source=source)
    made = dataclasses.replace(made, recipe=dataclasses.replace(made.recipe, data=data), checkpoint=f"step-{step}")
    write_card(tmp_path, made, RECORD, TARGETS["llama2c"], "ada/tales")
    front = yaml.safe_load((tmp_path / "README.md").read_text().split("---")[1])
    assert {name: front[name] for name in ("license", "language", "datasets") if name in front} == expected
    assert "library_name" not in front


def test_a_given_license_is_that_of_the_card(make_source, tmp_path):
    made = dataclasses.replace(make_source(), license=check_license("CC-BY-4.0"))
    write_card(tmp_path, made, RECORD, TARGETS["hf"], "ada/tales")
    card = (tmp_path / "README.md").read_text()
    assert yaml.safe_load(card.split("---")[1])["license"] == "cc-by-4.0"
    assert "No license is stated" not in card
    with pytest.raises(UserError, match=r"^--license my own is not the hub's name of a license, such as apache-2\.0"):
        check_license("my own")


NAMES = st.text(st.characters(categories=["L", "N", "P", "S", "Zs"], exclude_characters="/\\"), min_size=1)
LOCAL = ("bundled", "bundled:300", "stories.txt", "/home/ada/my: stories/*.jsonl", "data/")
ON_THE_HUB = st.builds(
    "hub:{}/{}{}".format,
    st.from_regex(r"[A-Za-z0-9][A-Za-z0-9-]{0,10}[a-z]", fullmatch=True),
    st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_]{0,10}[.-]?[a-z]", fullmatch=True),
    st.sampled_from(["", "/*.txt", "/data/**/train-*.parquet", ":small", ":small/x.txt", "/a b[0-9].txt"]),
)
SOURCES = st.sampled_from(LOCAL) | ON_THE_HUB
FIGURES = st.floats() | st.none() | st.just(1.5)


@given(
    name=NAMES.filter(lambda name: bool(name.strip()) and name.isprintable()),
    sources=st.tuples(SOURCES, SOURCES | st.none()),
    figures=st.fixed_dictionaries(dict.fromkeys(("loss", "perplexity", "bits_per_byte", "token_accuracy"), FIGURES)),
    begun=st.sampled_from([None, "imported", "gone"]),
    given=st.sampled_from([None, "cc-by-4.0"]),
    to=st.sampled_from(["hf", "onnx", "gguf", "llama2c", "web", "space"]),
)
@settings(max_examples=40, deadline=None)
def test_the_front_matter_is_valid_by_the_hubs_own_classes(name, sources, figures, begun, given, to, tokenizer):
    with TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        run.mkdir()
        (run / "log.jsonl").write_text(json.dumps({"event": "evaluation", "step": 5, **figures}) + "\n")
        (run.parent / "imported").mkdir()
        (run.parent / "imported" / "talewright.json").write_text('{"source": "ada/base", "hub": "ada/base"}')
        recipe = load_recipe("quickstart")
        data = dataclasses.replace(recipe.data, source=sources[0], valid=sources[1])
        train = dataclasses.replace(recipe.train, init_from=begun and str(run.parent / begun))
        recipe = dataclasses.replace(recipe, name=name, data=data, train=train)
        source: Any = SimpleNamespace(recipe=recipe, run=run, step=5, license=given)
        front = front_matter(source, TARGETS[to])
    text = f"---\n{yaml.safe_dump(front, sort_keys=False, allow_unicode=True)}---\n\n# {name}\n"
    known = "apache-2.0" if sources[0].startswith("bundled") and begun is None else None
    if to in ("web", "space"):
        space = SpaceCard(text).data.to_dict()
        assert (space["title"], space.get("license")) == (f"Stories by {name}", given or known)
        assert space["sdk"] == {"web": "static", "space": "gradio"}[to]
        assert len(space["short_description"]) <= 60  # the hub refuses more
        return
    card = ModelCard(text).data
    assert yaml.safe_load(card.to_yaml()) == front  # what it reads is what stands there
    assert isinstance(card, ModelCardData)
    for repository in card.datasets or []:
        validate_repo_id(repository)
        assert repository.count("/") == 1
        assert sources[0].startswith(f"hub:{repository}")
    assert (card.datasets is not None) == (sources[0].startswith("hub:") and begun is None)
    assert card.base_model == ("ada/base" if begun == "imported" else None)
    assert card.license == (given or known)
    assert card.language in (None, "en")
    finite = {key for key, value in figures.items() if value is not None and math.isfinite(value)}
    assert {result.metric_type for result in card.eval_results or []} == {METRICS[key] for key in finite}
    json.dumps(front, allow_nan=False)  # the hub stores it as JSON


@pytest.mark.parametrize("name", ["my tales", 'a"b', "it's", "$HOME", "back`tick", "ü"])
def test_a_folder_of_any_name_stands_in_the_snippets_as_code_and_shells_read_it(name, make_source, tmp_path):
    for to, pattern in (("hf", 'model=(".*")'), ("onnx", 'n", (".*"), '), ("gguf", 'Llama\\((".*"), n_ctx')):
        found = re.search(pattern, TARGETS[to].usage(f"./{name}", ModelConfig()))
        assert found is not None
        assert json.loads(found[1]).removesuffix("/model.gguf") == f"./{name}"
    command = TARGETS["llama2c"].usage(f"./{name}", ModelConfig()).split("```sh\n")[1].split("\n")[0]
    assert shlex.split(command)[1] == f"./{name}/model.bin"


@pytest.mark.parametrize(
    ("kind", "words"),
    [("gpt2", "GPT-2's BPE (`openai-community/gpt2`)"), ("gpt2-top", "most frequent"), ("saved", "the tokenizer of `")],
)
def test_the_card_names_the_source_of_a_tokenizer_that_has_one(kind, words, make_source, tmp_path):
    made = make_source()
    recipe = dataclasses.replace(made.recipe, tokenizer=dataclasses.replace(made.recipe.tokenizer, kind=kind))
    write_card(tmp_path, dataclasses.replace(made, recipe=recipe), RECORD, TARGETS["hf"], "ada/tales")
    card = (tmp_path / "README.md").read_text()
    assert words in card
    assert "source: openai-community/gpt2" in card


def test_a_card_says_which_exports_a_shape_of_our_own_gives_up(tokenizer, tmp_path):
    own = ModelConfig(n_layers=1, n_heads=2, d_model=8, d_ff=8, vocab_size=300, short_convolution=True)
    source = source_of(own, tokenizer)
    write_card(tmp_path, source, RECORD, TARGETS["onnx"], "ada/tales")
    card = (tmp_path / "README.md").read_text()
    assert "exports it fits `hf-remote`, `onnx`, `web` and `space` alone" in card
    assert "transformers.js cannot open this model" in card
    code = card.split("```python\n")[1].split("\n")[0]
    assert json.loads(code.split("InferenceSession(")[1].split(");")[0]) == "ada/tales/onnx/model.onnx"
    (tmp_path / "config.json").write_text('{"model_type": "talewright"}')
    assert TARGETS["onnx"].commands(tmp_path).keys() == {"onnxruntime"}


HOSTILE = ["<script>alert(1)</script>", "a | b", "`` $x$ `", "_a*b_ [c](d)", "![x](y)", "{x} %s \\"]


@pytest.mark.parametrize("text", HOSTILE)
def test_names_and_stories_are_no_markup_of_the_card(text, make_source, tmp_path, monkeypatch):
    markdown_it = pytest.importorskip("markdown_it", reason="no reader of Markdown here")
    made = make_source()
    recipe = dataclasses.replace(made.recipe, name=text, data=dataclasses.replace(made.recipe.data, source=text))
    source = dataclasses.replace(made, recipe=recipe, run=made.run.with_name(text.replace("/", "")))
    monkeypatch.setattr("talewright.export.card.stories_of", lambda source, prompts: [text])
    write_card(tmp_path, source, RECORD, TARGETS["hf"], "ada/tales")
    card = (tmp_path / "README.md").read_text().split("\n---\n", 1)[1]
    html = markdown_it.MarkdownIt("commonmark", {"html": True}).enable("table").render(card)
    assert "<script" not in html
    assert "<img" not in html
    assert "<em" not in html
    assert f"<h1>{escape(text)}</h1>" in html
    assert f"<blockquote>\n<p>{escape(text)}</p>\n</blockquote>" in html
    assert f"<p>Data: <code>{escape(text)}</code>" in html
    assert f"load({escape(json.dumps(source.run.name))})" in html


@pytest.mark.parametrize("to", sorted(TARGETS))
def test_the_card_of_a_repository_names_no_file_that_is_not_here_yet(to):
    usage = TARGETS[to].usage("ada/tales", ModelConfig())
    reads_files = to in ("gguf", "llama2c", "web", "space")
    assert ("hf download ada/tales" in usage) == reads_files
    assert ("--repo-type space" in usage) == (to in ("web", "space"))
    after = usage.split("\n\n", 1)[1] if reads_files else usage
    assert ("ada/tales" in after, "./tales" in after) == (not reads_files, reads_files)
    assert "hf download" not in TARGETS[to].usage("./tales", ModelConfig())


@given(about=st.text(st.sampled_from("ab1. `*_~<>&;#[]()!\\|$-=+\n")))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_a_recipe_says_about_itself_stands_in_the_card_as_it_is(tokenizer, monkeypatch, about):
    from markdown_it import MarkdownIt

    with TemporaryDirectory() as folder:
        made = source_of(ModelConfig(n_layers=1, n_heads=2, d_model=8, d_ff=8, vocab_size=300), tokenizer)
        made = dataclasses.replace(made, recipe=dataclasses.replace(made.recipe, about=about))
        with monkeypatch.context() as patched:
            patched.setattr("talewright.export.card._samples", lambda source: "")  # generating takes most of the time
            write_card(Path(folder), made, RECORD, TARGETS["hf"], "./tales")
        card = (Path(folder) / "README.md").read_text().split("---\n", 2)[2]
    tokens = MarkdownIt().parse(card)
    texts = ["".join(child.content or " " for child in token.children or []) for token in tokens]
    said = f": {' '.join(about.split())}" if about.split() else ""
    assert any(text.startswith(f"A small GPT that generates stories{said}. It was trained") for text in texts)
    assert [yaml.safe_load(token.content)["about"] for token in tokens if token.info == "yaml"] == [about]
