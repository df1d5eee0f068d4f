"""Twins and circuits: which pairs are used, what a circuit keeps, and what the sentence says."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from talewright.evaluate.multiple_choice.scoring import Question
from talewright.inspect.circuits.attention import LOOKS, attention_shares, describe_look, word_masks
from talewright.inspect.circuits.circuit import Circuit, Effect, circuit_json, find_circuit, grow
from talewright.inspect.circuits.graph import LOGITS, Graph
from talewright.inspect.circuits.sentence import circuit_sentence
from talewright.inspect.circuits.twins import Twins, make_twins
from talewright.inspect.parts import Part
from tests.inspect.cases import small_config, small_tokenizer
from tests.model.shapes import lively_model

TOKENIZER = small_tokenizer()


def pair(first: str, second: str, endings: tuple[str, str]) -> list[Question]:
    return [Question("context", text, endings, answer) for answer, text in enumerate((first, second))]


def questions() -> list[Question]:
    return [
        *pair("Tom met the dog. He saw the", "Tom met the bird. He saw the", (" dog.", " bird.")),
        *pair("One day Tom ran to the park with a red ball. He met", "Tom ran. He met", (" Lily.", " Tom.")),
        *pair("Lily ran", "Tom ran", (" to the dog.", " to the park.")),
    ]


def test_twins_of_unequal_length_are_counted_and_left_out() -> None:
    twins = make_twins("context", questions(), TOKENIZER, 64)
    assert (twins.pairs, twins.skipped) == (2, 1)
    for row, text in ((0, " He saw the"), (2, " ran to the")):  # shared words of the endings belong to the prompt
        for side in (twins.clean, twins.corrupt):
            assert TOKENIZER.decode(side[row, 1 : twins.last[row] + 1].tolist()).endswith(text)
    assert [TOKENIZER.decode([int(token)]) for token in twins.right] == [" dog", " bird", " dog", " park"]
    assert twins.wrong.tolist() == [twins.right[i].item() for i in (1, 0, 3, 2)]
    assert torch.equal(twins.clean[0], twins.corrupt[1])
    assert torch.equal(twins.clean[1], twins.corrupt[0])
    short = make_twins("context", questions(), TOKENIZER, 6)  # too long a prompt for the context
    assert (short.pairs, short.skipped) == (1, 2)
    assert make_twins("facts", questions(), TOKENIZER, 64).pairs == 0


def drawn_twins(seed: int = 0, pairs: int = 6) -> Twins:
    generator = torch.Generator().manual_seed(seed)
    first = torch.randint(400, (pairs, 9), generator=generator)
    second = first.clone()
    second[:, 4] = (second[:, 4] + 7) % 400
    right = torch.randint(400, (pairs,), generator=generator)
    wrong = (right + 3) % 400
    both = [
        torch.stack(each, 1).flatten(0, 1)
        for each in ((first, second), (second, first), (right, wrong), (wrong, right))
    ]
    return Twins(
        kind="drawn",
        clean=both[0],
        corrupt=both[1],
        right=both[2],
        wrong=both[3],
        last=torch.full((2 * pairs,), 8),
        skipped=1,
    )


def oriented(model, twins: Twins) -> Twins:
    """The answers named so that the model is right in every pair."""
    logits = model(twins.clean)[torch.arange(len(twins.clean)), twins.last]
    rows = torch.arange(len(twins.clean))
    margins = (logits[rows, twins.right] - logits[rows, twins.wrong]).view(-1, 2).sum(1).repeat_interleave(2)
    right, wrong = (
        torch.where(margins > 0, twins.right, twins.wrong),
        torch.where(margins > 0, twins.wrong, twins.right),
    )
    return replace(twins, right=right, wrong=wrong)


@torch.no_grad()
def test_a_found_circuit_is_consistent() -> None:
    model = lively_model(small_config(), 2)
    twins = oriented(model, drawn_twins())
    circuit = find_circuit(model, twins)
    assert circuit.known
    rows = torch.arange(12)
    logits = model(twins.clean)[rows, twins.last]
    assert circuit.margin == pytest.approx(
        float((logits[rows, twins.right] - logits[rows, twins.wrong]).mean()), rel=1e-4
    )
    assert circuit.faithfulness is not None
    assert circuit.faithfulness > 0.5
    assert 0 < len(circuit.edges) <= 21
    assert circuit.all_edges == len(Graph(model.config).edges.nonzero())
    assert {target for _, target in circuit.edges} >= {LOGITS}
    assert set(circuit.parts) == {Part(layer, head) for layer in (0, 1) for head in (0, 1, None)}
    values = circuit_json(circuit)
    assert values["skipped_pairs"] == 1
    assert len(values["edges"]) == len(circuit.edges)
    assert circuit.incompleteness is not None
    assert circuit.left is not None
    assert circuit.incompleteness >= abs(circuit.left)
    silent = lively_model(small_config(), 2)
    for parameter in silent.norm.parameters():
        parameter.zero_()  # every logit the same: no preference
    assert not find_circuit(silent, twins).known


def test_a_circuit_grows_backward_from_the_logits_without_dead_ends() -> None:
    graph = Graph(small_config())
    shares = torch.zeros(graph.edges.shape)
    at = {
        name: index for index, name in enumerate(["embedding", "0.0", "0.1", "MLP 0", "1.0", "1.1", "MLP 1", "logits"])
    }

    def put(source: str, target: str, value: float) -> None:
        shares[at[source], at[target] - 1] = value

    put("embedding", "0.0", 9.0)  # large, but leads nowhere until 0.0 is in
    put("MLP 1", "logits", -3.0)
    put("0.0", "logits", 1.0)
    put("1.0", "MLP 1", 0.5)  # nothing reaches 1.0
    edges = {(u, v + 1) for u, v in grow(graph, shares, 4).nonzero().tolist()}
    assert edges == {(at["0.0"], at["logits"]), (at["embedding"], at["0.0"])}


def test_attention_is_shared_among_the_kinds_of_words() -> None:
    model, twins = lively_model(small_config(), 2), drawn_twins()
    masks = word_masks(twins)
    assert masks["difference"][0].nonzero().tolist() == [[t, 4] for t in range(5, 9)]
    shares = attention_shares(model, Graph(model.config), twins, [Part(0, 1), Part(1, 0)])
    for each in shares.values():
        assert list(each) == list(LOOKS)
        assert all(0 <= value <= 1 for value in each.values())
    assert describe_look(dict.fromkeys(LOOKS, 0.1)) == "which looks at many words"
    assert describe_look({**dict.fromkeys(LOOKS, 0.1), "previous": 0.5}) == "which looks at the word just before"


def circuit_of(effects: dict[Part, float], **changes: object) -> Circuit:
    values = {
        "kind": "context", "pairs": 5, "skipped": 0, "margin": 1.0, "error": 0.1, "edges": {}, "all_edges": 9,
        "faithfulness": 0.8, "left": 0.1, "incompleteness": 0.2, "looks": {},
        "parts": {part: Effect(estimate=0.0, measured=value) for part, value in effects.items()},
    }  # fmt: skip
    return Circuit(**{**values, **changes})  # pyright: ignore[reportArgumentType]


def test_the_sentence_names_the_parts_in_the_order_of_their_effect() -> None:
    look = {Part(1, 0): {**dict.fromkeys(LOOKS, 0.0), "answer": 0.6}}
    effects = {Part(0): 0.05, Part(1, 0): 0.6, Part(1, 1): -0.2, Part(1): 0.3}
    assert circuit_sentence(circuit_of(effects, looks=look)) == (
        "Mostly head 1.0, which looks back at the place where the answer was mentioned, and the last feed-forward "
        "layer. Head 1.1 works against it."
    )
    assert circuit_sentence(circuit_of({Part(0): 0.05, Part(1): 0.01})) == (
        "No single part: the one that matters most, the first feed-forward layer, makes 5 % of it."
    )
    assert "ahead by 0.10 nats on average (standard error 0.10)" in circuit_sentence(circuit_of({}, margin=0.1))
    assert "nothing to compare" in circuit_sentence(circuit_of({}, pairs=0))
