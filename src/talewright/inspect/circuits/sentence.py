"""A circuit in a sentence that needs no knowledge of transformers."""

from __future__ import annotations

from collections.abc import Mapping

from talewright.inspect.circuits.attention import describe_look
from talewright.inspect.circuits.circuit import FAITHFUL, Circuit
from talewright.inspect.parts import Part

NOTABLE = 0.1
"""A part is named if this share of the preference is gone without it."""
NAMED = 3
"""The most parts that are named."""


def circuit_sentence(circuit: Circuit, roles: Mapping[Part, str] | None = None) -> str:
    """Which parts prefer the right answers, by the measured effects.

    roles: by head, the role that it has in stories (`heads.Head.role`), to be said of the heads that are named.
    """
    if not circuit.pairs:
        return "No pair of these questions has prompts of the same number of tokens, so there is nothing to compare."
    if not circuit.known:
        return (
            f"The model does not reliably prefer the right answers: they are ahead by {circuit.margin:.2f} nats on "
            f"average (standard error {circuit.error:.2f}), so there is no part that does it."
        )
    effects = {part: effect.measured for part, effect in circuit.parts.items() if effect.measured is not None}
    ordered = sorted(effects, key=lambda part: -effects[part])
    layers = 1 + max(part.layer for part in circuit.parts)
    helping = [part for part in ordered if effects[part] >= NOTABLE][:NAMED]
    against = [part for part in reversed(ordered) if effects[part] <= -NOTABLE][:1]
    if helping:
        text = f"Mostly {_joined([_described(part, circuit, layers, roles or {}) for part in helping])}."
    else:
        share = percent(effects[ordered[0]])
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


def size_sentences(circuit: Circuit) -> str:
    """How small the circuit is, what it keeps, and what is left without it; empty if there is none."""
    if not circuit.edges or circuit.faithfulness is None or circuit.left is None or circuit.incompleteness is None:
        return ""
    kept, left = percent(circuit.faithfulness), percent(circuit.left)
    single = len(circuit.edges) == 1
    these = f"{'this' if single else 'these'} {len(circuit.edges)} of {circuit.all_edges:,} connections"
    rest = f"without {'it' if single else 'them'}, {left} is left."
    if circuit.faithfulness >= FAITHFUL:
        text = f"{_capitalized(these)} alone {'keeps' if single else 'keep'} {kept} of the preference; {rest}"
    else:
        text = f"No small circuit keeps {percent(FAITHFUL)} of the preference. The best, {these}, keeps {kept}; {rest}"
    return (
        f"{text} With the same part, or the whole circuit, taken out of both, it and the model differ by up to "
        f"{percent(circuit.incompleteness)}: the less, the more complete. It was chosen on the same questions that "
        "score it."
    )


def pairs_sentence(circuit: Circuit) -> str:
    """How many pairs of questions could be used."""
    text = f"{circuit.pairs} of {circuit.pairs + circuit.skipped} pairs of questions could be used"
    return (
        f"{text}; the twins of the others differ in their number of tokens, or do not fit."
        if circuit.skipped
        else f"{text}."
    )


def percent(share: float) -> str:
    """A share, without a minus before 0."""
    return f"{round(100 * share)} %".replace("-", "−")


def _described(part: Part, circuit: Circuit, layers: int, roles: Mapping[Part, str]) -> str:
    words = part_words(part, layers)
    role = roles.get(part, "mixed")
    if role != "mixed":
        words += f" (in stories {'an' if role[0] in 'aeiou' else 'a'} {role} head)"
    return f"{words}, {describe_look(circuit.looks[part])}" if part in circuit.looks else words


def _joined(items: list[str]) -> str:
    """With commas around what has commas itself."""
    if len(items) == 1:
        return items[0]
    return f"{', '.join(items[:-1])}, and {items[-1]}"


def _capitalized(text: str) -> str:
    return text[:1].upper() + text[1:]
