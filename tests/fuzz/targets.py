"""Every reader as a function of bytes, which must either read them or raise UserError.

A folder that is read (a corpus, a checkpoint, a run) is made once; the bytes replace one of its files.
"""

from __future__ import annotations

import contextlib
import io
import json
import shutil
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any
from unittest import mock

from talewright.config import DataConfig, ModelConfig, TokenizerConfig, load_recipe, recipe_to_yaml
from talewright.data import Batches, Corpus, prepare
from talewright.data.preparation.clean import clean
from talewright.data.sources import text as source_text
from talewright.data.sources.formats import read_records
from talewright.data.sources.recognize import recognize
from talewright.errors import UserError
from talewright.tokenizer import Tokenizer, make_tokenizer
from tests.data.cases import BPE, VOCAB, as_bytes, tales, write_txt
from tests.fuzz.model_targets import MODEL_TARGETS
from tests.fuzz.target import Target, place, replaced
from tests.fuzz.text_targets import PACK, TEXT_TARGETS

KINDS = ("txt", "jsonl", "json", "csv", "parquet")
ENDINGS = [kind + packing for some in (("", ".gz", ".zst"), (".bz2", ".xz")) for kind in KINDS for packing in some]


# --- stories, recipes, words of the command line -------------------------------------------------------------------


def read_stories(data: bytes) -> None:
    """The first byte says the format."""
    ending = ENDINGS[data[0] % len(ENDINGS)] if data else "txt"
    with mock.patch.object(source_text, "LONGEST_STORY", 1 << 16), mock.patch.object(source_text, "CHUNK_BYTES", 64):
        name, open_file = f"a.{ending}", lambda: io.BytesIO(data[1:])
        for record in read_records(name, open_file, recognize(name, open_file, DataConfig()).form):
            text = clean(record)[0]
            assert clean(text) == (text, False)
            text.encode("utf-8")


def _stories() -> list[bytes]:
    found = []
    for number, ending in enumerate(ENDINGS):
        kind, _, packing = ending.partition(".")
        found.append(bytes([number]) + PACK[packing](as_bytes(kind, tales(3))))
    return [*found, b"\0It was Tom\xc3\xa2\xe2\x82\xac\xe2\x84\xa2s ball."]


def read_recipe(data: bytes) -> None:
    path = place() / "fuzzed.yaml"
    path.write_bytes(data)
    recipe = load_recipe(path)
    assert list(recipe.problems()) == []
    path.write_text(recipe_to_yaml(recipe), encoding="utf-8")
    assert load_recipe(path) == recipe


def read_words(data: bytes) -> None:
    """A command line, its words separated by NUL, up to where the work would start."""
    run_words([word.decode("utf-8", "surrogateescape") for word in data.split(b"\0")])


WORK = (
    "talewright.train.session.start_run",
    "talewright.train.session.resume_run",
    "talewright.api.load",
    "talewright.data.prepare",
    "talewright.evaluate.evaluator.evaluate_runs",
    "talewright.evaluate.multiple_choice.harness.write_task",
    "talewright.inspect.session.inspect_run",
    "talewright.inspect.session.inspect_circuits",
    "talewright.inspect.influence.query.find_influence",
    "talewright.cli.tables.print_recipes",
    "talewright.machine.peak.known_peaks",
    "talewright.machine.facts.machine_facts",
    "talewright.train.benchmark.bench_training",
    "talewright.generate.benchmark.bench_generation",
)
"""Where the commands' work starts."""


def run_words(words: list[str]) -> tuple[int, str]:
    """Run a command line whose work is not done. Returns its exit code and what it printed on standard error."""
    from talewright import cli

    def not_done(*_: Any, **__: Any) -> None:
        raise UserError("the work starts")

    printed, code = io.StringIO(), 0
    with contextlib.ExitStack() as stack:
        for function in WORK:
            stack.enter_context(mock.patch(function, not_done))
        stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
        stack.enter_context(contextlib.redirect_stderr(printed))
        try:
            cli.main(words)
        except SystemExit as stopped:
            code = stopped.code if isinstance(stopped.code, int) else 0
    assert code in (0, 2), code
    assert code == 0 or printed.getvalue().strip()
    assert "Traceback" not in printed.getvalue()
    return code, printed.getvalue()


# --- tokenizers ----------------------------------------------------------------------------------------------------


def read_tokenizer(data: bytes) -> None:
    path = place() / "tokenizer.json"
    path.write_bytes(data)
    tokenizer = Tokenizer.load(place())
    assert tokenizer.decode(tokenizer.encode("Once upon a time, é😀")) == "Once upon a time, é😀"
    tokenizer.merges()


def _tokenizer() -> list[bytes]:
    return [make_tokenizer(BPE, 257 + more, lambda: tales(5))._json.encode() for more in (0, 20)]


def read_gpt2(data: bytes) -> None:
    """vocab.json and merges.txt, a NUL between them."""
    folder = place() / "gpt2"
    folder.mkdir(exist_ok=True)
    vocab, _, merges = data.partition(b"\0")
    (folder / "vocab.json").write_bytes(vocab)
    (folder / "merges.txt").write_bytes(merges)
    made = make_tokenizer(TokenizerConfig(kind="gpt2", source=str(folder)), 50257, lambda: ())
    assert made.decode(made.encode("Once é")) == "Once é"


