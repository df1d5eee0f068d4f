"""The transformers class that computes exactly the same, if there is one: it needs no code of ours."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from talewright.config import ModelConfig
from talewright.export.adapters import adapt, choose_adapter, folded_config
from talewright.export.pretrained import (
    BOUNDS,
    EXTRA,
    READER_PACKAGES,
    pipeline_command,
    write_config,
    write_tokenizer,
    write_weights,
)
from talewright.export.programs import program_commands
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

    def usage(self, place: str, config: ModelConfig) -> str:
        lines = [
            line
            for name, commands in program_commands(_settings(config), place).items()
            for line in (f"# {name}", *commands)
        ]
        others = "\nOther programs that have this class:\n\n```sh\n" + "\n".join(lines) + "\n```\n" if lines else ""
        return super().usage(place, config) + others

    def commands(self, folder: Path) -> dict[str, str]:
        config = json.loads((folder / "config.json").read_text("utf-8"))
        others = program_commands(config, str(folder)).items()
        return {"transformers": pipeline_command(folder)} | {name: " && ".join(commands) for name, commands in others}

    def write(self, source: ExportSource, folder: Path, dtype: str) -> None:
        adapter, reason = choose_adapter(source.recipe.model)
        if adapter is None:
            raise ValueError(reason)
        config, tensors = adapt(source.model, adapter)
        write_config(folder, adapter, config, source.tokenizer, dtype)
        write_weights(folder, tensors, dtype)
        write_tokenizer(folder, source.tokenizer, config.context_length)


def _settings(config: ModelConfig) -> dict[str, Any]:
    """What config.json says of the class of a model of that shape."""
    adapter, _ = choose_adapter(config)
    if adapter is None:
        return {"architectures": [""]}
    shape = folded_config(config, config.attention_scaled)
    return {**adapter.to_json(shape), "architectures": [adapter.architecture], "tie_word_embeddings": shape.tied}
