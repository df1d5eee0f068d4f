"""The model as transformers sees it. This module is not imported here: it is the end of the one file, made by
`remote.py`, that goes with a model, and the classes that it imports from `talewright.model` stand before it there.
"""

from __future__ import annotations

import dataclasses
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import DynamicCache, GenerationMixin, PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutputWithPast

from talewright.config import ModelConfig
from talewright.model.attention import Placement, _visible, attention_scores
from talewright.model.gpt import GPT, Block, _position_table
from talewright.model.kv_cache import LayerCache


class TalewrightConfig(PretrainedConfig):
    """The settings of `ModelConfig` under their own names; `tied` is called `tie_word_embeddings` here."""

    model_type = "talewright"
    keys_to_ignore_at_inference = ["past_key_values"]  # noqa: RUF012  (so the class declares it)
    attribute_map = {  # noqa: RUF012
        "hidden_size": "d_model",
        "intermediate_size": "d_ff",
        "num_hidden_layers": "n_layers",
        "num_attention_heads": "n_heads",
        "num_key_value_heads": "n_kv_heads",
        "max_position_embeddings": "context_length",
    }

    def __init__(self, **settings: Any) -> None:
        for field in dataclasses.fields(ModelConfig):
            if field.name != "tied":
                value = settings.pop(field.name, field.default)
                setattr(self, field.name, list(value) if isinstance(value, tuple) else value)
        if self.n_kv_heads is None:
            self.n_kv_heads = self.n_heads
        settings.setdefault("tie_word_embeddings", True)
        super().__init__(**settings)

    def shape(self) -> ModelConfig:
        """The same as our model takes it. Raises ValueError, naming every setting that is wrong."""
        names = [field.name for field in dataclasses.fields(ModelConfig) if field.name != "tied"]
        values = {name: getattr(self, name) for name in names}
        values = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
        config = ModelConfig(**values, tied=self.tie_word_embeddings)
        if problems := "; ".join(config.problems()):
            raise ValueError(problems)
        return config


class Past:
    """The tokens that are already read: transformers' cache, in the form in which our attention writes to it."""

    even = True

    def __init__(self, cache: Any, length: int) -> None:
        self.cache, self.longest = cache, length

    def layer(self, number: int) -> LayerCache:
        return cast(LayerCache, _PastLayer(self.cache, number))


class _PastLayer:
    def __init__(self, cache: Any, number: int) -> None:
        self.cache, self.number = cache, number

    def append(self, k: Tensor, v: Tensor, positions: Tensor, stop: int) -> tuple[Tensor, Tensor]:
        """Store k and v (B, K, T, d), where there is a cache; return all that is stored below `stop`."""
        if self.cache is not None:
            k, v = self.cache.update(k, v, self.number)
        return k[:, :, :stop], v[:, :, :stop]


