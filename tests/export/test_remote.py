"""Our own model as custom code of transformers: every way in which it is called there, against our own model."""

from __future__ import annotations

import ast
import dataclasses
import sys
from pathlib import Path
from typing import Any, cast

import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, AutoTokenizer, Trainer, TrainingArguments, pipeline

from talewright.export import TARGETS
from talewright.export.parity import reader_logits
from talewright.export.remote import one_file
from talewright.generate.engine import Engine
from talewright.generate.sampling import Sampling
from talewright.inspect import record
from tests.model.shapes import SEEDS, lively_model, model_configs, token_batch

FIXTURES = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


@pytest.fixture(autouse=True)
def own_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """transformers copies the code of a model into a folder of its own: here one for each test."""
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.setattr(sys, "path", list(sys.path))


@pytest.fixture
def pretrained(make_source, tmp_path):
    """Makes ours and theirs of the same weights."""

    def make(**given_settings: Any):
        source = make_source(**given_settings)
        folder = tmp_path / "remote"
        folder.mkdir(exist_ok=True)
        TARGETS["hf-remote"].write(source, folder, "f32")
        return source, AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=True, dtype=torch.float32)

    return make


def theirs_of(source, folder: Path) -> Any:
    folder.mkdir(exist_ok=True)
    TARGETS["hf-remote"].write(source, folder, "f32")
    return AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=True, dtype=torch.float32)


def close(a: torch.Tensor, b: torch.Tensor) -> None:
    torch.testing.assert_close(a, b, atol=2e-4, rtol=1e-4)


@settings(max_examples=25, suppress_health_check=FIXTURES)
@given(config=model_configs(), seed=SEEDS, data=st.data())
def test_logits_are_ours_whole_padded_and_in_two_parts(config, seed, data, make_source, tmp_path):
    ours = lively_model(config, seed)
    theirs = theirs_of(dataclasses.replace(make_source(), model=ours), tmp_path / "remote")
    tokens = token_batch(config, seed)
    T, padding = tokens.shape[1], data.draw(st.integers(0, 5))
    expected = ours(tokens)
    close(theirs(tokens).logits, expected)
    mask = torch.ones(2, padding + T, dtype=torch.long)
    mask[0, :padding] = 0  # the second row is as long as the padded first: its tokens begin earlier
    rows = torch.cat((token_batch(config, seed + 1, T=padding) if padding else tokens[:, :0], tokens), 1)
    rows = rows[:, : padding + T]
    if padding + T <= config.context_length:
        close(theirs(rows, attention_mask=mask).logits[0, padding:], expected[0])
        close(theirs(rows, attention_mask=mask).logits[1], ours(rows)[1])
        cut = data.draw(st.integers(1, padding + T - 1)) if padding + T > 1 else None
        if cut:
            first = theirs(rows[:, :cut], attention_mask=mask[:, :cut], use_cache=True)
            second = theirs(rows[:, cut:], attention_mask=mask, past_key_values=first.past_key_values)
            close(torch.cat((first.logits, second.logits), 1)[0, padding:], expected[0])
            close(torch.cat((first.logits, second.logits), 1)[1], ours(rows)[1])


SHAPES = {
    "post-LN, sinusoids": {"norm_placement": "post", "positions": "sinusoidal", "embedding_scaled": True},
    "local": {"attention": ("global", "local"), "window": 5, "attention_scaled": False, "tied": False},
    "rotary": {"norm": "rmsnorm", "positions": "rotary", "qk_norm": True, "n_kv_heads": 1, "activation": "swiglu"},
}
shapes = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)


@shapes
def test_a_left_padded_batch_generates_what_our_engine_generates(shape, pretrained, tokenizer, tmp_path):
    source, theirs = pretrained(**shape, context_length=48)
    prompts = ["Lily", "One day a small dog found a ball"]
    tok = AutoTokenizer.from_pretrained(tmp_path / "remote", trust_remote_code=True)
    batch = tok(prompts, return_tensors="pt", padding=True)
    assert (batch["attention_mask"] == 0).any()
    generated = theirs.generate(**batch, do_sample=False, max_new_tokens=12)
    expected = Engine(source.model, tokenizer).generate(prompts, Sampling(temperature=0, max_new_tokens=12))
    for ids, story in zip(generated.tolist(), expected, strict=True):
        ids = [token for token in ids if token != tok.pad_token_id]
        assert tokenizer.decode(ids).rstrip("\ufffd") == story.text.rstrip("\ufffd")  # half a letter
    without = theirs.generate(**batch, do_sample=False, max_new_tokens=12, use_cache=False)
    assert torch.equal(generated, without)


def test_beams_and_sampling_are_those_of_transformers_own_class(make_source, tmp_path):
    source = make_source(attention=("global", "local"), window=7, attention_scaled=False, bias=("out", "mlp"))
    remote = theirs_of(source, tmp_path / "remote")
    (tmp_path / "hf").mkdir()
    TARGETS["hf"].write(source, tmp_path / "hf", "f32")
    own: Any = AutoModelForCausalLM.from_pretrained(tmp_path / "hf")
    assert type(own).__name__ == "GPTNeoForCausalLM"
    tok = AutoTokenizer.from_pretrained(tmp_path / "hf")
    batch = tok(["Lily", "The dog ran"], return_tensors="pt", padding=True)
    for options in ({"num_beams": 4, "do_sample": False}, {"num_beams": 3, "do_sample": True}, {"do_sample": True}):
        generated = []
        for model in (remote, own):
            torch.manual_seed(5)
            generated.append(model.generate(**batch, max_length=20, **options))
        assert torch.equal(*generated), options


