"""A web page that generates stories in the visitor's browser: files for any web server, with nothing behind them.

The page (`page/`) runs the graphs of `--to onnx` with onnxruntime-web (`runtime.py`); it tokenizes, samples and moves
the context window in JavaScript as the engine does. Its look inside runs a second graph of the same weights
(`activations_graph.py`), which it loads when the reader opens it.
"""

from __future__ import annotations

import json
import shlex
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from talewright.config import PROMPTS
from talewright.errors import UserError
from talewright.export.onnx import BOUNDS
from talewright.export.target import ExportSource, ExportTarget
from talewright.export.web.quantized import write_quantized
from talewright.export.web.runtime import runtime_problem, write_runtime
from talewright.files import sha256_file, write_json
from talewright.generate.sampling import Sampling
from talewright.look import page_style
from talewright.model.cost import count_parameters
from talewright.tokenizer import Tokenizer

PAGE = Path(__file__).parent / "page"
GRAPHS = {"q8": "model/q8.onnx", "f32": "model/f32.onnx"}
"""The graph of each precision; the page loads the first one by default."""
INSIDE = {name: graph.replace(".onnx", ".inside.onnx") for name, graph in GRAPHS.items()}
"""The graph of activations of each precision, which reads its weights out of the other one's file."""
TOLERANCES = {"q8": 1e-1, "f32": BOUNDS["f32"]}


class Web(ExportTarget):
    name = "web"
    extra = "onnx"
    packages = ("onnx", "onnxscript")
    reader_packages = ("onnxruntime",)
    bounds: ClassVar[Mapping[str, float]] = {"both": TOLERANCES["f32"], **TOLERANCES}
    reader = "onnx"
    space_sdk = "static"
    reads_files = True
    usage_template = """The folder is a web page that any file server can serve, the hub too, as a static Space. It
loads nothing from other servers:

```sh
python -m http.server --directory {shell} 8000   # then open http://localhost:8000
```
"""

    def setup_problems(self) -> Iterator[str]:
        yield from super().setup_problems()
        if (problem := runtime_problem()) is not None:
            yield problem

    def commands(self, folder: Path) -> dict[str, str]:
        return {
            "run": f"python -m http.server -d {shlex.quote(str(folder))} 8000",
            "open": "http://localhost:8000",
        }

    def write(self, source: ExportSource, folder: Path, dtype: str) -> None:
        from talewright.export.onnx_graph import write_graph
        from talewright.export.web.activations_graph import share_weights, write_activations_graph

        tokenizer = tokenizer_json(source.tokenizer)
        shutil.copytree(PAGE, folder, dirs_exist_ok=True)
        (folder / "model").mkdir()
        write_runtime(folder / "runtime")
        (folder / "model" / "tokenizer.json").write_text(tokenizer, encoding="utf-8", newline="\n")
        (folder / "look.css").write_text(page_style(), encoding="utf-8", newline="\n")
        write_graph(source.model, folder / GRAPHS["f32"])
        write_activations_graph(source.model, folder / INSIDE["f32"])
        if dtype != "f32":
            for graphs in (GRAPHS, INSIDE):
                write_quantized(folder / graphs["f32"], folder / graphs["q8"])
            share_weights(folder / INSIDE["q8"], folder / GRAPHS["q8"])
        share_weights(folder / INSIDE["f32"], folder / GRAPHS["f32"])
        if dtype == "q8":
            for graphs in (GRAPHS, INSIDE):
                (folder / graphs["f32"]).unlink()
        write_json(folder / "about.json", _about(source, folder))

    def readable_parts(self, dtype: str) -> Mapping[str, float]:
        written = [name for name in GRAPHS if dtype in (name, "both")]
        return {graphs[name]: TOLERANCES[name] for graphs in (GRAPHS, INSIDE) for name in written}


def tokenizer_json(tokenizer: Tokenizer) -> str:
    """The text of tokenizer.json. Raises UserError if the page's script cannot split text in its way."""
    with tempfile.TemporaryDirectory() as work:
        tokenizer.save(Path(work))
        text = (Path(work) / "tokenizer.json").read_text(encoding="utf-8")
    values: dict[str, Any] = json.loads(text)
    split = values.get("pre_tokenizer") or {}
    model = values["model"]
    supported = (
        (split.get("type"), split.get("add_prefix_space"), split.get("use_regex", True)) == ("ByteLevel", False, True)
        and values.get("normalizer") is None
        and not model.get("byte_fallback")
        and not model.get("ignore_merges")
        and all(token["special"] for token in values["added_tokens"])
    )
    if not supported:
        raise UserError("the page supports only tokenizers that split text as GPT-2's does, and the run's does not")
    return text


def _about(source: ExportSource, folder: Path) -> dict[str, Any]:
    """What the page needs to know before it loads the rest."""
    recipe, config = source.recipe, source.recipe.model
    graphs = [name for name in GRAPHS if (folder / GRAPHS[name]).is_file()]
    return {
        "name": recipe.name,
        "parameters": count_parameters(config).total,
        "context": config.context_length,
        "vocabulary": source.tokenizer.vocab_size,
        "begin": source.tokenizer.begin_id,
        "ends": [*source.tokenizer.ends],
        "unused": source.tokenizer.unused,
        "prompts": list(recipe.train.prompts or PROMPTS),
        "sampling": sampling_settings(),
        "runtime": _file(folder, "runtime/ort.wasm"),
        "tokenizer": _file(folder, "model/tokenizer.json"),
        "shape": {"layers": config.n_layers, "heads": config.n_heads, "width": config.d_model},
        "models": [
            {"kind": name, **_file(folder, GRAPHS[name]), "inside": _file(folder, INSIDE[name])} for name in graphs
        ],
    }


def sampling_settings() -> dict[str, Any]:
    """The settings that the page begins with, by the ids of its inputs."""
    return {
        "temperature": Sampling.temperature,
        "top-k": Sampling.top_k or 0,
        "top-p": Sampling.top_p,
        "penalty": Sampling.repetition_penalty,
        "new-tokens": Sampling.max_new_tokens,
    }


def _file(folder: Path, name: str) -> dict[str, Any]:
    """A file that the page loads: its size for the progress bar, and its version for the browser's cache."""
    path = folder / name
    return {"file": name, "bytes": path.stat().st_size, "version": sha256_file(path)[:12]}
