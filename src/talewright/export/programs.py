"""Programs other than transformers that run its classes, and for which models each of them computes the same.

A class that bears the name is not enough: some leave out biases or local layers, without an error. MLX is tested
(`tests/export/test_programs.py`); vLLM needs a GPU and was not tried, its conditions are read from its code.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Condition = Callable[[Mapping[str, Any]], bool]
"""Whether a model with that config.json computes the same."""


def _always(config: Mapping[str, Any]) -> bool:
    return True


def _plain_qwen3(config: Mapping[str, Any]) -> bool:
    """Without the biases of attention's output, and with the same attention in every layer."""
    return not config["attention_bias"] and not config["use_sliding_window"]


def _tied(config: Mapping[str, Any]) -> bool:
    """Without an output layer of its own, which the class does not read."""
    return config["tie_word_embeddings"]


@dataclass(frozen=True)
class Program:
    """A program that reads the folder of `--to hf`."""

    name: str
    classes: Mapping[str, Condition]
    """The classes of transformers that it has, each with the condition under which it computes the same."""
    commands: tuple[str, ...]
    """How to generate with it: {model} is the folder or repository, {name} the folder's name."""

    def runs(self, config: Mapping[str, Any]) -> bool:
        condition = self.classes.get(config["architectures"][0])
        return condition is not None and condition(config)


PROGRAMS = (
    Program(
        "vLLM",
        {"LlamaForCausalLM": _always, "Qwen3ForCausalLM": _plain_qwen3, "GPT2LMHeadModel": _tied},
        ("vllm serve {model}",),
    ),
    Program(
        "MLX",
        {"LlamaForCausalLM": _always, "Qwen3ForCausalLM": _plain_qwen3},
        (
            "mlx_lm.convert --hf-path {model} --mlx-path {name}",
            'mlx_lm.generate --model {name} --prompt "Once upon a time" --temp 0.8 --top-p 0.95',
        ),
    ),
)


def program_commands(config: Mapping[str, Any], model: str) -> dict[str, list[str]]:
    """The commands of each program that computes the same, for a folder or repository with that config.json."""
    name = model.rstrip("/").rpartition("/")[2] + "-mlx"
    places = {"model": shlex.quote(model), "name": shlex.quote(name)}
    return {
        program.name: [command.format(**places) for command in program.commands]
        for program in PROGRAMS
        if program.runs(config)
    }
