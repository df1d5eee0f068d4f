"""The model card, the generation settings, the tokenizer, and the upload."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from transformers import AutoTokenizer, GenerationConfig

from talewright.errors import UserError
from talewright.export import TARGETS, export_model
from talewright.export.card import write_card
from tests.train.conftest import write_stories

RECORD = {"target": "hf", "dtype": "f32", "proof": "largest logit difference 1e-06"}


@pytest.fixture
def trained(make_source, tmp_path):
    """A source whose run folder has a log, and whose data is a private file."""
    source = make_source()
    (source.run / "plots").mkdir(parents=True)
    (source.run / "plots" / "training_curves.png").write_bytes(b"curve")
    events: list[dict[str, Any]] = [{"event": "run", "data": {"stories": 1234, "tokens": 9, "bytes": 5_600_000}}]
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
    assert (front["license"], front["library_name"]) == ("unknown", "transformers")
    assert "No license is stated" in card
    assert not {"language", "datasets"} & front.keys()
    assert "a byte-level BPE trained on the training stories" in card
    assert "openai-community/gpt2" not in card
    assert (folder / "training_curves.png").read_bytes() == b"curve"
    expected = ["1,234 stories for training", "`mine.txt`", "5.6 MB", "1 steps, 100 tokens, 1.0 minutes"]
    expected += ["| 2.000 | 9.50 | 1.250 | 42.1% |"]
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
            {"license": "unknown", "language": "en", "datasets": ["roneneldan/TinyStories"]},
        ),
        ("hub:ada/tales", 5, {"license": "unknown", "datasets": ["ada/tales"]}),
        ("bundled", 0, {"license": "unknown"}),  # imported: nobody knows what it was trained on
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
