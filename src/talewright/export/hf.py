"""The transformers class that computes exactly the same, if there is one: it needs no code of ours."""

from __future__ import annotations

from pathlib import Path

from talewright.config import ModelConfig
from talewright.export.adapters import adapt, choose_adapter
from talewright.export.pretrained import (
    BOUNDS,
    EXTRA,
    READER_PACKAGES,
    pipeline_command,
    write_config,
    write_tokenizer,
    write_weights,
)
from talewright.export.target import ExportSource, ExportTarget


class HuggingFace(ExportTarget):
    name = "hf"
    extra = EXTRA
    reader_packages = READER_PACKAGES
    bounds = BOUNDS
    reader = "hf"
    library = "transformers"
    usage_template = """```python
from transformers import pipeline

generator = pipeline("text-generation", model="{place}")
print(generator("Once upon a time")[0]["generated_text"])
```
"""

    def unsupported_reason(self, config: ModelConfig) -> str | None:
        adapter, reason = choose_adapter(config)
        if adapter is not None:
            return None
        return f"no class of transformers computes the same: {reason}. --to hf-remote takes any model"

    def commands(self, folder: Path) -> dict[str, str]:
        return {"transformers": pipeline_command(folder)}

    def write(self, source: ExportSource, folder: Path, dtype: str) -> None:
        adapter, reason = choose_adapter(source.recipe.model)
        if adapter is None:
            raise ValueError(reason)
        config, tensors = adapt(source.model, adapter)
        classes = {"architectures": [adapter.architecture], "model_type": adapter.model_type}
        write_config(folder, classes | adapter.to_json(config), config, source.tokenizer, dtype)
        write_weights(folder, tensors, dtype)
        write_tokenizer(folder, source.tokenizer, config.context_length)
