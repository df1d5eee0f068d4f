"""The files of a foreign model: an index against its files, values that are not numbers, settings of config.json."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoConfig,
    GPTNeoForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from talewright import api
from talewright.cli import main
from talewright.errors import UserError
from talewright.evaluate.likelihood import score_stories
from talewright.export import TARGETS
from talewright.export.importers import import_model, read_model
from talewright.generate.engine import Engine
from talewright.generate.sampling import Sampling
from talewright.model.gpt import GPT
from talewright.run.checkpoint import not_finite
from tests.model.shapes import lively_model

FIXTURES = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
WHOLE, INDEX = "model.safetensors", "model.safetensors.index.json"
TOKENS = torch.randint(0, 300, (2, 9), generator=torch.Generator().manual_seed(0))
Damage = Callable[[Path], object]


def gpt2_model(seed: int = 0) -> GPT2LMHeadModel:
    torch.manual_seed(seed)
    config = GPT2Config(vocab_size=300, n_positions=32, n_embd=16, n_layer=2, n_head=2, initializer_range=0.3)
    return GPT2LMHeadModel(config).eval()


@pytest.fixture(autouse=True)
def without_transformers(monkeypatch):
    """What is wrong must be found without the proof."""
    monkeypatch.setattr("talewright.export.importers.find_spec", lambda name: None)


@pytest.fixture
def gpt2(tokenizer, tmp_path) -> Path:
    gpt2_model().save_pretrained(tmp_path / "gpt2")
    tokenizer.save(tmp_path / "gpt2")
    return tmp_path / "gpt2"


@pytest.fixture
def sharded(tokenizer, tmp_path) -> Path:
    gpt2_model().save_pretrained(tmp_path / "sharded", max_shard_size="8KB")
    tokenizer.save(tmp_path / "sharded")
    assert not (tmp_path / "sharded" / WHOLE).exists()
    return tmp_path / "sharded"


def logits_here(folder: Path) -> Tensor:
    _, imported = read_model(folder)
    ours = GPT(imported.config).eval()
    ours.load_state_dict(imported.tensors)
    return ours(TOKENS)


def logits_there(folder: Path) -> Tensor:
    return AutoModelForCausalLM.from_pretrained(folder).eval()(TOKENS).logits


def close(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)


# --- files and their index ----------------------------------------------------------------------------------------


def test_whole_weights_come_before_a_stale_index_as_in_transformers(sharded):
    newer = gpt2_model(seed=1)
    save_file({n: t.contiguous() for n, t in newer.state_dict().items() if n != "lm_head.weight"}, sharded / WHOLE)
    close(logits_here(sharded), newer(TOKENS).logits)
    close(logits_here(sharded), logits_there(sharded))
    for part in sharded.glob("model-*"):
        part.unlink()
    close(logits_here(sharded), newer(TOKENS).logits)


def first_part(folder: Path) -> Path:
    return min(folder.glob("model-*.safetensors"))


def change_index(change: Callable[[dict[str, Any]], object]) -> Damage:
    def damage(folder: Path) -> None:
        index = json.loads((folder / INDEX).read_text())
        change(index["weight_map"])
        (folder / INDEX).write_text(json.dumps(index))

    return damage


def add_to_last_part(folder: Path) -> None:
    name, path = "transformer.wte.weight", max(folder.glob("model-*.safetensors"))
    save_file({**load_file(path), name: torch.zeros(300, 16)}, path)


def point(path: Path) -> None:
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n")


def adapter_only(folder: Path) -> None:
    (folder / "config.json").unlink()
    (folder / "adapter_config.json").write_text("{}")


def add_tensor(name: str) -> Damage:
    def damage(folder: Path) -> None:
        path = first_part(folder)
        save_file({**load_file(path), name: torch.zeros(4, 4)}, path)

    return damage


FILES: dict[str, tuple[Damage, str]] = {
    "missing file": (lambda f: first_part(f).unlink(), r"names model-00001-of-\d+\.safetensors, which is missing"),
    "elsewhere": (
        change_index(lambda names: names.update({"transformer.wpe.weight": names["transformer.ln_f.bias"]})),
        r"lists transformer\.wpe\.weight in model-\d+-of-\d+\.safetensors, which does not contain it",
    ),
    "nowhere": (
        change_index(lambda names: names.update({"transformer.h.9.ln_1.bias": names["transformer.ln_f.bias"]})),
        r"lists transformer\.h\.9\.ln_1\.bias in",
    ),
    "outside": (change_index(lambda names: names.update({"a": "../a.safetensors"})), r'names "\.\./a\.safetensors"'),
    "no name": (change_index(lambda names: names.update({"a": 3})), "names 3 for a, which is not a file name"),
    "twice": (add_to_last_part, r"contains transformer\.wte\.weight, which is also in another file"),
    "empty index": (lambda f: (f / INDEX).write_text('{"weight_map": {}}'), 'has no "weight_map"'),
    "pointer": (lambda f: point(first_part(f)), r"is a Git LFS pointer, not the file itself: run `git lfs pull`"),
    "pointed index": (lambda f: point(f / INDEX), r"index\.json is a Git LFS pointer"),
    "pointed config": (lambda f: point(f / "config.json"), r"config\.json is a Git LFS pointer"),
    "cut": (lambda f: first_part(f).write_bytes(first_part(f).read_bytes()[:-9]), "cannot be read as safetensors"),
    "empty": (lambda f: first_part(f).write_bytes(b""), "cannot be read as safetensors"),
    "another name": (
        lambda f: ((f / INDEX).unlink(), first_part(f).rename(f / "weights.safetensors")),
        r"has no model\.safetensors, but model-.*the weights of a model are read from model\.safetensors alone",
    ),
    "adapter": (adapter_only, r"is an adapter of another model \(it has adapter_config\.json\): merge it"),
    "unmerged": (
        add_tensor("base_model.model.transformer.h.0.attn.c_attn.lora_A.default.weight"),
        r"has the tensor base_model\.model\.transformer\.h\.0\.attn\.c_attn\.lora_A.* not merged: merge it",
    ),
    "two names": (add_tensor("transformer._orig_mod.wte.weight"), r"two tensors for transformer\.wte\.weight"),
}


@pytest.mark.parametrize("name", FILES)
def test_files_that_do_not_agree_are_refused(name, sharded, tmp_path):
    damage, error = FILES[name]
    damage(sharded)
    with pytest.raises(UserError, match=error):
        import_model(str(sharded), tmp_path / "run")
    assert not (tmp_path / "run").exists()


# --- values that are not numbers ----------------------------------------------------------------------------------


@given(
    which=st.integers(0, 1000),
    value=st.sampled_from([float("nan"), float("inf"), -float("inf")]),
    place=st.integers(0, 10**6),
    dtype=st.sampled_from([torch.float32, torch.bfloat16, torch.float16]),
)
@settings(max_examples=25, suppress_health_check=FIXTURES)
def test_a_tensor_that_is_not_all_numbers_is_refused_by_its_name(which, value, place, dtype, gpt2, tmp_path_factory):
    folder = tmp_path_factory.mktemp("copy")
    shutil.copytree(gpt2, folder, dirs_exist_ok=True)
    tensors = {name: tensor.to(dtype) for name, tensor in load_file(folder / WHOLE).items()}
    name = sorted(tensors)[which % len(tensors)]
    tensors[name].view(-1)[place % tensors[name].numel()] = value
    save_file(tensors, folder / WHOLE)
    with pytest.raises(UserError, match=rf"contain NaN or infinite values: {name.replace('.', chr(92) + '.')}"):
        import_model(str(folder), folder / "run")


def test_a_number_beyond_float32_is_refused(gpt2, tmp_path):
    tensors = {name: tensor.double() for name, tensor in load_file(gpt2 / WHOLE).items()}
    tensors["transformer.ln_f.bias"][0] = 1e300
    save_file(tensors, gpt2 / WHOLE)
    with pytest.raises(UserError, match=r"NaN or infinite values: transformer\.ln_f\.bias"):
        import_model(str(gpt2), tmp_path / "run")


def test_weights_whose_logits_overflow_are_refused(gpt2, tmp_path):
    tensors = load_file(gpt2 / WHOLE)
    tensors["transformer.ln_f.weight"].fill_(3e38)
    save_file(tensors, gpt2 / WHOLE)
    with pytest.raises(UserError, match="are NaN or infinite"):
        import_model(str(gpt2), tmp_path / "run")


def test_a_bin_of_llama2c_that_is_not_all_numbers_is_refused(make_source, tmp_path):
    llama = {"norm": "rmsnorm", "positions": "rotary", "activation": "swiglu", "bias": ()}
    (tmp_path / "out").mkdir()
    TARGETS["llama2c"].write(make_source(**llama), tmp_path / "out", "f32")
    path = tmp_path / "out" / "model.bin"
    data = bytearray(path.read_bytes())
    data[400:404] = b"\x00\x00\xc0\x7f"  # NaN
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"model\.bin contain NaN or infinite values: token_embd\.weight"):
        import_model(str(path), tmp_path / "run")


def poison(run: Path, value: float) -> None:
    """Damage the weights of a run, as a training that diverged would have saved them: the manifest fits."""
    from talewright.files import sha256_file

    path = next(run.glob("checkpoints/step-*/model.safetensors"))
    tensors = load_file(path)
    tensors["norm.weight"].fill_(value)
    save_file(tensors, path)
    manifest = json.loads(path.with_name("manifest.json").read_text())
    manifest[path.name] = {"bytes": path.stat().st_size, "sha256": sha256_file(path)}
    path.with_name("manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize("value", [float("nan"), 3e38])
def test_commands_say_that_a_run_computes_no_numbers(value, gpt2, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    import_model(str(gpt2), Path("run"))
    poison(Path("run"), value)
    commands = [
        ["generate", "run", "--device", "cpu"],
        ["generate", "run", "--device", "cpu", "--json", "--samples", "3", "--greedy"],
        ["generate", "run", "--device", "cpu", "--json", "--repetition-penalty", "1.2", "--min-p", "0.1"],
        ["evaluate", "run", "--device", "cpu", "--data", "bundled:20", "--only", "likelihood"],
    ]
    for command in commands:
        with pytest.raises(SystemExit) as exit_:
            main(command)
        assert exit_.value.code == 2, command
        error = capsys.readouterr().err
        assert "not numbers" in error or "hold NaN or infinity: norm.weight" in error, command
    with pytest.raises(UserError, match=r"not numbers|NaN"):
        api.load("run", device="cpu").evaluate("bundled:20")


SAMPLINGS = st.builds(
    Sampling,
    temperature=st.sampled_from([0.0, 0.8, 2.0]),
    top_k=st.none() | st.integers(1, 400),
    top_p=st.none() | st.floats(0.01, 1),
    min_p=st.none() | st.floats(0, 1),
    repetition_penalty=st.sampled_from([1.0, 1.3]),
    max_new_tokens=st.integers(1, 6),
    seed=st.integers(0, 9),
)


@given(sampling=SAMPLINGS, place=st.integers(0, 299), prompts=st.lists(st.sampled_from(["", "Lily"]), min_size=1))
@settings(max_examples=20, suppress_health_check=FIXTURES)
def test_generation_refuses_logits_that_are_not_numbers(sampling, place, prompts, make_source):
    source = make_source()
    model = lively_model(source.model.config, 0)
    with torch.no_grad():
        model.output_weight[place] = float("nan")  # of one token alone
    engine = Engine(model, source.tokenizer)
    with pytest.raises(UserError, match="logits are not numbers"):
        engine.generate(prompts, sampling)
    with pytest.raises(UserError, match="logits are not numbers"):
        list(engine.stream(prompts[0], sampling))


@given(values=st.lists(st.floats(width=32), min_size=1, max_size=5))
def test_tensors_that_are_not_finite_are_named(values):
    tensor = torch.tensor(values)
    assert not_finite({"a": torch.ones(2), "b": tensor}) == ("" if tensor.isfinite().all() else "b")


# --- settings of config.json --------------------------------------------------------------------------------------

BASES: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "gpt2": (GPT2Config, GPT2LMHeadModel, {"n_positions": 16, "n_embd": 16, "n_layer": 2, "n_head": 2}),
    "gpt_neo": (
        GPTNeoConfig,
        GPTNeoForCausalLM,
        {
            "max_position_embeddings": 16,
            "hidden_size": 16,
            "num_layers": 2,
            "num_heads": 2,
            "attention_types": [[["global", "local"], 1]],
            "window_size": 4,
        },
    ),
    "llama": (
        LlamaConfig,
        LlamaForCausalLM,
        {"max_position_embeddings": 16, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2},
    ),
    "qwen3": (
        Qwen3Config,
        Qwen3ForCausalLM,
        {
            "max_position_embeddings": 16,
            "hidden_size": 16,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 2,
            "head_dim": 8,
        },
    ),
}
ROPE = [
    None,
    {"rope_type": "default", "rope_theta": 50.0},
    {"type": "linear", "factor": 2.0},
    {"rope_type": "dynamic", "factor": 2.0},
    {"rope_type": "default", "rope_theta": 100.0, "partial_rotary_factor": 0.5},
    {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 8},
]
VARIANTS: dict[str, dict[str, list[Any]]] = {
    "gpt2": {
        "activation_function": ["gelu", "gelu_new", "gelu_pytorch_tanh", "gelu_fast", "quick_gelu", "relu", "silu"],
        "layer_norm_epsilon": [1e-5, 1e-2, 0.1],
        "scale_attn_weights": [True, False],
        "scale_attn_by_inverse_layer_idx": [True, False],
        "reorder_and_upcast_attn": [True, False],
        "is_causal": [True, False],
        "embedding_multiplier": [2.0],
        "logits_scaling": [2.0],
        "final_logit_softcapping": [3.0],
        "n_ctx": [8],
        "attn_pdrop": [0.0, 0.5],
    },
    "gpt_neo": {
        "activation_function": ["gelu", "gelu_new", "relu"],
        "attention_layers": [["global", "global"], ["local", "local"], ["global", "local"]],
        "window_size": [1, 3, 256],
        "layer_norm_epsilon": [1e-2],
        "is_causal": [True, False],
    },
    "llama": {
        "hidden_act": ["silu", "gelu", "swish", "relu"],
        "rms_norm_eps": [1e-6, 1e-1],
        "rope_theta": [10.0, 10000.0],
        "rope_scaling": ROPE,
        "rope_parameters": ROPE,
        "partial_rotary_factor": [0.5, 1.0],
        "sliding_window": [2, None],
        "is_causal": [True, False],
        "pretraining_tp": [1, 2],
        "attention_multiplier": [0.5],
        "residual_multiplier": [0.5],
        "attention_bias": [False],
        "head_dim": [8, None],
    },
    "qwen3": {
        "rope_theta": [10.0],
        "rope_scaling": ROPE,
        "use_sliding_window": [True, False],
        "sliding_window": [3, 16],
        "max_window_layers": [0, 1, 2],
        "layer_types": [
            ["full_attention", "full_attention"],
            ["sliding_attention", "full_attention"],
            ["sliding_attention", "sliding_attention"],
            ["chunked_attention", "full_attention"],
        ],
        "is_causal": [True, False],
    },
}


@pytest.fixture(scope="module")
def bases(tokenizer, tmp_path_factory) -> dict[str, Path]:
    """A saved model of each class, with weights far from 0."""
    folders = {}
    for kind, (config, model, shape) in BASES.items():
        torch.manual_seed(0)
        folders[kind] = tmp_path_factory.mktemp(kind)
        model(config(**shape, vocab_size=300, initializer_range=0.4)).save_pretrained(folders[kind])
        tokenizer.save(folders[kind])
    return folders


@pytest.mark.parametrize("kind", BASES)
@given(data=st.data())
@settings(max_examples=12, suppress_health_check=FIXTURES)
def test_a_setting_computes_the_same_as_in_transformers_or_is_refused(kind, data, bases, tmp_path_factory):
    known = VARIANTS[kind]
    keys = data.draw(st.lists(st.sampled_from(sorted(known)), min_size=1, max_size=3, unique=True))
    changed = {key: data.draw(st.sampled_from(known[key])) for key in keys}
    folder = tmp_path_factory.mktemp("changed")
    shutil.copytree(bases[kind], folder, dirs_exist_ok=True)
    values = {**json.loads((folder / "config.json").read_text()), **changed}
    (folder / "config.json").write_text(json.dumps(values))
    refusal = refused(folder)
    if refusal is None:
        close(logits_here(folder), logits_there(folder))
    else:
        assert any(key in refusal for key in changed), (changed, refusal)


def refused(folder: Path) -> str | None:
    try:
        read_model(folder)
    except UserError as error:
        return str(error)
    return None


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "quantized": ({"quantization_config": {"quant_method": "bitsandbytes"}}, "quantization_config is .*not supported"),
    "two classes": ({"model_type": "mistral"}, 'model_type is "mistral"; of GPT2LMHeadModel, it is gpt2'),
    "no class": ({"model_type": None, "architectures": None}, "does not say its class"),
    "another head": (
        {"architectures": ["GPT2ForSequenceClassification"]},
        "of GPT2ForSequenceClassification, which is not supported",
    ),
    "not a number": ({"layer_norm_epsilon": float("nan")}, "layer_norm_epsilon is NaN; use a number"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_config_json_says_is_refused_by_its_key(name, gpt2):
    values, error = REFUSED[name]
    path = gpt2 / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))
    with pytest.raises(UserError, match=error):
        read_model(gpt2)


def test_our_evaluation_of_the_same_model_is_finite(gpt2, tmp_path):
    """The refusals above have to come from the damage."""
    import_model(str(gpt2), tmp_path / "run")
    run = api.load(tmp_path / "run", device="cpu")
    stories, sizes = run.stories("bundled:5")
    assert score_stories(run.model, stories, sizes, run.tokenizer.eos_id).loss > 0
    assert run.generate("Lily", Sampling(max_new_tokens=3)).text.startswith("Lily")


def test_an_imported_run_says_what_it_does_not_know(gpt2, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    import_model(str(gpt2), Path("run"))
    main(["doctor", "verify", "run"])
    assert "unknown, because the run was imported" in capsys.readouterr().out
    with pytest.raises(SystemExit) as exit_:
        main(["evaluate", "run"])
    assert exit_.value.code == 2
    assert "run was imported, and its training stories are unknown; name stories by --data" in capsys.readouterr().err
    main(["evaluate", "run", "--data", "bundled:20", "--samples", "2", "--only", "memorization", "--json"])
    scores = json.loads(capsys.readouterr().out)
    assert "was imported" in scores["tasks"]["memorization"]["unavailable"]
    poison(Path("run"), 1.0)
    next(Path("run").glob("checkpoints/step-*/model.safetensors")).write_bytes(b"other")
    with pytest.raises(SystemExit):
        main(["doctor", "verify", "run"])


def test_an_import_names_its_own_option_for_the_tokenizer(gpt2, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.get_session", lambda: (_ for _ in ()).throw(ConnectionError("no network")))
    with pytest.raises(UserError, match="with --tokenizer FOLDER") as caught:
        import_model(str(gpt2), tmp_path / "run", tokenizer="ada/nothing")
    assert "tokenizer.source" not in str(caught.value)


def test_weights_that_amplify_rounding_are_imported_with_the_proof(gpt2, tmp_path, monkeypatch):
    monkeypatch.undo()  # with transformers
    tensors = {name: tensor + 0.5 for name, tensor in load_file(gpt2 / WHOLE).items()}
    save_file(tensors, gpt2 / WHOLE)
    assert "verified" in import_model(str(gpt2), tmp_path / "run")["proof"]
