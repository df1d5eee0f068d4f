"""The circuits of every kind of twin question, and what the report says of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from talewright.data.preparation.progress import StageProgress
from talewright.errors import UserError
from talewright.evaluate.multiple_choice.understanding import KINDS, understanding_questions
from talewright.files import error_reason, write_json
from talewright.inspect.circuits.circuit import Circuit, circuit_json, find_circuit, most_passes
from talewright.inspect.circuits.graph import check_pre_norm
from talewright.inspect.circuits.sentence import circuit_sentence, pairs_sentence, size_sentences
from talewright.inspect.circuits.twins import make_twins
from talewright.inspect.parts import Part
from talewright.model.gpt import GPT
from talewright.tokenizer import Tokenizer

RESULT = "circuits.json"


@dataclass(frozen=True, kw_only=True)
class CircuitInspection:
    """The circuits of a model at one checkpoint."""

    step: int
    circuits: list[Circuit]
    """One of each kind of question."""
    roles: dict[Part, str]
    """By head, the role that it has in stories, or "mixed"."""

    def sentence(self, circuit: Circuit) -> str:
        """Which parts do it."""
        return circuit_sentence(circuit, self.roles)

    def to_json(self) -> dict[str, Any]:
        return {
            "step": self.step,
            "roles": {part.name: role for part, role in self.roles.items()},
            "circuits": [circuit_json(circuit, self.roles) for circuit in self.circuits],
        }

    def summary(self) -> str:
        """A paragraph for each kind."""
        texts = (
            f"{circuit.kind}: {self.sentence(circuit)} {size_sentences(circuit)}".rstrip()
            + f" {pairs_sentence(circuit)}"
            for circuit in self.circuits
        )
        return "\n\n".join(texts)


def find_circuits(model: GPT, tokenizer: Tokenizer, roles: Mapping[Part, str], step: int) -> CircuitInspection:
    """The circuit of each kind of understanding question, with progress on standard error.

    Raises UserError for a post-norm model.
    """
    check_pre_norm(model.config)
    questions, circuits = understanding_questions(), []
    twins = [make_twins(kind, questions, tokenizer, model.config.context_length) for kind in KINDS]
    passes = [len(each.clean) * most_passes(model) for each in twins]
    with StageProgress("finding circuits", "passes", sum(passes)) as progress:
        for number, each in enumerate(twins, 1):
            circuits.append(find_circuit(model, each, progress.advance))
            progress.advance(max(0, sum(passes[:number]) - progress.done))  # those that were not needed
    return CircuitInspection(step=step, circuits=circuits, roles=dict(roles))


def write_circuits(found: CircuitInspection, path: Path) -> None:
    """Write them as JSON. Raises UserError if the file cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, found.to_json())
    except OSError as error:
        raise UserError(f"cannot write {path}: {error_reason(error)}") from None
