"""Make the included model of a run: the folder that the package holds, with 8-bit weights and nothing of this machine.

    python -m tools.include_model RUN --valid FILE

FILE holds the held-out stories on whose first ones the run and its 8-bit weights are scored. Writes
src/talewright/included/ whole or not at all, and prints what it measured. Of a run that `talewright evaluate` has
scored, it also takes scores.json.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.numpy import load_file as load_arrays
from safetensors.numpy import save_file as save_arrays
from safetensors.torch import save_file
from torch import Tensor

from talewright.config import DataConfig, Recipe, load_recipe, recipe_to_yaml
from talewright.config.loading import recipe_to_dict
from talewright.data import tokenize_source
from talewright.data.sources import last_name
from talewright.errors import UserError
from talewright.evaluate.likelihood import Likelihood, score_stories
from talewright.evaluate.scores import held_out_facts
from talewright.files import atomic_folder, folder_size, json_text, read_json, write_json
from talewright.generate.quantization import to_int8
from talewright.machine import keep_heap
from talewright.model.gpt import GPT
from talewright.run import RunFolder
from talewright.run.checkpoint import OPTIMIZER, SCALE, STATE, WEIGHTS, read_state, write_manifest
from talewright.run.draft import DRAFT
from talewright.run.included import FOLDER
from talewright.run.log import read_log
from talewright.run.retention import point
from talewright.tokenizer import Tokenizer

SOURCE = "TinyStories"
"""What the recipe calls its stories, in place of files on the machine that trained."""
MAX_BYTES = 5_000_000
"""Size limit of the folder."""
CHECKS = "checks.json"
"""What a test compares the packaged model with."""
CONTEXTS = 1 << 15
"""Contexts of the run's draft that are kept, the most frequent ones."""
LOGGED = 20
"""Of so many steps, the log keeps one."""
BUNDLED, HELD_OUT = 50, 100
"""Stories of the regression test: of the bundled ones, and of the held-out ones."""
PROMPT, LONGEST = "Once upon a time", 60
"""What the recorded story begins with, and its most tokens."""
CLEAR = 0.05
"""The recorded story ends where the two best logits are closer than this: rounding could exchange them."""
CARD = Path(__file__).with_name("included_card.md")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("run")
    options.add_argument("--valid", required=True, help="held-out stories")
    options.add_argument("--stories", type=int, default=1000, help="held-out stories to score (default: 1000)")
    options.add_argument("--out", default=str(FOLDER), help="folder to write (default: that of the package)")
    chosen = options.parse_args()
    keep_heap()
    held_out = DataConfig(source=chosen.valid, limit=chosen.stories)
    checks = include(RunFolder(chosen.run), held_out, Path(chosen.out))
    print(json_text(checks, indent=1, ensure_ascii=False))
    print(f"{chosen.out}: {folder_size(Path(chosen.out)):,} bytes")


def include(run: RunFolder, held_out: DataConfig, out: Path) -> dict[str, Any]:
    """Write the folder, and return its checks. Raises UserError, with nothing written, if it would be too large."""
    model, checkpoint = run.load_model("best", torch.device("cpu"))
    with atomic_folder(out) as partial:
        recipe = neutral(run.recipe)
        (partial / "tokenizer").mkdir()
        shutil.copyfile(run.path / "tokenizer" / "tokenizer.json", partial / "tokenizer" / "tokenizer.json")
        (partial / "recipe.yaml").write_text(recipe_to_yaml(recipe), encoding="utf-8", newline="\n")
        write_checkpoint(partial, model, checkpoint)
        write_draft(partial, run.path / DRAFT)
        write_log(partial, run, recipe)
        write_scores(partial, run)
        checks = measure(RunFolder(partial), model, held_out)
        write_json(partial / CHECKS, checks)
        (partial / "README.md").write_text(card(run, checks), encoding="utf-8", newline="\n")
        for path in partial.rglob("*"):
            path.chmod(0o755 if path.is_dir() else 0o644)  # safetensors writes files that only their owner can read
        if (size := folder_size(partial)) > MAX_BYTES:
            raise UserError(f"the folder would have {size:,} bytes, more than {MAX_BYTES:,}")
    return checks


def neutral(recipe: Recipe) -> Recipe:
    """The recipe without the names of this machine's files."""
    data = dataclasses.replace(recipe.data, source=SOURCE, valid=None, test=None)
    return dataclasses.replace(recipe, data=data)


