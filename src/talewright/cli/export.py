"""The command `export`."""

from pathlib import Path

from tyro.conf import Positional

from talewright.cli.common import INCLUDED, Checkpoint, Json, OptionalRun, logger, to_json
from talewright.cli.words import show
from talewright.errors import UserError


def export(
    run: OptionalRun = INCLUDED,
    folder: Positional[str | None] = None,
    to: str | None = None,
    dtype: str | None = None,
    checkpoint: Checkpoint = "best",
    overwrite: bool = False,
    push: str | None = None,
    license: str | None = None,
    runtime: str | None = None,
    json: Json = False,
) -> None:
    """Write a run's model in a format that other programs read, and verify it: read back in a fresh process, it
    computes the same. Without a folder and a format, name the formats that the run's model can be exported to.

    Args:
        folder: Folder to write. If the verification fails, nothing is left of it.
        to: The format. hf (default): a model class of transformers. hf-remote: any architecture, with our own model as
            code. gguf: one file for llama.cpp. onnx: a graph that transformers.js opens. llama2c: the files of run.c.
            web: a page that generates stories in the visitor's browser and shows what each layer computes, from any
            static file server. space: the story studio as a Hugging Face Space.
        dtype: Precision of the weights. hf: f32 (default), bf16 or f16; gguf: also q8_0; web: f32 or q8, by default
            both, and the visitor chooses.
        overwrite: Replace an earlier export in that folder.
        push: Also upload the folder to this repository on the hub, such as ada/my-stories (created if missing).
        license: License of the weights for the model card, by the hub's name for it, such as cc-by-4.0. Unset: that of
            the bundled stories for models of them, and none otherwise.
        runtime: For web: a local .tgz of the npm package onnxruntime-web, if npm cannot fetch it. It is kept for later
            exports.
    """
    from talewright.export import check_export, check_license
    from talewright.run import RunFolder

    if runtime is not None:
        from talewright.export.web.runtime import keep_runtime

        if to != "web":
            raise UserError(f"--runtime is for --to web, and this export is --to {to}")
        keep_runtime(Path(runtime))
    if license is not None:
        check_license(license)
    to = to or ("hf" if folder else None)
    # All that can be checked without torch, which takes seconds to import
    opened, place = RunFolder(run), None if folder is None else Path(folder)
    if place is not None and RunFolder.is_run(place):
        raise UserError(f"{place} is a run too; export takes one run, and another folder to write")
    opened.find_checkpoint(checkpoint)
    target = check_export(Path(opened.label), opened.recipe.model, to, place, dtype, overwrite, push)
    from talewright import api

    assert to is not None  # check_export refuses
    assert place is not None
    record = api.load(run, checkpoint, device="cpu").export(place, to, dtype, overwrite, push, license)
    logger.info("%s", record["proof"])
    show(to_json({"folder": folder, **record}) if json else folder, flush=True)
    lines = [f"  {name}: {command}" for name, command in target.commands(place).items()]
    logger.info("To use it:\n%s", "\n".join(lines))
