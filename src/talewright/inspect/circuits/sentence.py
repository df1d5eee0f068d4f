"""A circuit in a sentence that needs no knowledge of transformers."""

from __future__ import annotations

from talewright.inspect.circuits.attention import describe_look
from talewright.inspect.circuits.circuit import Circuit
from talewright.inspect.parts import Part

NOTABLE = 0.1
"""A part is named if this share of the preference is gone without it."""
NAMED = 3
"""The most parts that are named."""


def circuit_sentence(circuit: Circuit) -> str:
    """Which parts prefer the right answers, by the measured effects."""
    if not circuit.pairs:
        return "No pair of these questions has prompts of the same number of tokens, so there is nothing to compare."
    if not circuit.known:
        return (
            f"The model does not reliably prefer the right answers: they are ahead by {circuit.margin:.2f} ± "
            f"{circuit.error:.2f} nats on average, so there is no part that does it."
        )
    effects = {part: effect.measured for part, effect in circuit.parts.items() if effect.measured is not None}
    ordered = sorted(effects, key=lambda part: -effects[part])
    layers = 1 + max(part.layer for part in circuit.parts)
    helping = [part for part in ordered if effects[part] >= NOTABLE][:NAMED]
    against = [part for part in reversed(ordered) if effects[part] <= -NOTABLE][:1]
    if helping:
        text = f"Mostly {_joined([_described(part, circuit, layers) for part in helping])}."
    else:
        share = f"{100 * effects[ordered[0]]:.0f} %"
        text = f"No single part: the one that matters most, {part_words(ordered[0], layers)}, makes {share} of it."
    if against:
        text += f" {_capitalized(part_words(against[0], layers))} works against it."
    return text


def part_words(part: Part, layers: int) -> str:
    """What to call a part in a sentence."""
    if part.head is not None:
        return f"head {part.name}"
    if layers == 1:
        return "the feed-forward layer"
    special = {0: "the first feed-forward layer", layers - 1: "the last feed-forward layer"}
    return special.get(part.layer, f"feed-forward layer {part.layer}")


def _described(part: Part, circuit: Circuit, layers: int) -> str:
    words = part_words(part, layers)
    return f"{words}, {describe_look(circuit.looks[part])}" if part in circuit.looks else words


def _joined(items: list[str]) -> str:
    """With commas around what has commas itself."""
    if len(items) == 1:
        return items[0]
    return f"{', '.join(items[:-1])}, and {items[-1]}"


def _capitalized(text: str) -> str:
    return text[:1].upper() + text[1:]
