"""A story's model with parts switched off, or steered: what it predicts on the story, and what it writes instead."""

from __future__ import annotations

import codecs
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from talewright.data import bundled
from talewright.generate.engine import Engine
from talewright.inspect.interventions import Means, Steering, intervened, mean_outputs, steering_vector
from talewright.inspect.parts import parse_part
from talewright.inspect.predictions import TokenPredictions
from talewright.inspect.sequences import display_token, make_sequence
from talewright.model.gpt import GPT
from talewright.server.registry import LoadedModel
from talewright.server.scheduler import Generation, user_message
from talewright.studio.word_probabilities import predict_long, read_tokens
from talewright.tokenizer import Tokenizer

AVERAGED = 40
"""Number of stories of the bundled grammar over which a part's output is averaged."""


@dataclass(frozen=True, kw_only=True)
class Change:
    """What is changed in a model. `Change()` changes nothing."""

    switched_off: tuple[str, ...] = ()
    """Names of parts: "1.2" for head 2 of layer 1, "MLP 1" for the feed-forward layer."""
    average: bool = False
    """Whether such a part puts out its average, instead of 0."""
    toward: tuple[str, ...] = ()
    away: tuple[str, ...] = ()
    """Two sets of texts, whose difference is the direction."""
    layer: int = 0
    """The layer after which the direction is added to the residual stream."""
    strength: float = 0.0
    """Factor of the direction; 0 for no steering."""

    @property
    def nothing(self) -> bool:
        return not self.switched_off and not self.strength

    @property
    def words(self) -> str:
        """The change in a few words."""
        off = f"without {', '.join(self.switched_off)}" if self.switched_off else ""
        steered = f"steered by {self.strength:g} after layer {self.layer}" if self.strength else ""
        return " and ".join(filter(None, (off, steered))) or "unchanged"


@contextmanager
def changed_model(loaded: LoadedModel, change: Change) -> Iterator[GPT]:
    """The model with the change. Raises UserError if it has no such part or layer, or a set of texts is empty."""
    model, tokenizer = loaded.model, loaded.tokenizer
    parts = [parse_part(name, model.config) for name in change.switched_off]
    steering = []
    if change.strength:
        vector = steering_vector(model, tokenizer, change.toward, change.away, change.layer)
        steering.append(Steering(layer=change.layer, vector=vector, strength=change.strength))
    means = _means(model, tokenizer) if change.average and parts else None
    with intervened(model, parts, means, steering) as changed:
        yield changed


def predicted(loaded: LoadedModel, story: Generation, change: Change) -> list[dict[str, Any]]:
    """For each token of the story, its losses and the most probable tokens, `before` and `after` the change."""
    tokenizer = loaded.tokenizer
    tokens = read_tokens(story, tokenizer)
    if len(tokens) < 2:
        return []
    before = predict_long(loaded.model, tokens)
    with changed_model(loaded, change) as changed:
        after = before if change.nothing else predict_long(changed, tokens)
    return [
        {
            "t": display_token(tokenizer, int(token)),
            "before": _row(before, i, tokenizer),
            "after": _row(after, i, tokenizer),
        }
        for i, token in enumerate(tokens[1:])
    ]


def mean_losses(rows: Sequence[dict[str, Any]]) -> tuple[float, float]:
    """The mean loss before and after, in nats per token."""
    before, after = (float(np.mean([row[key]["loss"] for row in rows])) for key in ("before", "after"))
    return before, after


def begin_again(story: Generation) -> Generation:
    """A generation like that story, with the same prompt, settings and seed, that nothing has been written of."""
    sampling = replace(story.sampling, max_new_tokens=max(len(story.tokens), 1))
    again = Generation(user=story.user, choice=story.choice, prompt=story.prompt, sampling=sampling)
    again.prompt_tokens, again.label = story.prompt_tokens, story.label
    return again


def generate_changed(loaded: LoadedModel, change: Change, generation: Generation) -> None:
    """Generate with the changed model until the story ends, or is stopped; an error is kept in the generation."""
    decoder, tokenizer = codecs.getincrementaldecoder("utf-8")("replace"), loaded.tokenizer
    prompt = generation.prompt_tokens or []
    generation.state = "generating"
    try:
        with changed_model(loaded, change) as changed:
            stream = Engine(changed, tokenizer, notify=generation.notes.append).stream_tokens(
                prompt, generation.sampling
            )
            while not generation.abandoned:
                token = next(stream)
                piece = tokenizer.after_prompt(token, first=not prompt and not generation.tokens)
                generation.tokens = [*generation.tokens, token]
                generation.continuation += decoder.decode(piece)
    except StopIteration as end:
        generation.finished = bool(end.value)
    except Exception as error:
        generation.error = user_message(error)
    finally:
        generation.state = "done"


def _row(predictions: TokenPredictions, i: int, tokenizer: Tokenizer) -> dict[str, Any]:
    pairs = zip(predictions.top_tokens[i].tolist(), predictions.top_probabilities[i].tolist(), strict=True)
    top = [[display_token(tokenizer, token), round(p, 4)] for token, p in pairs]
    return {"loss": round(float(predictions.losses[i]), 3), "top": top}


_averages: dict[int, tuple[GPT, Means]] = {}


def _means(model: GPT, tokenizer: Tokenizer) -> Means:
    """The average outputs of the newest model that was asked for."""
    if id(model) not in _averages:
        context = model.config.context_length
        stories = tokenizer.encode_batch(list(bundled.stories(AVERAGED)))
        sequences = [make_sequence(ids, tokenizer.separator, context) for ids in stories]
        _averages.clear()
        _averages[id(model)] = model, mean_outputs(model, sequences)
    return _averages[id(model)][1]
