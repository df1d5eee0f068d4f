"""ONNX with cache inputs, laid out as transformers.js and Optimum open it: onnx/model.onnx beside a config.json."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

from talewright.config import ModelConfig
from talewright.export.adapters import LlamaAdapter, NativeAdapter
from talewright.export.pretrained import write_config, write_tokenizer
from talewright.export.target import ExportSource, ExportTarget

BOUNDS = {"f32": 1e-4}
SESSION = (
    "import onnxruntime; session = onnxruntime.InferenceSession({path}); "
    "print(*(each.name for each in session.get_inputs()))"
)
"""For a model whose cache transformers.js does not know: the graph names all that it keeps."""


class ONNX(ExportTarget):
    name = "onnx"
    extra = "onnx"
    packages = ("onnx", "onnxscript")
    reader_packages = ("onnxruntime",)
    bounds = BOUNDS
    reader = "onnx"
    library = "transformers.js"
    usage_template = """```js
import {{ pipeline }} from "@huggingface/transformers";

const generator = await pipeline("text-generation", "{place}", {{ dtype: "fp32" }});
const max_new_tokens = Math.min(200, generator.model.config.max_position_embeddings - 20); // the rest is the prompt
console.log(await generator("Once upon a time", {{ max_new_tokens, do_sample: true, temperature: 0.8 }}));
```
"""

    def usage(self, place: str, config: ModelConfig) -> str:
        if not config.keeps_inputs:
            return super().usage(place, config)
        text = "transformers.js cannot open this model: besides keys and values, its cache holds what short "
        text += "convolutions and bigrams read. onnxruntime can; give each `past_key_values.*` what the last call gave "
        text += "as `present.*`:"
        return f"{text}\n\n```python\n{_session(place)}\n```"

    def commands(self, folder: Path) -> dict[str, str]:
        if json.loads((folder / "config.json").read_text("utf-8"))["model_type"] == NativeAdapter.model_type:
            return {"onnxruntime": f"python -c {shlex.quote(_session(str(folder.resolve())))}"}
        place = json.dumps(str(folder.resolve()), ensure_ascii=False)
        script = (
            'import { pipeline } from "@huggingface/transformers"; '
            f'const generator = await pipeline("text-generation", {place}, {{ dtype: "fp32" }}); '
            "const max_new_tokens = Math.min(100, generator.model.config.max_position_embeddings - 20); "
            'console.log(await generator("Once upon a time", { max_new_tokens }));'
        )
        return {
            "install": "npm install @huggingface/transformers",
            "run": f"node --input-type=module -e {shlex.quote(script)}",
        }

    def write(self, source: ExportSource, folder: Path, dtype: str) -> None:
        from talewright.export.onnx_graph import write_graph

        config = source.recipe.model
        # Readers of the graph take only the shape of its cache from config.json; a Llama's has heads of any number.
        adapter = NativeAdapter() if config.keeps_inputs else LlamaAdapter()
        write_config(folder, adapter, config, source.tokenizer, dtype)
        write_tokenizer(folder, source.tokenizer, config.context_length)
        (folder / "onnx").mkdir()
        write_graph(source.model, folder / "onnx" / "model.onnx")


def _session(place: str) -> str:
    return SESSION.format(path=json.dumps(f"{place}/onnx/model.onnx", ensure_ascii=False))
