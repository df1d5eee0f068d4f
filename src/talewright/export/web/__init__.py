"""A page that tells stories in the visitor's own browser: files for any web server, with nothing behind them.

The page (`page/`) runs the graphs of `--to onnx` with onnxruntime-web (`runtime.py`), and cuts text, draws tokens and
moves the window in JavaScript as the engine does here.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from talewright.config import PROMPTS, ModelConfig
from talewright.errors import UserError
from talewright.export.onnx import BOUNDS, write_graph
from talewright.export.target import Source, Target
from talewright.export.web.quantized import write_quantized
from talewright.export.web.runtime import write_runtime
from talewright.model.cost import count_parameters
from talewright.tokenizer import Tokenizer

PAGE = Path(__file__).parent / "page"
GRAPHS = {"q8": "model/q8.onnx", "f32": "model/f32.onnx"}
"""By precision, the one first that the page takes unless it is told."""
SHARES = {"q8": 1e-1, "f32": BOUNDS["f32"]}


class Web(Target):
    name = "web"
    extra = "onnx"
    packages = ("onnx", "onnxscript", "onnxruntime")
    bounds: ClassVar[Mapping[str, float]] = {"both": SHARES["f32"], **SHARES}
    client = "onnx"

    def why_not(self, config: ModelConfig) -> str | None:
        return None

    def write(self, source: Source, folder: Path, dtype: str) -> None:
        rules = tokenizer_json(source.tokenizer)
        shutil.copytree(PAGE, folder, dirs_exist_ok=True)
        (folder / "model").mkdir()
        write_runtime(folder / "runtime")
        (folder / "model" / "tokenizer.json").write_text(rules, encoding="utf-8")
        graph = folder / GRAPHS["f32"]
        write_graph(source.model, graph)
        if dtype != "f32":
            write_quantized(graph, folder / GRAPHS["q8"])
        if dtype == "q8":
            graph.unlink()
        about = json.dumps(_about(source, folder), indent=1, ensure_ascii=False)
        (folder / "about.json").write_text(about + "\n", encoding="utf-8")

    def parts(self, dtype: str) -> Mapping[str, float]:
        return {graph: SHARES[name] for name, graph in GRAPHS.items() if dtype in (name, "both")}

    def usage(self, place: str) -> str:
        return USAGE.format(place=place)


USAGE = """The folder is a web page. Any server of files shows it, and nothing is asked of any other:

```sh
python -m http.server --directory {place} 8000   # then open http://localhost:8000
```
"""


def tokenizer_json(tokenizer: Tokenizer) -> str:
    """The text of tokenizer.json. Raises UserError where it cuts text in a way that the page's script does not know."""
    with tempfile.TemporaryDirectory() as work:
        tokenizer.save(Path(work))
        text = (Path(work) / "tokenizer.json").read_text(encoding="utf-8")
    rules: dict[str, Any] = json.loads(text)
    cutting = rules.get("pre_tokenizer") or {}
    model = rules["model"]
    known = (
        (cutting.get("type"), cutting.get("add_prefix_space"), cutting.get("use_regex", True))
        == ("ByteLevel", False, True)
        and rules.get("normalizer") is None
        and not model.get("byte_fallback")
        and not model.get("ignore_merges")
        and all(token["special"] for token in rules["added_tokens"])
    )
    if not known:
        raise UserError("the page knows tokenizers that cut text as GPT-2's does, and this one cuts it otherwise")
    return text


def _about(source: Source, folder: Path) -> dict[str, Any]:
    """What the page has to know before it fetches the rest."""
    recipe, config = source.recipe, source.recipe.model
    graphs = [name for name in GRAPHS if (folder / GRAPHS[name]).is_file()]
    return {
        "name": recipe.name,
        "parameters": count_parameters(config).total,
        "context": config.context_length,
        "vocabulary": source.tokenizer.vocab_size,
        "end": source.tokenizer.eos_id,
        "prompts": list(recipe.train.prompts or PROMPTS),
        "runtime": _file(folder, "runtime/ort.wasm"),
        "tokenizer": _file(folder, "model/tokenizer.json"),
        "models": [{"kind": name, **_file(folder, GRAPHS[name])} for name in graphs],
    }


def _file(folder: Path, name: str) -> dict[str, Any]:
    """A file that the page fetches: its size is for the bar, and its version for the browser's cache."""
    content = (folder / name).read_bytes()
    return {"file": name, "bytes": len(content), "version": hashlib.sha256(content).hexdigest()[:12]}
