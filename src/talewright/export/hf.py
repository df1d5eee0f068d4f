"""The class that transformers already has, wherever it computes exactly the same: no code of ours is needed there."""

from __future__ import annotations

from pathlib import Path

from talewright.config import ModelConfig
from talewright.export.adapters import choose_layout, laid_out
from talewright.export.pretrained import BOUNDS, EXTRA, PACKAGES, write_config, write_tokenizer, write_weights
from talewright.export.target import Source, Target


class HuggingFace(Target):
    name = "hf"
    extra = EXTRA
    packages = PACKAGES
    bounds = BOUNDS
    client = "hf"

    def why_not(self, config: ModelConfig) -> str | None:
        layout, reason = choose_layout(config)
        if layout is not None:
            return None
        return f"no class of transformers computes the same, since {reason}; --to hf-remote takes any model"

    def write(self, source: Source, folder: Path, dtype: str) -> None:
        layout, _ = choose_layout(source.recipe.model)
        if layout is None:
            raise ValueError("why_not was not asked")
        config, tensors = laid_out(source.model, layout)
        settings = {"architectures": [layout.architecture], "model_type": layout.model_type, **layout.settings(config)}
        write_config(folder, settings, config, source.tokenizer, dtype)
        write_weights(folder, tensors, dtype)
        write_tokenizer(folder, source.tokenizer, config.context_length)

    def usage(self, place: str) -> str:
        return USAGE.format(place=place)


USAGE = """```python
from transformers import pipeline

tell = pipeline("text-generation", model="{place}")
print(tell("Once upon a time", max_new_tokens=200)[0]["generated_text"])
```
"""