@shapes
def test_labels_give_the_mean_loss_and_its_gradient(shape, pretrained):
    source, theirs = pretrained(**shape)
    tokens = token_batch(source.model.config, 1)
    labels = tokens.clone()
    labels[0, 5:9] = -100
    output = theirs(tokens, labels=labels)
    expected = F.cross_entropy(source.model(tokens)[:, :-1].flatten(0, 1), labels[:, 1:].flatten())
    torch.testing.assert_close(output.loss, expected)
    output.loss.backward()
    expected.backward()
    close(theirs.gpt.embedding.weight.grad, source.model.embedding.weight.grad)


def test_past_the_context_it_says_so(pretrained):
    _, theirs = pretrained(context_length=24)
    tokens = torch.zeros(1, 25, dtype=torch.long)
    with pytest.raises(ValueError, match="25 tokens is beyond this model's context of 24"):
        theirs(tokens)
    assert theirs(tokens[:, :24]).logits.shape == (1, 24, 300)
    with pytest.raises(ValueError, match="ask for fewer new tokens"):
        theirs.generate(tokens[:, :20] + 7, max_new_tokens=10, do_sample=False, eos_token_id=None)
    generated = theirs.generate(tokens[:, :20] + 7, do_sample=False, eos_token_id=None)  # generation_config: to the end
    assert generated.shape == (1, 24)


def test_padding_does_not_use_up_the_context(pretrained):
    source, theirs = pretrained(context_length=24)
    tokens = token_batch(source.model.config, 3, rows=1)
    padded = torch.cat((torch.zeros(1, 6, dtype=torch.long), tokens), 1)
    mask = torch.tensor([[0] * 6 + [1] * 24])
    close(theirs(padded, attention_mask=mask).logits[0, 6:], source.model(tokens)[0])


@pytest.mark.parametrize("tied", [True, False])
def test_what_is_saved_is_read_again_elsewhere(tied, pretrained, tmp_path):
    source, theirs = pretrained(tied=tied)
    theirs.save_pretrained(tmp_path / "again")
    tokens = token_batch(source.model.config, 2)
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "again", trust_remote_code=True)
    close(again(tokens).logits, source.model(tokens))
    if tied:  # once more in a fresh process, without talewright
        found = reader_logits("hf_remote", tmp_path / "again", tokens.tolist())
        close(torch.from_numpy(found[1]), source.model(tokens)[1].detach())
    assert theirs.config.tie_word_embeddings is tied
    head = theirs.get_output_embeddings()
    assert head is None if tied else not torch.equal(head.weight, theirs.get_input_embeddings().weight)


@shapes
def test_hidden_states_and_attention_weights_are_ours(shape, pretrained):
    source, theirs = pretrained(**shape)
    tokens = token_batch(source.model.config, 2, T=20)
    output = theirs(tokens, output_hidden_states=True, output_attentions=True)
    names = [f"blocks.{i}.attn.pattern" for i in range(source.model.config.n_layers)]
    ours = record(source.model, tokens, names)
    for name, weights in zip(names, output.attentions, strict=True):
        close(weights, ours[name])
    assert len(output.hidden_states) == source.model.config.n_layers + 1
    close(output.hidden_states[-1], source.model.hidden(tokens))
    with pytest.raises(ValueError, match="of a whole text alone"):
        theirs(tokens[:, :1], past_key_values=output.past_key_values, output_attentions=True)


def test_a_pipeline_generates(pretrained, tmp_path):
    pretrained(norm_placement="post", context_length=64)
    generator = pipeline("text-generation", model=str(tmp_path / "remote"), trust_remote_code=True)
    torch.manual_seed(1)
    stories = generator(["Once upon a time", "Tom"], batch_size=2, max_new_tokens=8)
    assert [story[0]["generated_text"].startswith(p) for story, p in zip(stories, ("Once", "Tom"), strict=True)]


def test_a_few_steps_of_the_trainer_learn(pretrained, tmp_path):
    source, theirs = pretrained(norm_placement="post", positions="sinusoidal", dropout=0.1)
    rows = [{"input_ids": row, "labels": row} for row in token_batch(source.model.config, 4, rows=8).tolist()]
    arguments = TrainingArguments(
        str(tmp_path / "trained"),
        max_steps=12,
        learning_rate=1e-2,
        per_device_train_batch_size=4,
        gradient_accumulation_steps=2,
        save_steps=12,
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
    )
    before = theirs(torch.tensor([row["input_ids"] for row in rows])).logits
    trainer = Trainer(theirs, arguments, train_dataset=cast(Any, rows))
    result = trainer.train()
    tokens = torch.tensor([row["input_ids"] for row in rows])
    theirs.eval()
    first = F.cross_entropy(before[:, :-1].flatten(0, 1), tokens[:, 1:].flatten())
    assert theirs(tokens, labels=tokens).loss < first - 0.3
    assert result.global_step == 12
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "trained" / "checkpoint-12", trust_remote_code=True)
    torch.testing.assert_close(again(tokens).logits, theirs(tokens).logits)


def test_the_file_stands_alone_and_holds_the_models_own_sources():
    tree = ast.parse(one_file())
    roots = {(node.module or "").split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert "talewright" not in roots
    assert {"__future__", "transformers", "torch"} <= roots
    house = Path(sys.modules["talewright"].__file__ or "").parent
    for name in ("gpt", "kv_cache", "masks", "norm"):
        own = ast.parse((house / "model" / f"{name}.py").read_text())
        classes = {node.name: ast.dump(node) for node in own.body if isinstance(node, ast.ClassDef)}
        there = {node.name: ast.dump(node) for node in tree.body if isinstance(node, ast.ClassDef)}
        assert classes.items() <= there.items()