class TalewrightForCausalLM(PreTrainedModel, GenerationMixin):
    """Talewright's GPT behind the interface of transformers: padding on any side, labels, generation with a cache."""

    config_class = TalewrightConfig
    base_model_prefix = "gpt"
    main_input_name = "input_ids"
    _supports_sdpa = True

    def __init__(self, config: TalewrightConfig) -> None:
        super().__init__(config)
        self.gpt = GPT(config.shape())
        self.post_init()

    def forward(
        self,
        input_ids: Tensor | None = None,  # (B, T)
        attention_mask: Tensor | None = None,  # (B, S), 0 at padding; S counts the tokens of the cache too
        position_ids: Tensor | None = None,  # (B, T)
        past_key_values: Any = None,
        labels: Tensor | None = None,  # (B, T), -100 where not scored; shifted here
        use_cache: bool | None = None,
        logits_to_keep: int | Tensor = 0,
        output_hidden_states: bool | None = None,
        output_attentions: bool | None = None,
        return_dict: bool | None = None,
        **kwargs: Any,
    ) -> Any:
        """Logits (B, T, V) of the token after each, and with labels their mean loss."""
        if input_ids is None or kwargs.get("inputs_embeds") is not None:
            raise ValueError("this model reads input_ids alone, not inputs_embeds")
        if use_cache is None:
            use_cache = not self.training and labels is None
        if use_cache and past_key_values is None:
            past_key_values = DynamicCache()
        length = 0 if past_key_values is None else int(past_key_values.get_seq_length())
        placed = self._place(input_ids, attention_mask, position_ids, length)
        x, placed = self.gpt.embed_at(input_ids, placed)
        masked = any(mask is not None and mask.dim() == 4 for mask in placed.masks.values())
        past = Past(past_key_values, length) if masked or past_key_values is not None else None
        states, attentions = [], []
        for i, block in enumerate(cast("list[Block]", self.gpt.blocks)):
            states.append(x)
            if output_attentions:
                attentions.append(self._attention(block, x, placed, length))
            x = block(x, placed, past.layer(i) if past else None)
        x = self.gpt.norm(x)
        kept = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        logits = self.gpt.logits(x[:, kept])
        output = CausalLMOutputWithPast(
            loss=cast(Any, self._loss(logits, labels, kwargs)),
            logits=cast(Any, logits),
            past_key_values=past_key_values if use_cache else None,
            hidden_states=cast(Any, (*states, x)) if output_hidden_states else None,
            attentions=cast(Any, tuple(attentions)) if output_attentions else None,
        )
        return output.to_tuple() if return_dict is False else output

    def _place(self, tokens: Tensor, real: Tensor | None, positions: Tensor | None, length: int) -> Placement:
        """Where the tokens (B, T) stand, after `length` that the cache holds, and what they see of all S = length + T.

        `real` (B, S) is 0 at padding, which no token sees but padding itself, that its softmax has something to sum.
        """
        stop = length + tokens.shape[1]
        if real is not None and tuple(real.shape) != (len(tokens), stop):
            raise ValueError(f"attention_mask is {tuple(real.shape)}; here it is {(len(tokens), stop)}, cache included")
        if real is not None and real.all():
            real = None
        here = torch.arange(length, stop, device=tokens.device)
        if positions is None:
            positions = here if real is None else (real.long().cumsum(-1) - 1).clamp(min=0)[:, length:]
        context = self.gpt.config.context_length
        if stop > context and int(positions.max()) >= context:
            raise ValueError(
                f"a text of {int(positions.max()) + 1} tokens is beyond this model's context of {context}: cut it to "
                f"its last {context}, or ask for fewer new tokens (max_length={context} goes to the end)"
            )
        masks: dict[int | None, Tensor | None] = {}
        for window in self.gpt.windows:
            if real is not None:
                seen = _visible(here, stop, window) & real.bool()[:, None, None, :]  # (B, 1, T, S)
                masks[window] = seen | (here[:, None] == torch.arange(stop, device=tokens.device))
            elif (length == 0 or tokens.shape[1] == 1) and (window is None or window >= stop):
                masks[window] = None
            else:
                masks[window] = _visible(here, stop, window)
        return Placement(positions, None, masks, causal=length == 0, stop=stop)

    def _attention(self, block: Block, x: Tensor, placed: Placement, length: int) -> Tensor:
        if length:
            raise ValueError("attention weights are shown of a whole text alone: output_attentions with no cache")
        attention = block.attention
        q, k, _ = attention.project(block.norm1(x) if block.pre_norm else x, placed)
        return attention_scores(q, k, placed.masks[attention.window], placed.causal, attention.scale).softmax(-1)

    def _loss(self, logits: Tensor, labels: Tensor | None, kwargs: dict[str, Any]) -> Tensor | None:
        if labels is None:
            return None
        count = {"num_items_in_batch": kwargs["num_items_in_batch"]} if "num_items_in_batch" in kwargs else {}
        return self.loss_function(logits, labels, vocab_size=self.config.vocab_size, **count)

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, GPT):
            _fill_table(module)

    @classmethod
    def from_pretrained(cls, *given: Any, **options: Any) -> Any:
        found = super().from_pretrained(*given, **options)
        model = found[0] if isinstance(found, tuple) else found
        if model.gpt.table is not None and model.gpt.table.is_meta:  # transformers 4 leaves it without values
            _fill_table(model.gpt)
        return found

    def get_input_embeddings(self) -> nn.Module:
        return self.gpt.embedding

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.gpt.embedding = cast(nn.Embedding, value)

    def get_output_embeddings(self) -> nn.Module | None:
        return self.gpt.head

    def set_output_embeddings(self, new_embeddings: nn.Module) -> None:
        self.gpt.head = cast(nn.Linear, new_embeddings)


def _fill_table(gpt: GPT) -> None:
    """Compute the table of positions, where there is one: no file holds it."""
    table = _position_table(gpt.config)
    if table is not None:
        gpt.table = table.to(gpt.output_weight.device)
