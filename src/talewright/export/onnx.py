"""ONNX with cache inputs, laid out as transformers.js and Optimum open it: onnx/model.onnx beside a config.json."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

from talewright.export.adapters import LlamaAdapter
from talewright.export.pretrained import write_config, write_tokenizer
from talewright.export.target import ExportSource, ExportTarget

BOUNDS = {"f32": 1e-4}


class ONNX(ExportTarget):
    name = "onnx"
    extra = "onnx"
    packages = ("onnx", "onnxscript")
    reader_packages = ("onnxruntime",)
    bounds = BOUNDS
    reader = "onnx"
    library = "transformers.js"
    usage_template = """```js
import {{ env, pipeline }} from "@huggingface/transformers";

env.localModelPath = "./"; // folders are looked up here first, then repositories on the hub
const generator = await pipeline("text-generation", "{place}", {{ dtype: "fp32" }});
console.log(await generator("Once upon a time", {{ max_new_tokens: 200, do_sample: true, temperature: 0.8 }}));
```
"""

    def commands(self, folder: Path) -> dict[str, str]:
        place = folder.resolve()
        parent, name = (json.dumps(text, ensure_ascii=False) for text in (f"{place.parent}/", place.name))
        script = (
            f'import {{ env, pipeline }} from "@huggingface/transformers"; env.localModelPath = {parent}; '
            f'const generator = await pipeline("text-generation", {name}, {{ dtype: "fp32" }}); '
            'console.log(await generator("Once upon a time", { max_new_tokens: 100 }));'
        )
        return {
            "install": "npm install @huggingface/transformers",
            "run": f"node --input-type=module -e {shlex.quote(script)}",
        }

    def write(self, source: ExportSource, folder: Path, dtype: str) -> None:
        from talewright.export.onnx_graph import write_graph

        config = source.recipe.model
        # Readers of the graph take only the shape of its cache from config.json; a Llama's has heads of any number.
        llama = LlamaAdapter()
        settings = {"architectures": [llama.architecture], "model_type": llama.model_type, **llama.to_json(config)}
        write_config(folder, settings, config, source.tokenizer, dtype)
        write_tokenizer(folder, source.tokenizer, config.context_length)
        (folder / "onnx").mkdir()
        write_graph(source.model, folder / "onnx" / "model.onnx")