def _gpt2() -> list[bytes]:
    make_tokenizer(BPE, 280, lambda: tales(5)).save(place() / "saved")
    vocab, merges = ((place() / "saved" / name).read_bytes() for name in ("vocab.json", "merges.txt"))
    return [vocab + b"\0" + merges]


# --- folders -------------------------------------------------------------------------------------------------------


def in_corpus(name: str) -> Target:
    def read(data: bytes) -> None:
        with replaced(_corpus() / name, data):
            corpus = Corpus.open(_corpus())
            for split in map(corpus.split, corpus.splits):
                split.story(split.n_stories - 1)
                with contextlib.suppress(UserError):
                    Batches(split, context_length=8, layout="packed", stride=None, seed=0).samples(0, 2)
            assert len(corpus.fingerprint) == 64
            corpus.verify()

    return Target(read, lambda: [(_corpus() / name).read_bytes()])


def read_progress(data: bytes) -> None:
    """The progress file of an interrupted preparation."""
    target = place() / "made"
    partial = target.with_name("made.partial")
    shutil.rmtree(target, ignore_errors=True)
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(_interrupted(), partial)
    (partial / "progress.json").write_bytes(data)
    corpus = prepare(_config(), BPE, VOCAB, target, progress=False)
    corpus.verify()


def in_checkpoint(name: str) -> Target:
    """With a manifest that matches the bytes, as an attacker would write it."""

    def read(data: bytes) -> None:
        from talewright.run.checkpoint import check, load_training

        folder = _checkpoint()
        with replaced(folder / name, data), replaced(folder / "manifest.json", _manifest_of(folder)):
            assert check(folder) is None
            state = load_training(folder, *_learner())
            assert state.step >= 0

    return Target(read, lambda: [(_checkpoint() / name).read_bytes()])


def read_checkpoint_manifest(data: bytes) -> None:
    from talewright.run.checkpoint import check

    with replaced(_checkpoint() / "manifest.json", data):
        if fault := check(_checkpoint()):
            raise UserError(fault)


def read_log(data: bytes) -> None:
    from talewright.inspect.curves import curve_panels
    from talewright.run.history import read_history

    run = place() / "run"
    run.mkdir(exist_ok=True)
    (run / "log.jsonl").write_bytes(data)
    history = read_history(run)
    if history.steps:
        assert curve_panels([history])


# --- fixtures --------------------------------------------------------------------------------------------


@cache
def _config() -> DataConfig:
    return DataConfig(source=str(write_txt(place() / "stories.txt", tales(40))))


@cache
def _corpus() -> Path:
    return prepare(_config(), BPE, VOCAB, place() / "corpus", progress=False).folder


@cache
def _interrupted() -> Path:
    """A preparation that was stopped when its stories were read."""
    from talewright.data.preparation import builder

    folder = place() / "stopped"

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    with mock.patch.object(builder, "make_tokenizer", stop), contextlib.suppress(KeyboardInterrupt):
        prepare(_config(), BPE, VOCAB, folder, progress=False)
    return folder.with_name("stopped.partial")


@cache
def _checkpoint() -> Path:
    from talewright.run.checkpoint import TrainState, save_checkpoint

    model, optimizer = _learner()
    (place() / "trained").mkdir(exist_ok=True)
    return save_checkpoint(place() / "trained", model, optimizer, TrainState(step=3, best_loss=2.0, best_step=3))


def _learner() -> tuple[Any, Any]:
    """A small model and its optimizer after a step."""
    import torch

    from talewright.config import OptimizerConfig
    from talewright.model.gpt import GPT
    from talewright.train.optimizer import make_optimizer

    torch.manual_seed(0)
    model = GPT(ModelConfig(n_layers=1, n_heads=2, d_model=4, d_ff=4, vocab_size=8, context_length=4))
    optimizer = make_optimizer(model, OptimizerConfig(), 1e-3)
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    return model, optimizer


def _manifest_of(folder: Path) -> bytes:
    files = ("model.safetensors", "optimizer.safetensors", "state.json")
    found = {name: (folder / name).read_bytes() for name in files}
    entries = {name: {"bytes": len(data), "sha256": sha256(data).hexdigest()} for name, data in found.items()}
    return json.dumps(entries).encode()


TARGETS: dict[str, Target] = {
    **TEXT_TARGETS,
    **MODEL_TARGETS,
    "stories": Target(read_stories, _stories),
    "recipe": Target(read_recipe, lambda: [recipe_to_yaml(load_recipe("mini-2m")).encode(), b"train: {max_steps: 3}"]),
    "words": Target(read_words, lambda: [b"train\0--recipe\0mini-2m\0--model.n-layers\0006\0--data.splits=[90, 10]"]),
    "tokenizer": Target(read_tokenizer, _tokenizer),
    "gpt2": Target(read_gpt2, _gpt2),
    "manifest": in_corpus("manifest.json"),
    "index": in_corpus("train-starts.npy"),
    "shard": in_corpus("valid-00000.bin"),
    "weights": in_checkpoint("model.safetensors"),
    "moments": in_checkpoint("optimizer.safetensors"),
    "state": in_checkpoint("state.json"),
    "checkpoint": Target(read_checkpoint_manifest, lambda: [_manifest_of(_checkpoint())]),
    "log": Target(
        read_log,
        lambda: [b'{"event": "step", "step": 1, "loss": 2.5}\n{"event": "evaluation", "step": 1}\n'],
    ),
    "progress": Target(read_progress, lambda: [(_interrupted() / "progress.json").read_bytes()]),
}