def eight_bit(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The matrices as whole numbers with a scale for each row; everything else as it is."""
    tensors = {}
    for name, tensor in weights.items():
        if tensor.ndim == 2:
            tensors[name], tensors[name + SCALE] = to_int8(tensor.float())
        else:
            tensors[name] = tensor.contiguous()
    return tensors


def write_checkpoint(out: Path, model: GPT, checkpoint: Path) -> None:
    """The weights in 8 bits, and an optimizer without a state, as an imported run has."""
    folder = out / "checkpoints" / checkpoint.name
    folder.mkdir(parents=True)
    save_file(eight_bit(dict(model.state_dict())), folder / WEIGHTS)
    save_file({}, folder / OPTIMIZER)
    state = read_state(checkpoint)
    write_json(folder / STATE, asdict(state))
    write_manifest(folder)
    for name in ("best", "last"):
        point(out, name, state.step)


def write_draft(out: Path, draft: Path) -> None:
    """The most frequent contexts of the run's draft, which come first in it."""
    save_arrays({name: table[:CONTEXTS].copy() for name, table in load_arrays(draft).items()}, out / DRAFT)


def write_log(out: Path, run: RunFolder, recipe: Recipe) -> None:
    """The log of the run without the most of its steps, and its samples."""
    with (out / "log.jsonl").open("w", encoding="utf-8", newline="\n") as file:
        for event in read_log(run.path / "log.jsonl"):
            kind, step = event.get("event"), event.get("step", 0)
            if kind == "run":
                event["recipe"] = recipe_to_dict(recipe)
            if kind in ("run", "evaluation") or (kind == "step" and (step == 1 or step % LOGGED == 0)):
                file.write(json_text(event) + "\n")
    shutil.copyfile(run.path / "samples.jsonl", out / "samples.jsonl")


def write_scores(out: Path, run: RunFolder) -> None:
    """The run's scores, if it has any, without the passages of training stories that they quote."""
    scores = read_json(run.path / "scores.json")
    if scores is not None:
        scores["run"]["folder"] = FOLDER.name
        write_json(out / "scores.json", _without_texts(scores))


def _without_texts(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_texts(each) for name, each in value.items() if name != "text"}
    return [_without_texts(each) for each in value] if isinstance(value, list) else value


# --- what is measured ----------------------------------------------------------------------------------------------


def measure(included: RunFolder, whole: GPT, source: DataConfig) -> dict[str, Any]:
    """The likelihoods of the run's own weights and of those in 8 bits, in float32, and what a test compares."""
    model, _ = included.load_model("best", torch.device("cpu"))
    held_out, separator = tokenize_source(source, included.tokenizer), included.tokenizer.separator
    return {
        "float32": asdict(score_stories(whole, *held_out, separator)),
        "8-bit": asdict(score_stories(model, *held_out, separator)),
        "bundled": loss_on(model, included.tokenizer, DataConfig(source=f"bundled:{BUNDLED}")),
        "held_out": loss_on(model, included.tokenizer, dataclasses.replace(source, limit=HELD_OUT)),
        "greedy": {"prompt": PROMPT, "text": clear_text(model, included.tokenizer)},
    }


def loss_on(model: GPT, tokenizer: Tokenizer, source: DataConfig) -> dict[str, Any]:
    """What the stories are, and the model's loss on them."""
    stories, sizes = tokenize_source(source, tokenizer)
    facts = held_out_facts(last_name(source.source), tokenizer.decode_batch(stories))
    return {**facts, "loss": score_stories(model, stories, sizes, tokenizer.separator).loss}


@torch.inference_mode()
def clear_text(model: GPT, tokenizer: Tokenizer) -> str:
    """The story that the most likely tokens give, as far as each is clearly the most likely one."""
    ids = [tokenizer.begin_id, *tokenizer.encode(PROMPT)]
    for _ in range(LONGEST):
        best = model(torch.tensor([ids]))[0, -1].topk(2)
        if float(best.values[0] - best.values[1]) < CLEAR or int(best.indices[0]) in tokenizer.ends:
            break
        ids.append(int(best.indices[0]))
    return tokenizer.decode(ids[1:])


# --- the card ------------------------------------------------------------------------------------------------------


def card(run: RunFolder, checks: dict[str, Any]) -> str:
    """README.md of the folder."""
    start = next(event for event in read_log(run.path / "log.jsonl") if event.get("event") == "run")
    state = read_state(run.checkpoint())
    rows = [_row(name, Likelihood(**checks[name])) for name in ("float32", "8-bit")]
    return CARD.read_text(encoding="utf-8").format(
        name=run.recipe.name,
        model=run.recipe.model,
        parameters=start["parameters"],
        data=start["data"],
        steps=state.step,
        tokens=state.tokens,
        minutes=state.seconds / 60,
        device=start["device"],
        precision=start["precision"],
        versions=start["versions"],
        command=training_command(run.recipe),
        held_out=checks["8-bit"],
        rows="\n".join(rows),
        lost=checks["8-bit"]["bits_per_byte"] - checks["float32"]["bits_per_byte"],
        scored=SCORED if (run.path / "scores.json").exists() else "",
        story=checks["greedy"]["text"].replace("\n", "\n> "),
        contexts=CONTEXTS,
        logged=LOGGED,
    )


SCORED = """
`scores.json` holds the scores that `talewright evaluate` gave the weights before they were rounded to 8 bits. The
passages of training stories that it quotes are left out.
"""


def _row(name: str, likelihood: Likelihood) -> str:
    return (
        f"| {name} | {likelihood.loss:.4f} | {likelihood.perplexity:.3f} | {likelihood.bits_per_byte:.4f} | "
        f"{likelihood.token_accuracy:.1%} |"
    )


def training_command(recipe: Recipe) -> str:
    """The command that trains such a model, with each setting that differs from the packaged recipe."""
    ours, base = recipe_to_dict(recipe), recipe_to_dict(load_recipe(recipe.name))
    words = [f"talewright train --recipe {recipe.name}", '--data "TRAINING FILES"', "--valid FILE"]
    words += [f"--seed {recipe.seed}"] if ours["seed"] != base["seed"] else []
    for section in ("model", "optimizer", "schedule", "train"):
        for name, value in ours[section].items():
            if value != base[section][name]:
                words.append(f"--{section}.{name.replace('_', '-')} {json.dumps(value)}")
    return " \\\n  ".join(words)


if __name__ == "__main__":
    main()
