"""Commands that take a model out, and in."""

from __future__ import annotations

from pathlib import Path

from tyro.conf import FlagCreatePairsOff, Positional

from talewright.cli.shared import dump, say
from talewright.errors import UserError


def export(
    run: Positional[str],
    folder: Positional[str],
    to: str = "hf",
    dtype: str | None = None,
    checkpoint: str = "best",
    overwrite: FlagCreatePairsOff[bool] = False,
    push: str | None = None,
    runtime: str | None = None,
    json: FlagCreatePairsOff[bool] = False,
) -> None:
    """Write a run's model in a form that other programs read, and prove it: read back in a fresh process, it computes
    the same.

    Args:
        run: Run folder.
        folder: Folder to write. Nothing is left of it where the proof fails.
        to: The form. hf is a class that transformers has; hf-remote brings our own model as code, of any architecture.
            gguf is llama.cpp's one file, onnx a graph as transformers.js opens it, llama2c the files of run.c.
            web is a page that tells stories in the visitor's own browser, from any server of files; space is the story
            studio as a Hugging Face Space.
        dtype: Precision of the weights: f32 unless told; bf16 and f16 for hf and gguf, q8_0 for gguf. For web it is
            both unless told, between which the visitor chooses, or f32 or q8 alone.
        checkpoint: best, last, or a step.
        overwrite: Replace an earlier export in that folder.
        push: Also upload the folder to this repository of the hub, such as ada/my-stories (made where there is none).
        runtime: For web: the package of onnxruntime-web (a .tgz) as a file, where npm cannot fetch it. It is kept for
            later exports.
        json: Print JSON.
    """
    from talewright import api

    if runtime is not None:
        _keep_runtime(runtime, to)
    record = api.load(run, checkpoint).export(folder, to, dtype, overwrite, push)
    say(record["proof"])
    print(dump({"folder": folder, **record}) if json else folder)


def _keep_runtime(tarball: str, to: str) -> None:
    from talewright.export.web.runtime import keep_runtime

    if to != "web":
        raise UserError(f"--runtime is the browser's part of --to web, and this export is --to {to}")
    keep_runtime(Path(tarball))


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
        tokenizer: Folder (or name on the hub) of the model's tokenizer, or a tokenizer.bin of llama2.c, where the model
            has none of its own.
        overwrite: Replace what an earlier import left in that folder.
        json: Print JSON.
    """
    from talewright.export.importers import import_model

    record = import_model(source, Path(run), tokenizer, overwrite)
    say(f"{record['class']} of {record['parameters'] / 1e6:.2f}M parameters, {record['vocab_size']:,} tokens")
    say(record["proof"] or "not compared with transformers' own: it is not installed, or does not have this class")
    print(dump({"run": run, **record}) if json else run)
