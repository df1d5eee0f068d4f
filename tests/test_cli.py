"""The command line from outside: what it prints, where, and with which exit code."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from talewright.cli import main
from talewright.config import recipe_names
from talewright.run.lock import lock_run
from tests.train.conftest import write_stories

SMALL = """
model: {n_layers: 2, n_heads: 2, d_model: 16, d_ff: 32, vocab_size: 300, context_length: 32, dropout: 0.1}
schedule: {warmup_steps: 3}
train: {learning_rate: 1e-2, micro_batch: 4, max_steps: 8, evaluate_every: 4, checkpoint_every: 4, precision: fp32}
"""


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Each test in its own folder, which holds a recipe and stories, with its own cache."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TALEWRIGHT_CACHE", str(tmp_path / "cache"))
    (tmp_path / "small.yaml").write_text(SMALL)
    write_stories(tmp_path / "stories.txt", 120)
    return tmp_path


TRAIN = ["train", "--recipe", "small.yaml", "--data", "stories.txt", "--out", "run"]


def losses(run: Path) -> list[float]:
    events = map(json.loads, (run / "log.jsonl").read_text().splitlines())
    return [event["loss"] for event in events if event["event"] == "step"]


def test_the_whole_path(capsys):
    main(TRAIN)
    assert capsys.readouterr().out.strip() == "run"
    assert Path("run/plots/training_curves.png").stat().st_size > 10_000
    main(["evaluate", "run", "--json"])
    score = json.loads(capsys.readouterr().out)
    keys = {"loss", "perplexity", "bits_per_byte", "token_accuracy", "tokens", "bytes"}
    assert keys <= score.keys()
    assert keys <= score["untrained"].keys()
    assert score["loss"] < score["untrained"]["loss"] - 0.3
    main(["evaluate", "run", "--data", "stories.txt", "--json"])
    assert json.loads(capsys.readouterr().out)["stories"] == 120
    main(["generate", "run", "--prompt", "Lily had", "--samples", "2", "--max-new-tokens", "20", "--json"])
    stories = json.loads(capsys.readouterr().out)
    assert [set(story) for story in stories] == [{"prompt", "text", "new_tokens", "finished"}] * 2
    assert all(story["text"].startswith("Lily had") for story in stories)
    assert stories[0]["text"] != stories[1]["text"]
    main(["generate", "run", "--prompt", "Lily had", "--max-new-tokens", "20"])
    assert capsys.readouterr().out.strip() == stories[0]["text"].strip()
    main(["data", "tokenizer", "show", "run", "--data", "stories.txt"])
    assert "300 tokens" in capsys.readouterr().out


def test_prompts_of_unequal_length_make_one_batch(capsys):
    main(TRAIN)
    Path("prompts.txt").write_text("Tom\n\nAnna found the red kite and was\n")
    capsys.readouterr()
    main(["generate", "run", "--prompts", "prompts.txt", "--greedy", "--max-new-tokens", "12", "--json"])
    batch = json.loads(capsys.readouterr().out)
    for story in batch:
        main(["generate", "run", "--prompt", story["prompt"], "--greedy", "--max-new-tokens", "12", "--json"])
        assert json.loads(capsys.readouterr().out) == [story]


def test_recipes_are_listed_with_what_they_cost(capsys):
    main(["recipes", "--json"])
    assert {entry["name"] for entry in json.loads(capsys.readouterr().out)} == set(recipe_names())
    main(["recipes", "neo-41m", "--model.vocab-size", "50257", "--json"])
    parameters = json.loads(capsys.readouterr().out)["parameters"]
    sizes = {"embeddings": 38990592, "bigrams": 0, "blocks": 28342272, "output": 38598912}
    assert parameters == {"total": 105931776, **sizes}
    main(["recipes"])
    shown = capsys.readouterr().out
    assert "mini-2m" in shown
    assert "1.85M" in shown


def test_what_recipes_prints_is_a_recipe(capsys):
    main(["recipes", "mini-2m", "--model.n-layers", "6"])
    Path("mine.yaml").write_text(capsys.readouterr().out)
    main(["recipes", "mine.yaml", "--json"])
    assert json.loads(capsys.readouterr().out)["recipe"]["model"]["n_layers"] == 6


def test_a_budget_on_the_command_line_replaces_the_recipes_own(capsys):
    main(["recipes", "quickstart", "--train.max-steps=30", "--json"])
    train = json.loads(capsys.readouterr().out)["recipe"]["train"]
    assert (train["max_steps"], train["max_minutes"]) == (30, None)


WRONG = [
    (["train", "--recipe", "mini2m"], "no recipe mini2m; did you mean mini-2m?"),
    (["train", "--recipe", "absent.yaml"], "no recipe file absent.yaml"),
    ([*TRAIN, "--model.layer", "3"], "no setting model.layer; did you mean model.n_layers?"),
    ([*TRAIN, "--model.n-heads", "5"], "n_heads is 5, which does not divide model.d_model 16"),
    ([*TRAIN, "--model.dropout", "1.5"], "model.dropout is 1.5; it is a probability"),
    ([*TRAIN, "--model.n-layers"], "--model.n-layers needs a value"),
    ([*TRAIN, "--train.precision", "fp12"], "train.precision is fp12; it is one of auto, fp32, bf16, fp16"),
    ([*TRAIN, "--model.vocab-size", "100"], "model.vocab_size is 100"),
    ([*TRAIN, "--model.context-length", "4000"], "tokens, and one window needs 4,001"),
    (["train", "--recipe", "small.yaml", "--data", "storis.txt"], "storis.txt"),
    (["train", "--recipe", "small.yaml", "--data", "empty.txt"], "empty.txt"),
    (["train", "--recipe", "small.yaml", "--data", "latin.txt"], "UTF-8"),
    (["train", "--recipe", "small.yaml", "--data", "rows.jsonl"], "--text-key"),
    (["train", "--recipe", "small.yaml", "--data", "stories.txt", "--out", "small.yaml"], "small.yaml is a file"),
    (["train", "--resume", "nowhere"], "nowhere is not a run folder"),
    (["evaluate", "nowhere"], "nowhere is not a run folder"),
    (["generate", "."], "is not a run folder"),
    (["generate", "run", "--top-p", "1.5"], "top-p is 1.5"),
    (["generate", "run", "--temperature", "-1"], "temperature"),
    (["generate", "run", "--samples", "0"], "--samples is 0"),
    (["generate", "run", "--prompts", "absent.txt"], "absent.txt"),
    (["doctor", "bench", "train", "--seconds", "0"], "--seconds is 0"),
    (["doctor", "bench", "train", "--seconds", "nan"], "--seconds is nan; it must be above 0, and finite"),
    (["generate", "run", "--samples", "10000000"], "--samples is 10000000; it must be from 1 to 1,000,000"),
    (["generate", "run", "--temperature", "inf"], "--temperature is inf; it must be finite"),
    (["generate", "run", "--greedy", "--top-k", "5"], "--greedy takes the most likely token, which --top-k cannot"),
    (["recipes", "quickstart", "--explain", "--json"], "leave --json out, or --explain"),
    (["plan", "--minutes", "inf"], "--minutes is inf; it must be above 0, and finite"),
    (["plan", "--minutes", "1", "--data", "empty.txt"], "empty.txt is empty"),
    (
        ["evaluate", "judge", "run", "--url", "x", "--model", "x", "--price-in=nan", "--price-out=1"],
        "--price-in is nan",
    ),
    (["evaluate", "run", "--samples", "0"], "--samples is 0"),
    (["evaluate", "run", "--told", "0"], "--samples is 0"),  # the old name
    (["generate", "run", "--model.n-layers", "2"], "Unrecognized options: --model.n-layers"),
]


@pytest.mark.parametrize(("words", "message"), WRONG, ids=[" ".join(words[:1] + words[-2:]) for words, _ in WRONG])
def test_a_mistake_is_one_message_and_exit_code_2(words, message, capsys):
    Path("empty.txt").write_text("")
    Path("latin.txt").write_bytes("Es war einmal ein Mädchen, das hieß Lily.\n".encode("latin-1") * 20)
    Path("rows.jsonl").write_text('{"story": "Once upon a time there was a dog."}\n')
    with pytest.raises(SystemExit) as exit_:
        main(words)
    assert exit_.value.code == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert "Traceback" not in printed.err
    assert printed.out == ""
    assert not Path("run").exists()


def test_all_problems_are_reported_at_once(capsys):
    with pytest.raises(SystemExit):
        main([*TRAIN, "--model.n-heads", "5", "--train.micro-batch", "0", "--model.colour", "red"])
    printed = capsys.readouterr().err
    assert "3 problems" in printed
    assert all(word in printed for word in ("no setting model.colour", "train.micro_batch is 0", "model.n_heads is 5"))
    with pytest.raises(SystemExit):
        main([*TRAIN, "--model.n-heads", "--train.micro-batch"])
    assert "--model.n-heads and --train.micro-batch need a value" in capsys.readouterr().err


def test_an_unknown_option_or_command_exits_with_2(capsys):
    for words in (["train", "--recpie", "x"], ["trian"]):
        with pytest.raises(SystemExit) as exit_:
            main(words)
        assert exit_.value.code == 2


def test_a_run_is_not_overwritten(capsys):
    main(TRAIN)
    before = {path: path.stat().st_mtime_ns for path in Path("run").rglob("*") if path.is_file()}
    with pytest.raises(SystemExit) as exit_:
        main(TRAIN)
    assert exit_.value.code == 2
    assert "run holds a run already; resume" in capsys.readouterr().err
    assert before == {path: path.stat().st_mtime_ns for path in Path("run").rglob("*") if path.is_file()}


def test_a_second_process_in_a_run_folder_is_refused(capsys):
    with lock_run(Path("run")), pytest.raises(SystemExit) as exit_:
        main(TRAIN)
    assert exit_.value.code == 2
    assert f"process {os.getpid()} on" in capsys.readouterr().err
    assert not Path("run/recipe.yaml").exists()


def test_a_longer_budget_on_resume_is_a_new_schedule_with_a_message(capsys):
    main([*TRAIN, "--max-steps", "4"])
    main(["train", "--resume", "run", "--max-steps", "6"])
    printed = capsys.readouterr().err
    assert "New budget: train.max_steps 6 (before: train.max_steps 4). The learning-rate schedule restarts" in printed
    assert len(losses(Path("run"))) == 6
    main(["train", "--resume", "run"])  # nothing left to do
    assert len(losses(Path("run"))) == 6


def test_help_does_not_wait_for_torch():
    code = "import sys; from talewright.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass\n"
    code += "print([m for m in ('torch', 'numpy', 'tokenizers', 'rich') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert "generate" in done.stdout


def start(*words: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "talewright", *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def wait_for_steps(run: Path, count: int) -> None:
    for _ in range(600):
        if (run / "checkpoints" / "last").exists() and len(list((run / "checkpoints").glob("step-*"))) >= count:
            return
        time.sleep(0.1)
    raise AssertionError("the run made no checkpoint in a minute")


LONG = ["--max-steps", "300", "--train.checkpoint-every", "20", "--train.evaluate-every", "150"]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_a_stopped_or_killed_run_resumes_to_the_same_losses(number, code, here):
    process = start(*TRAIN, *LONG)
    wait_for_steps(Path("run"), 2)
    process.send_signal(number)
    _, printed = process.communicate(timeout=60)
    assert process.returncode == code, printed
    if number != signal.SIGKILL:
        assert "talewright train --resume run" in printed
    main(["train", "--resume", "run"])
    main([*TRAIN[:-1], "whole", *LONG])
    assert losses(Path("run")) == losses(Path("whole"))
    assert len(losses(Path("run"))) == 300


@pytest.mark.slow
@pytest.mark.parametrize("more", [[], ["--train.teacher", "teacher"]], ids=["alone", "with a teacher"])
def test_two_processes_learn_what_one_does(here, more):
    words = ["--max-steps", "10", "--model.dropout", "0", "--train.accumulation", "2", *more]
    if more:
        main([*TRAIN[:-1], "teacher"])
    main([*TRAIN[:-1], "one", *words])
    process = start(*TRAIN[:-1], "two", *words, "--train.devices", "2")
    _, printed = process.communicate(timeout=200)
    assert process.returncode == 0, printed
    assert losses(Path("two")) == pytest.approx(losses(Path("one")), rel=1e-4)
