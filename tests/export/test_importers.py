"""An import gives a run folder that works, or one message that says what is wrong, and writes nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import tokenizers
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from tokenizers import AddedToken, decoders, normalizers
from tokenizers.models import BPE
from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from talewright import api
from talewright.cli import main
from talewright.errors import UserError
from talewright.export.importers import import_model
from talewright.export.importers.tokenizer import read_tokenizer
from talewright.generate.sampling import Sampling
from talewright.tokenizer import Tokenizer
from talewright.train.session import recipe_from_run
from tests.model.shapes import lively_model
from tests.test_cli import losses
from tests.train.conftest import write_stories


@pytest.fixture
def gpt2(tokenizer: Tokenizer, tmp_path: Path) -> Path:
    """A small GPT-2 as transformers saves it."""
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=300, n_positions=32, n_embd=16, n_layer=2, n_head=2)
    GPT2LMHeadModel(config).save_pretrained(tmp_path / "gpt2")
    tokenizer.save(tmp_path / "gpt2")
    return tmp_path / "gpt2"


def output_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    main([str(argument) for argument in arguments])
    return capsys.readouterr().out


def test_an_imported_model_is_a_run_like_any_other(gpt2, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    stories = write_stories(tmp_path / "stories.txt", 60)
    assert output_of(capsys, "import", "gpt2", "run").strip() == "run"
    assert "generate" in dir(api.load("run"))
    story = json.loads(output_of(capsys, "generate", "run", "--prompt", "Lily", "--max-new-tokens", "5", "--json"))
    assert story[0]["text"].startswith("Lily")
    score = json.loads(output_of(capsys, "evaluate", "run", "--data", str(stories), "--json"))
    options = ["--data", stories, "--out", "further", "--max-steps", "40", "--train.learning-rate", "1e-2"]
    output_of(capsys, "train", "--init-from", "run", *options, "--train.evaluate-every", "20")
    assert api.load("further").recipe.train.init_from == str(tmp_path / "run")  # an absolute path
    further = json.loads(output_of(capsys, "evaluate", "further", "--data", str(stories), "--json"))
    assert further["untrained"]["loss"] == pytest.approx(score["loss"], rel=1e-4)  # of the imported weights
    assert further["loss"] < score["loss"] - 0.3
    assert Path(output_of(capsys, "inspect", "further", "--only", "curves").strip()).is_file()
    for run, checkpoint in (("run", "best"), ("further", "last")):
        output_of(capsys, "export", run, "--to", "hf", f"{run}-hf", "--checkpoint", checkpoint)
    before, after = load_file("gpt2/model.safetensors"), load_file("run-hf/model.safetensors")
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert not torch.equal(
        load_file("further-hf/model.safetensors")["transformer.wpe.weight"], after["transformer.wpe.weight"]
    )


def test_a_run_that_was_initialized_from_another_resumes_after_both_were_moved(
    gpt2, tmp_path, monkeypatch, capsys, no_parity_check
):
    monkeypatch.chdir(tmp_path)
    stories = write_stories(tmp_path / "stories.txt", 60)
    output_of(capsys, "import", "gpt2", "run")
    options = ["--data", stories, "--schedule.kind", "constant", "--train.checkpoint-every", "3"]
    output_of(capsys, "train", "--init-from", "run", *options, "--max-steps", "6", "--out", "whole")
    output_of(capsys, "train", "--init-from", "run", *options, "--max-steps", "3", "--out", "part")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "part").rename(tmp_path / "elsewhere" / "part")
    (tmp_path / "run").rename(tmp_path / "gone")  # it has its own copy of the weights
    output_of(capsys, "train", "--resume", "elsewhere/part", "--train.max-steps", "6")
    assert losses(Path("elsewhere/part")) == losses(Path("whole"))
    assert len(losses(Path("whole"))) == 6


def test_the_recipe_may_differ_but_the_model_and_tokenizer_are_those_of_the_run(
    gpt2, tmp_path, monkeypatch, no_parity_check
):
    monkeypatch.chdir(tmp_path)
    import_model("gpt2", Path("run"))
    recipe = recipe_from_run("run", "mini-2m", {"model.dropout": "0.2", "train.max_steps": "7"})
    assert (recipe.name, recipe.train.max_steps, recipe.schedule.warmup_steps) == ("mini-2m", 7, 500)
    assert (recipe.model.d_model, recipe.model.dropout, recipe.model.vocab_size) == (16, 0.2, 300)
    assert recipe.tokenizer.kind == "saved"
    with pytest.raises(UserError, match="nowhere is not a run folder"):
        recipe_from_run("nowhere", None, {})


def test_an_import_is_replaced_only_with_overwrite(gpt2, tmp_path, no_parity_check):
    import_model(str(gpt2), tmp_path / "run")
    with pytest.raises(UserError, match="--overwrite replaces an earlier export or import"):
        import_model(str(gpt2), tmp_path / "run")
    import_model(str(gpt2), tmp_path / "run", overwrite=True)
    assert api.load(tmp_path / "run").model.config.d_model == 16


# --- errors -------------------------------------------------------------------------------------------------------


def change_tensors(change: Callable[[dict[str, torch.Tensor]], object]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        tensors = load_file(folder / "model.safetensors")
        change(tensors)
        save_file(tensors, folder / "model.safetensors")

    return damage


def set_config(**values: Any) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        path = folder / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **values}))

    return damage


def save_pickled(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def as_gguf(folder: Path) -> None:
    (folder / "config.json").unlink()
    (folder / "model.safetensors").rename(folder / "model.gguf")


def as_onnx(folder: Path) -> None:
    (folder / "onnx").mkdir()
    (folder / "model.safetensors").rename(folder / "onnx" / "model.onnx")


def cut_weights(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def add_token(folder: Path) -> None:
    path = folder / "tokenizer.json"
    values = json.loads(path.read_text())
    values["model"]["vocab"]["much"] = 300
    path.write_text(json.dumps(values))


def remove_tokenizer(folder: Path) -> None:
    for name in ("tokenizer.json", "vocab.json", "merges.txt"):
        (folder / name).unlink()


WEIGHT = "transformer.h.1.attn.c_proj.weight"
WRONG: dict[str, tuple[Callable[[Path], object], str]] = {
    "no config": (lambda folder: (folder / "config.json").unlink(), "is not a model: it has no config.json"),
    "a run": (lambda folder: (folder / "config.json").rename(folder / "recipe.yaml"), "is a run already"),
    "gguf": (as_gguf, "has no config.json, only a GGUF file: import takes the model as transformers saves it"),
    "onnx": (as_onnx, "has no weights, only a graph for ONNX: import takes the model as transformers saves it"),
    "torn config": (lambda folder: (folder / "config.json").write_text('{"n_'), "config.json cannot be read as JSON"),
    "a list": (lambda folder: (folder / "config.json").write_text("[]"), "its JSON is not an object"),
    "unknown": (
        set_config(architectures=["MambaForCausalLM"], model_type="mamba"),
        "of MambaForCausalLM, which is not supported",
    ),
    "no size": (set_config(n_embd=None), "config.json has no n_embd"),
    "a billion layers": (set_config(n_layer=10**9), "n_layer is 1000000000; use an integer from 1 to 16,777,216"),
    "a million layers": (set_config(n_layer=10**6), "n_layer is 1000000; use an integer from 1 to 4,096"),
    "more layers than tensors": (set_config(n_layer=4000), "describes 4,000 layers, but"),
    "a width of 400 digits": (set_config(n_embd=10**400), "n_embd is 1000"),
    "a number of 400 digits": (set_config(layer_norm_epsilon=10**400), "use a number"),
    "no number": (set_config(n_layer="two"), 'n_layer is "two"; use an integer from 1 to 16,777,216'),
    "activation": (set_config(activation_function="relu"), 'activation_function is "relu"; use gelu_new or gelu'),
    "not ours": (
        set_config(scale_attn_by_inverse_layer_idx=True),
        "scale_attn_by_inverse_layer_idx is true; our model supports only false",
    ),
    "heads": (set_config(n_head=3), "n_heads is 3, which does not divide model.d_model 16"),
    "missing": (change_tensors(lambda tensors: tensors.pop(WEIGHT)), f"missing: {WEIGHT}"),
    "extra": (change_tensors(lambda t: t.update(more=torch.ones(1))), "unknown: more"),
    "shape": (set_config(n_positions=64), "transformer.wpe.weight is (32, 16), config.json says (64, 16)"),
    "kind": (
        change_tensors(lambda t: t.update({WEIGHT: torch.ones(16, 16).int()})),
        f"not floats: {WEIGHT} is torch.int32",
    ),
    "no weights": (lambda folder: (folder / "model.safetensors").unlink(), "has no model.safetensors"),
    "pickled": (save_pickled, "pytorch_model.bin: this file is pickled, and reading it can run any code"),
    "half a file": (cut_weights, "model.safetensors cannot be read as safetensors"),
    "tokenizer": (add_token, "has 301 ids, but the model's vocabulary has 300"),
    "no tokenizer": (remove_tokenizer, "has no tokenizer, neither tokenizer.json nor vocab.json with merges.txt"),
}


def test_a_gguf_file_is_refused_with_the_format_that_is_read(tmp_path):
    path = tmp_path / "model.gguf"
    path.write_bytes(b"GGUF")
    with pytest.raises(UserError, match=r"model\.gguf is not read: import takes the model as transformers saves it"):
        import_model(str(path), tmp_path / "run")


@pytest.mark.parametrize("name", WRONG)
def test_an_error_is_reported_and_nothing_is_written(name, gpt2, tmp_path, capsys):
    damage, error = WRONG[name]
    damage(gpt2)
    before = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(SystemExit) as exit_:
        main(["import", str(gpt2), str(tmp_path / "run")])
    assert exit_.value.code == 2
    printed = capsys.readouterr()
    assert error in printed.err
    assert printed.out == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_a_source_that_does_not_exist_is_reported(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UserError, match="there is no folder"):
        import_model(str(tmp_path / "nowhere"), tmp_path / "run")
    (tmp_path / "model.pt").write_bytes(b"\x80\x02}q")
    with pytest.raises(UserError, match="this file is pickled"):
        import_model(str(tmp_path / "model.pt"), tmp_path / "run")
    monkeypatch.setattr("huggingface_hub.get_session", lambda: (_ for _ in ()).throw(ConnectionError("no network")))
    with pytest.raises(
        UserError, match=r"is not a local folder, and cannot be downloaded from https://huggingface\.co \(no network"
    ):
        import_model("ada/no-such-model", tmp_path / "run")


def test_a_downloaded_model_of_the_hub_is_found_again_and_a_pickled_one_is_refused(
    gpt2, tmp_path, monkeypatch, no_parity_check
):
    def download(name: str, local_files_only: bool = False, **options: Any) -> str:
        if name == "ada/pickled" and local_files_only:
            raise FileNotFoundError(name)
        return str(gpt2)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    assert import_model("ada/tales", tmp_path / "run")["class"] == "GPT2LMHeadModel"
    assert api.load(tmp_path / "run").recipe.name == "tales"
    (gpt2 / "model.safetensors").unlink()
    monkeypatch.setattr("huggingface_hub.get_session", lambda: SimpleNamespace(head=lambda *args, **options: None))
    with pytest.raises(UserError, match=r"has no safetensors on the hub, and its pytorch_model\.bin is not downloaded"):
        import_model("ada/pickled", tmp_path / "again")


def test_a_gpt2_without_a_tokenizer_takes_the_named_one(gpt2, tmp_path, tokenizer, no_parity_check):
    remove_tokenizer(gpt2)
    tokenizer.save(tmp_path / "named")
    import_model(str(gpt2), tmp_path / "run", tokenizer=str(tmp_path / "named"))
    assert api.load(tmp_path / "run").tokenizer.fingerprint == tokenizer.fingerprint


def test_an_end_of_text_with_another_name_keeps_its_id(tokenizer, tmp_path):
    tokenizer.save(tmp_path)
    path = tmp_path / "tokenizer.json"
    path.write_text(path.read_text().replace("<|endoftext|>", "</s>"))
    (tmp_path / "tokenizer_config.json").write_text('{"eos_token": {"content": "</s>"}}')
    imported = read_tokenizer(tmp_path, None, 300)
    assert imported.eos_id == tokenizer.eos_id
    assert imported.encode("Lily saw </s> a dog") == tokenizer.encode("Lily saw </s> a dog")


@pytest.fixture
def llama_tokenizer(tmp_path: Path) -> Path:
    """A tokenizer.json of Llama's kind: SentencePiece's spelling, a space before each text, byte fallback."""
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *"\u2581abcdehilnorstuy", "he"]
    pieces += ["\u2581t", "\u2581the", "\u2581a", "nd"]
    merges = [("h", "e"), ("\u2581", "t"), ("\u2581t", "he"), ("\u2581", "a"), ("n", "d")]
    vocab = {piece: number for number, piece in enumerate(pieces)}
    backend = tokenizers.Tokenizer(BPE(vocab, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    backend.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    steps = [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    backend.decoder = decoders.Sequence(steps)
    backend.add_special_tokens([AddedToken(piece, special=True, normalized=False) for piece in pieces[:3]])
    folder = tmp_path / "llama"
    folder.mkdir()
    backend.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text('{"bos_token": "<s>", "eos_token": "</s>"}')
    return folder


@given(text=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\u2581")))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_tokenizer_of_llamas_kind_gives_its_ids_and_is_lossless(text, llama_tokenizer):
    ours = read_tokenizer(llama_tokenizer, None, 1000)
    theirs = tokenizers.Tokenizer.from_file(str(llama_tokenizer / "tokenizer.json"))
    theirs.encode_special_tokens = True
    assert ours.encode(text) == theirs.encode(text, add_special_tokens=False).ids
    assert ours.decode(ours.encode(text)) == text
    assert (ours.begin_id, ours.eos_id, ours.ends) == (1, 2, (2, 1))


def test_a_llama_with_such_a_tokenizer_is_imported_and_exported(llama_tokenizer, tmp_path):
    size = read_tokenizer(llama_tokenizer, None, 1000).vocab_size
    torch.manual_seed(0)
    shape: dict[str, Any] = {
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
    }
    LlamaForCausalLM(LlamaConfig(**shape, vocab_size=size, max_position_embeddings=32)).save_pretrained(llama_tokenizer)
    import_model(str(llama_tokenizer), tmp_path / "run")
    run = api.load(tmp_path / "run")
    assert run.generate("the cat and", Sampling(max_new_tokens=3)).text.startswith("the cat and")
    run.export(tmp_path / "out")
    ids = AutoTokenizer.from_pretrained(tmp_path / "out")("the cat \u00e9")["input_ids"]
    assert ids == [1, *run.tokenizer.encode("the cat \u00e9")]


def test_a_tokenizer_that_splits_text_in_another_way_stays_unchanged(tokenizer, tmp_path):
    tokenizer.save(tmp_path)
    path = tmp_path / "tokenizer.json"
    values = json.loads(path.read_text())
    split = {"type": "Split", "pattern": {"String": "e"}, "behavior": "Isolated", "invert": False}
    values["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [split, values["pre_tokenizer"]]}
    path.write_text(json.dumps(values))
    imported = read_tokenizer(tmp_path, None, 300)
    assert imported.fingerprint != tokenizer.fingerprint
    assert imported.encode("the end") != tokenizer.encode("the end")
    assert imported.decode(imported.encode("the end")) == "the end"


def test_weights_in_several_files_and_in_half_precision_are_read(gpt2, tmp_path, no_parity_check):
    tensors = {name: tensor.bfloat16() for name, tensor in load_file(gpt2 / "model.safetensors").items()}
    names = sorted(tensors)
    (gpt2 / "model.safetensors").unlink()
    for number, part in enumerate((names[:9], names[9:])):
        save_file({name: tensors[name] for name in part}, gpt2 / f"part-{number}.safetensors")
    index = {"weight_map": {name: f"part-{int(name in names[9:])}.safetensors" for name in names}}
    (gpt2 / "model.safetensors.index.json").write_text(json.dumps(index))
    import_model(str(gpt2), tmp_path / "run")
    theirs = tensors["transformer.wte.weight"].float()
    assert torch.equal(api.load(tmp_path / "run").model.embedding.weight.cpu(), theirs)
    (gpt2 / "part-1.safetensors").unlink()
    with pytest.raises(UserError, match=r"names part-1\.safetensors, which is missing"):
        import_model(str(gpt2), tmp_path / "again")


def test_random_models_have_varied_logits(make_source):
    """The comparisons above need them: almost constant logits would hide a wrong tensor."""
    model = lively_model(make_source().model.config, 0)
    assert model(torch.zeros(1, 3, dtype=torch.long)).std() > 0.1
