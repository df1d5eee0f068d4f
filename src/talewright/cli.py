"""The command line: one command, `talewright`, thin over `talewright.api`. Standard output is the answer, standard
error the progress; a mistake of the user's is one message and exit code 2.

Heavy imports stand inside the commands that need them, so that `--help` answers at once.
"""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import tyro
from tyro.conf import DisallowNone, FlagCreatePairsOff, Positional

from talewright import __version__
from talewright.config import load_recipe
from talewright.errors import UserError
from talewright.train.signals import StopSignal

if TYPE_CHECKING:
    from talewright.api import Run
    from talewright.generate.sampling import Sampling
    from talewright.train.loop import Outcome

ABOUT = """Train small GPTs from scratch to tell stories, on the machine you have.

Begin with `talewright demo`. Any value of a recipe can be set on the command line, as in
`talewright train --recipe mini-2m --model.n-layers 6 --train.learning-rate 2e-3`;
`talewright recipes NAME` shows them all."""

WITH_SETTINGS = ("train", "prepare", "recipes", "tokenizer", "bench")
settings: dict[str, str] = {}
"""The `--section.key value` options of this call."""


def main(arguments: list[str] | None = None) -> None:
    """Run one command. Exits with 0, with 2 at a mistake of the user's, with 128 + its number when stopped by a signal:
    130 for Ctrl-C, 143 for SIGTERM.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    commands = {
        "demo": demo,
        "recipes": recipes,
        "prepare": prepare,
        "train": train,
        "evaluate": evaluate,
        "generate": generate,
        "plot": plot,
        "inspect": inspect,
        "verify": verify,
        "export": export,
        "import": import_,
        "tokenizer": tokenizer,
        "bench": bench,
        "doctor": doctor,
    }
    try:
        if words == ["--version"]:
            print(f"talewright {__version__}")
            return
        words = _take_settings(words)
        with StopSignal(breakable=True):
            tyro.extras.subcommand_cli_from_dict(
                commands, prog="talewright", description=ABOUT, args=words, config=(DisallowNone,)
            )
    except UserError as error:
        print(f"talewright: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt as stopped:
        print("talewright: stopped", file=sys.stderr)
        sys.exit(128 + getattr(stopped, "number", signal.SIGINT))
    except BrokenPipeError:  # the reader of our output left, as `| head` does
        sys.stderr.close()
        sys.exit(0)


# --- commands ----------------------------------------------------------------------------------------------------


def demo(out: str | None = None) -> None:
    """Train the recipe `quickstart` on the bundled stories, in about two minutes, and read what it tells.

    Args:
        out: Folder of the run; the next free one under runs/ unless told.
    """
    from talewright import api
    from talewright.inspect.curves import draw_curves
    from talewright.listing import score_table

    recipe = load_recipe("quickstart")
    folder = api.new_run_folder(recipe, out)
    _say("A small GPT learns to tell stories, from nothing, on this machine. About two minutes.\n")
    with _way_on(folder):
        outcome = api.start(recipe, folder)
    _end(outcome, folder)
    run = api.load(folder)
    print(score_table({"untrained": run.evaluate_untrained(), "trained": run.evaluate()}))
    for i, prompt in enumerate(recipe.train.prompts):
        print()
        _stream(run, prompt, _sampling(seed=i, max_new_tokens=200))
    print()
    _say(f"\nThe training curves are in {draw_curves(folder)}. What to try next:")
    _say(f'  talewright generate {folder} --prompt "One day, a dragon"')
    _say("  talewright train --recipe mini-2m --data stories.txt --max-minutes 30     # stories of your own")
    _say("  talewright recipes                                                        # what else there is to train")


def recipes(name: Positional[str | None] = None, json: FlagCreatePairsOff[bool] = False) -> None:
    """List the recipes, or show one whole: its settings, parameters and cost.

    Args:
        name: A recipe's name, or a YAML file; all are listed without it.
        json: Print JSON.
    """
    from talewright import listing
    from talewright.config import recipe_names

    if name is not None:
        recipe = load_recipe(name, settings)
        print(_dump(listing.facts(recipe)) if json else listing.page(recipe))
        return
    found = [load_recipe(each, settings) for each in recipe_names()]
    if json:
        print(_dump([listing.facts(recipe) for recipe in found]))
    else:
        listing.print_table(found)


def prepare(
    recipe: str = "quickstart",
    data: str | None = None,
    valid: str | None = None,
    test: str | None = None,
    text_key: str | None = None,
    separator: str | None = None,
    limit: int | None = None,
    out: str | None = None,
) -> None:
    """Read, clean, split and tokenise stories once, into a folder that training maps into memory.

    `train` does this by itself where it is missing. Interrupted and started again, it goes on.

    Args:
        recipe: Recipe whose tokenizer and splits are used: a name, or a YAML file.
        data: Stories: bundled, hub:OWNER/NAME, or a file, folder or glob (.txt .jsonl .json .csv .parquet, .gz .zst).
        valid: Stories to validate on, where they are a source of their own.
        test: Stories to test on, where they are a source of their own.
        text_key: Column or key that holds the story.
        separator: Line that ends a story in a .txt file.
        limit: Read at most this many stories.
        out: Folder to write; a cache folder unless told.
    """
    from talewright.data import prepare as prepare_stories

    _data_settings(data, valid, test, text_key, separator, limit)
    chosen = load_recipe(recipe, settings)
    folder = Path(out) if out else None
    with _way_on():
        corpus = prepare_stories(chosen.data, chosen.tokenizer, chosen.model.vocab_size, folder)
    print(_dump({"folder": str(corpus.folder), **corpus.manifest}))


def train(
    recipe: str | None = None,
    data: str | None = None,
    valid: str | None = None,
    test: str | None = None,
    text_key: str | None = None,
    separator: str | None = None,
    limit: int | None = None,
    out: str | None = None,
    resume: str | None = None,
    init_from: str | None = None,
    max_steps: int | None = None,
    max_minutes: float | None = None,
    seed: int | None = None,
) -> None:
    """Train a model from a recipe into a run folder, or go on with a run that was stopped.

    Ctrl-C saves first. A budget given here takes the place of the recipe's own.

    Args:
        recipe: A recipe's name (`talewright recipes` lists them), or a YAML file; quickstart unless told.
        data: Stories: bundled, hub:OWNER/NAME, or a file, folder or glob (.txt .jsonl .json .csv .parquet, .gz .zst).
        valid: Stories to validate on, where they are a source of their own.
        test: Stories to test on, where they are a source of their own.
        text_key: Column or key that holds the story.
        separator: Line that ends a story in a .txt file.
        limit: Read at most this many stories.
        out: Folder of the run; the next free runs/NAME-N unless told.
        resume: Run folder to go on with, bit for bit as if it had not stopped.
        init_from: Run folder whose model is trained further, into a new run: its weights, its model's shape and its
            tokenizer. The rest is --recipe's, or that run's own.
        max_steps: Stop after this many optimiser steps.
        max_minutes: Stop after this many minutes; the learning rate's schedule ends with them.
        seed: Seeds weights, order of the data, dropout and sample stories.
    """
    _data_settings(data, valid, test, text_key, separator, limit)
    named = {"train.max_steps": max_steps, "train.max_minutes": max_minutes, "seed": seed}
    settings.update({key: str(value) for key, value in named.items() if value is not None})
    if resume and init_from:
        raise UserError("give --resume or --init-from, not both")
    chosen = None
    if not resume and not init_from:
        chosen = load_recipe(recipe or "quickstart", settings)  # a wrong setting is told before torch is loaded

    from talewright import api
    from talewright.inspect.curves import draw_curves

    if init_from:
        chosen = api.further_recipe(init_from, recipe, settings)
    folder = Path(str(resume)) if chosen is None else api.new_run_folder(chosen, out)
    with _way_on(folder):
        outcome = api.go_on(folder, settings) if chosen is None else api.start(chosen, folder)
    _end(outcome, folder)
    if not outcome.leader:
        return
    if outcome.state.step:
        try:
            _say(f"curves: {draw_curves(folder)}")
        except OSError as error:  # a disk that is full: the run itself is saved
            _say(f"the curves cannot be drawn: {error.strerror}")
    print(folder)


def evaluate(
    run: Positional[str],
    data: str | None = None,
    checkpoint: str = "best",
    json: FlagCreatePairsOff[bool] = False,
) -> None:
    """Score a run on held-out stories: loss, perplexity, bits per byte, token accuracy, beside the untrained model.

    Whole stories, real tokens alone, each scored once.

    Args:
        run: Run folder.
        data: Stories to score on, all of them; the run's own validation stories unless told.
        checkpoint: best, last, or a step.
        json: Print JSON.
    """
    from dataclasses import asdict

    from talewright import api
    from talewright.listing import score_table

    opened = api.load(run, checkpoint)
    trained, untrained = opened.evaluate(data), opened.evaluate_untrained(data)
    if json:
        print(_dump({**asdict(trained), "checkpoint": opened.checkpoint.name, "untrained": asdict(untrained)}))
    else:
        print(score_table({"untrained": untrained, "trained": trained}))


def generate(
    run: Positional[str],
    prompt: str | None = None,
    prompts: str | None = None,
    samples: int = 1,
    temperature: float = 0.8,
    top_k: int | None = None,
    top_p: float | None = None,
    min_p: float | None = None,
    repetition_penalty: float = 1.0,
    max_new_tokens: int = 200,
    greedy: FlagCreatePairsOff[bool] = False,
    seed: int = 0,
    checkpoint: str = "best",
    precision: Literal["fp32", "bf16", "fp16", "int8"] = "fp32",
    json: FlagCreatePairsOff[bool] = False,
) -> None:
    """Tell stories with a trained run, as they are generated.

    Args:
        run: Run folder.
        prompt: Beginning of the story; without one the model begins by itself.
        prompts: File with a beginning on each line, told in one batch.
        samples: Stories told from each beginning.
        temperature: Below 1 keeps to what is likely, above 1 takes more chances, 0 always takes the likeliest.
        top_k: Choose among this many likeliest tokens.
        top_p: Choose among the likeliest tokens that together have this probability.
        min_p: Choose among tokens at least this likely, as a share of the likeliest one's probability.
        repetition_penalty: Above 1 makes tokens already told less likely.
        max_new_tokens: Longest continuation, in tokens; a story that ends by itself is shorter.
        greedy: Always take the likeliest token, as temperature 0 does.
        seed: The same seed tells the same stories.
        checkpoint: best, last, or a step.
        precision: Of the weights; fewer bits are told faster, int8 fastest of all for one story on a processor.
        json: Print a JSON list of prompt, text, new_tokens and finished.
    """
    if samples < 1:
        raise UserError(f"--samples is {samples}; it counts stories, so 1 or more")
    beginnings = _prompts(prompt, prompts)
    sampling = _sampling(
        temperature=0.0 if greedy else temperature,
        top_k=top_k,
        top_p=top_p,
        min_p=min_p,
        repetition_penalty=repetition_penalty,
        max_new_tokens=max_new_tokens,
        seed=seed,
    )
    from talewright import api

    opened = api.load(run, checkpoint, precision)
    if not json and len(beginnings) * samples == 1:
        _stream(opened, beginnings[0], sampling)
        return
    stories = opened.engine.tell([text for text in beginnings for _ in range(samples)], sampling)
    if json:
        keys = ("prompt", "text", "new_tokens", "finished")
        print(_dump([{key: getattr(story, key) for key in keys} for story in stories]))
    else:
        print("\n\n---\n\n".join(story.text for story in stories))


def plot(run: Positional[str]) -> None:
    """Draw the training curves of a run from its log, also while it trains.

    Args:
        run: Run folder.
    """
    from talewright.inspect.curves import draw_curves

    print(draw_curves(Path(run)))


def export(
    run: Positional[str],
    folder: Positional[str],
    to: str = "hf",
    dtype: str | None = None,
    checkpoint: str = "best",
    overwrite: FlagCreatePairsOff[bool] = False,
    push: str | None = None,
    json: FlagCreatePairsOff[bool] = False,
) -> None:
    """Write a run's model in a form that other programs read, and prove it: read back in a fresh process, it computes
    the same.

    Args:
        run: Run folder.
        folder: Folder to write. Nothing is left of it where the proof fails.
        to: The form. hf is a class that transformers has; hf-remote brings our own model as code, of any architecture.
            gguf is llama.cpp's one file, onnx a graph as transformers.js opens it, llama2c the files of run.c.
        dtype: Precision of the weights: f32 unless told; bf16 and f16 for hf and gguf, q8_0 for gguf.
        checkpoint: best, last, or a step.
        overwrite: Replace an earlier export in that folder.
        push: Also upload the folder to this repository of the hub, such as ada/my-stories (made where there is none).
        json: Print JSON.
    """
    from talewright import api

    record = api.load(run, checkpoint).export(folder, to, dtype, overwrite, push)
    _say(record["proof"])
    print(_dump({"folder": folder, **record}) if json else folder)


def inspect(
    run: Positional[str],
    text: str | None = None,
    only: tuple[Literal["curves", "predictions", "attention", "weights", "neurons"], ...] = (),
    against: str | None = None,
    checkpoint: str = "best",
    data: str | None = None,
    neurons: str = "",
    out: str | None = None,
) -> None:
    """Look inside a run: curves, attention, weights, expectations and neurons, as one page and as pictures.

    Writes report.html, which opens in any browser without a network, and plots/. Works while the run trains, too.

    Args:
        run: Run folder.
        text: The story that is looked at, token by token; one of the validation stories unless told.
        only: These parts alone.
        against: Set this beside it: another run folder, or a checkpoint of the same run (best, last, a step).
        checkpoint: best, last, or a step.
        data: Stories to measure on; the run's own validation stories unless told.
        neurons: Neurons to show, LAYER.NUMBER with commas; those with the clearest subjects unless told.
        out: Folder for the report and the pictures; the run's own unless told.
    """
    from talewright.inspect.look import PARTS, Wishes
    from talewright.looking import look_inside

    wishes = Wishes(parts=only or PARTS, text=text, neurons=neurons)
    print(look_inside(run, wishes, checkpoint=checkpoint, against=against, data=data, out=out, say=_say))


def verify(run: Positional[str], json: FlagCreatePairsOff[bool] = False) -> None:
    """Check that a run is still what it was: its files' hashes, the stories it was trained on, its score.

    Exits with 2 where something is not.

    Args:
        run: Run folder.
        json: Print JSON.
    """
    from talewright.verify import verify as findings_of

    found = []
    for finding in findings_of(Path(run)):
        found.append(finding)
        if not json:
            print(f"{finding.what}: {'WRONG, ' + finding.fault if finding.fault else finding.words}", flush=True)
    if json:
        print(_dump([finding._asdict() for finding in found]))
    if faults := [finding.what for finding in found if finding.fault]:
        raise UserError(f"{run} is not what it was: " + ", ".join(faults))


def import_(
    source: Positional[str],
    run: Positional[str],
    tokenizer: str | None = None,
    overwrite: FlagCreatePairsOff[bool] = False,
    json: FlagCreatePairsOff[bool] = False,
) -> None:
    """Make a run folder of a model that another program trained: GPT-2, GPT-Neo, Llama or Qwen3 as transformers saves
    them, llama2.c's .bin, and what `export` wrote.

    The run can be told with, scored, exported, and trained further with `talewright train --init-from RUN`.

    Args:
        source: A folder with config.json and model.safetensors, a .bin of llama2.c, or a model's name on the hub.
        run: Run folder to make.
        tokenizer: Folder (or name on the hub) of the model's tokenizer, where it has none of its own.
        overwrite: Replace what an earlier import left in that folder.
        json: Print JSON.
    """
    from talewright.export.intake import import_model

    record = import_model(source, Path(run), tokenizer, overwrite)
    _say(f"{record['class']} of {record['parameters'] / 1e6:.2f}M parameters, {record['vocab_size']:,} tokens")
    _say(record["proof"] or "not compared with transformers' own: it is not installed, or does not have this class")
    print(_dump({"run": run, **record}) if json else run)


def tokenizer(
    action: Positional[Literal["train", "show"]],
    folder: Positional[str | None] = None,
    recipe: str = "mini-2m",
    data: str | None = None,
    out: str = "tokenizer",
    json: FlagCreatePairsOff[bool] = False,
) -> None:
    """Train a tokenizer on stories, or show one: its size, tokens per word, coverage, longest tokens.

    Args:
        action: train makes one of --data into --out; show describes the one in a folder, or a run's.
        folder: With show: a run folder, or a tokenizer's.
        recipe: With train: the recipe that says its kind and size (--tokenizer.kind, --model.vocab-size).
        data: Stories to train on, or to measure on.
        out: With train: the folder to write.
        json: Print JSON.
    """
    from talewright import listing

    if action == "show" and folder is None:
        raise UserError("talewright tokenizer show needs a folder: a run's, or one with a tokenizer.json")
    _data_settings(data, None, None, None, None, None)
    found = listing.show_tokenizer(str(folder), data) if action == "show" else _train_tokenizer(recipe, out)
    print(_dump(found) if json else listing.tokenizer_page(found))


def bench(
    what: Positional[Literal["machine", "train", "generate"]] = "machine",
    recipe: str = "mini-2m",
    seconds: float = 10.0,
    batch: int = 1,
    precision: Literal["fp32", "bf16", "fp16", "int8"] = "fp32",
    json: FlagCreatePairsOff[bool] = False,
) -> None:
    """Measure this machine: its matrix products, or how fast a recipe trains or tells here.

    Args:
        what: machine measures matrix products in each precision; train and generate a recipe, with random tokens.
        recipe: A recipe's name, or a YAML file.
        seconds: How long to measure, after the warm-up.
        batch: With generate: stories told side by side.
        precision: With generate: of the weights.
        json: Print JSON.
    """
    if seconds <= 0 or batch < 1:
        raise UserError(f"--seconds is {seconds} and --batch {batch}; both are above 0")
    chosen = load_recipe(recipe, settings)
    from talewright import bench as measure
    from talewright.listing import bench_page

    if what == "machine":
        found = {"peak_flops_per_second": measure.machine_peaks()}
    elif what == "train":
        found = measure.bench_training(chosen, seconds)
    else:
        found = measure.bench_telling(chosen, seconds, batch, precision)
    print(_dump(found) if json else bench_page(found))


def doctor(json: FlagCreatePairsOff[bool] = False) -> None:
    """Say what this machine has, and what a run will use of it.

    Args:
        json: Print JSON.
    """
    from talewright.bench import machine_facts
    from talewright.listing import doctor_page

    found = machine_facts()
    print(_dump(found) if json else doctor_page(found))


# --- what they share ---------------------------------------------------------------------------------------------


def _take_settings(words: list[str]) -> list[str]:
    """Take the `--section.key value` options out of the words, into `settings`."""
    settings.clear()
    rest, bare, waiting = [], [], list(words)
    while waiting:
        word = waiting.pop(0)
        key, _, value = word.removeprefix("--").partition("=")
        if not word.startswith("--") or "." not in key or (rest and rest[0] not in WITH_SETTINGS):
            rest.append(word)
            continue
        if "=" not in word:
            if not waiting or waiting[0].startswith("--"):
                bare.append(word)
                continue
            value = waiting.pop(0)
        settings[key] = value
    if bare:
        raise UserError(f"{' and '.join(bare)} {'needs' if len(bare) == 1 else 'need'} a value, as in {bare[0]} VALUE")
    return rest


def _data_settings(
    data: str | None,
    valid: str | None,
    test: str | None,
    text_key: str | None,
    separator: str | None,
    limit: int | None,
) -> None:
    """Put the data options of a command among the settings."""
    named = {"source": data, "valid": valid, "test": test, "text_key": text_key, "separator": separator, "limit": limit}
    for key, value in named.items():
        if value is not None:
            settings[f"data.{key}"] = json.dumps(
                value, ensure_ascii=False
            )  # a text stays a text, whatever YAML would read in it
    if data is not None and not {key.replace("-", "_") for key in settings} & {"data.limit"}:
        settings["data.limit"] = "null"  # the recipe's limit is for its own source


def _train_tokenizer(recipe: str, out: str) -> dict[str, Any]:
    from talewright.data import prepare as prepare_stories
    from talewright.listing import show_tokenizer

    chosen = load_recipe(recipe, settings)
    corpus = prepare_stories(chosen.data, chosen.tokenizer, chosen.model.vocab_size)
    corpus.tokenizer.save(Path(out))
    return show_tokenizer(out, chosen.data.source)


def _sampling(**options: Any) -> Sampling:
    from talewright.generate.sampling import Sampling

    return Sampling(**options)


def _prompts(prompt: str | None, file: str | None) -> list[str]:
    if file is None:
        return [prompt or ""]
    if prompt is not None:
        raise UserError("give --prompt or --prompts, not both")
    try:
        lines = Path(file).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--prompts {file} cannot be read: {error}") from None
    found = [line for line in lines if line.strip()]
    if not found:
        raise UserError(f"--prompts {file} is empty; it holds the beginning of a story on each line")
    return found


def _stream(run: Run, prompt: str, sampling: Sampling) -> None:
    print(prompt, end="", flush=True)
    for piece in run.stream(prompt, sampling):
        print(piece, end="", flush=True)
    print()


@contextmanager
def _way_on(folder: Path | None = None) -> Iterator[None]:
    """Say how to go on, where a signal comes before there is anything to save."""
    try:
        yield
    except KeyboardInterrupt:
        if folder is not None and (folder / "recipe.yaml").exists():
            _say(f"nothing more was trained. To go on: talewright train --resume {folder}")
        else:
            _say("stopped before training. To go on where it was, give the same command again")
        raise


def _end(outcome: Outcome, folder: Path) -> None:
    """Leave with the signal's exit code, and a word on how to go on, where the run was stopped by one."""
    if outcome.signal is not None and outcome.leader:
        saved = ", and saved" if outcome.state.step else ""
        _say(f"stopped at step {outcome.state.step:,}{saved}. To go on: talewright train --resume {folder}")
    if outcome.signal is not None:
        sys.exit(128 + outcome.signal)


def _dump(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
