"""The command `import`."""

from pathlib import Path

from tyro.conf import Positional

from talewright.cli.common import Json, logger, to_json
from talewright.cli.words import show


def import_(
    source: Positional[str],
    run: Positional[str],
    tokenizer: str | None = None,
    overwrite: bool = False,
    json: Json = False,
) -> None:
    """Make a run folder from a model that another program trained: GPT-2, GPT-Neo, Llama or Qwen3 as transformers saves
    them, a model of nanoGPT as safetensors, a .bin of llama2.c, or what `export` wrote with
    --to hf, hf-remote or llama2c.

    The run can generate, be evaluated and exported, and be trained further with `talewright train --init-from RUN`.

    Args:
        source: A folder with config.json and model.safetensors, a .bin of llama2.c, or a model's name on the hub.
        run: Run folder to make.
        tokenizer: Folder (or name on the hub) of the model's tokenizer, or a tokenizer.bin of llama2.c, if the model
            comes without one.
        overwrite: Replace what an earlier import left in that folder.
    """
    from talewright.export.importers import import_model

    record = import_model(source, Path(run), tokenizer, overwrite)
    size = f"{record['parameters'] / 1e6:.2f}M parameters, {record['vocab_size']:,} tokens"
    logger.info("%s of %s", record["class"], size)
    unverified = "not compared with transformers: it is not installed, or does not read this class or such files"
    logger.info("%s", record["proof"] or unverified)
    show(to_json({"run": run, **record}) if json else run)
