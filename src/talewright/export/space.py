"""A folder that runs as a Hugging Face Space as it is: the studio over one run, with this package's own code beside it.

The code goes along so that the Space needs no release of this package, and tells for ever as it told here.
"""

from __future__ import annotations

import shutil
from importlib.metadata import requires, version
from importlib.resources import as_file, files
from pathlib import Path
from types import MappingProxyType
from typing import Any

from talewright.config import ModelConfig
from talewright.export.card import public_recipe
from talewright.export.target import Source, Target

RUN = "run"
"""Folder of the Space that holds the run, under its recipe's name."""


class Space(Target):
    name = "space"
    extra = "studio"
    packages = ("gradio",)
    bounds = MappingProxyType({"f32": 1e-5})
    client = "space"
    repo_type = "space"

    def why_not(self, config: ModelConfig) -> str | None:
        return None

    def write(self, source: Source, folder: Path, dtype: str) -> None:
        from talewright.export.importers import write_run

        step = int(source.checkpoint.removeprefix("step-"))
        recipe = public_recipe(source.recipe)
        write_run(folder / RUN / recipe.name, recipe, source.model, source.tokenizer, step)
        with as_file(files("talewright")) as package:
            shutil.copytree(package, folder / "talewright", ignore=shutil.ignore_patterns("__pycache__"))
        (folder / "app.py").write_text(APP.format(run=f"{RUN}/{recipe.name}"), encoding="utf-8")
        (folder / "requirements.txt").write_text("\n".join(_requirements()) + "\n", encoding="utf-8")

    def front(self, source: Source) -> dict[str, Any]:
        return {
            "title": f"Stories by {source.recipe.name}",
            "emoji": "📖",
            "colorFrom": "green",
            "colorTo": "yellow",
            "sdk": "gradio",
            "sdk_version": version("gradio"),
            "app_file": "app.py",
            "pinned": False,
            "short_description": "A small GPT, trained from scratch, tells stories",
            "tags": ["talewright", "story-generation"],
        }

    def usage(self, place: str) -> str:
        return USAGE.format(place=place)


def _requirements() -> list[str]:
    """What this package needs without any extra, and Gradio as it is here."""
    own = [each for each in requires("talewright") or [] if "extra ==" not in each]
    return [*own, f"gradio=={version('gradio')}"]


APP = '''"""The story studio over the model in this folder: `python app.py`, or as a Space of Hugging Face."""

import logging
from pathlib import Path

from talewright.studio import serve

if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    serve([Path(__file__).resolve().parent / "{run}"], host="0.0.0.0", port=7860)
'''
USAGE = """This folder is a Space: pushed to Hugging Face, it runs as it is. On a machine of your own:

```
cd {place}
pip install -r requirements.txt
python app.py          # http://127.0.0.1:7860
```
"""
