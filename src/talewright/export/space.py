"""A folder that runs as a Hugging Face Space: the studio with one run, next to a copy of this package's own code.

With its own code, the Space needs no release of this package, and later releases do not change what it generates.
"""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Mapping
from importlib.metadata import requires, version
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, ClassVar

from talewright.export.card import public_recipe
from talewright.export.target import ExportSource, ExportTarget
from talewright.files import portable_name

APP = '''"""The story studio with the model in this folder: `python app.py`, or as a Hugging Face Space."""

import logging
from pathlib import Path

from talewright.studio import serve

if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    serve([Path(__file__).resolve().parent / "{run}"], host="0.0.0.0", port=7860)
'''


class Space(ExportTarget):
    name = "space"
    extra = "studio"
    packages = ("gradio",)
    bounds: ClassVar[Mapping[str, float]] = {"f32": 1e-5}
    reader = "space"
    space_sdk = "gradio"
    reads_files = True
    usage_template = """This folder is a Hugging Face Space: push it, and it runs there. To run it on your own machine:

```
cd {shell}
pip install -r requirements.txt
python app.py          # http://127.0.0.1:7860
```
"""

    def commands(self, folder: Path) -> dict[str, str]:
        return {
            "run": f"cd {shlex.quote(str(folder))} && pip install -r requirements.txt && python app.py",
            "open": "http://127.0.0.1:7860",
        }

    def write(self, source: ExportSource, folder: Path, dtype: str) -> None:
        from talewright.export.importers import write_run

        recipe = public_recipe(source.recipe)
        run = f"run/{portable_name(recipe.name)}"
        write_run(folder / run, recipe, source.model, source.tokenizer, source.step)
        with as_file(files("talewright")) as package:
            shutil.copytree(package, folder / "talewright", ignore=shutil.ignore_patterns("__pycache__", "included"))
        (folder / "app.py").write_text(APP.format(run=run), encoding="utf-8", newline="\n")
        required = [each for each in requires("talewright") or [] if "extra ==" not in each]
        lines = [*required, f"gradio=={version('gradio')}"]
        (folder / "requirements.txt").write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")

    def space_settings(self) -> dict[str, Any]:
        return {"sdk_version": version("gradio"), "app_file": "app.py"}
