"""The model as transformers sees it.

Talewright never imports this module: it is the end of the single file, written by `remote.py`, that accompanies an
exported model; the classes that it imports from `talewright.model` stand before it there.
"""

from __future__ import annotations

import dataclasses
from typing import Any, cast

import torch.nn.functional as F
from torch import Tensor, nn
from transformers import DynamicCache, GenerationMixin, PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutputWithPast

from talewright.config import ModelConfig
from talewright.config.model import REACH
from talewright.model.attention import attention_scores
from talewright.model.gpt import GPT, Block, position_table
from talewright.model.kv_cache import KVCache, LayerCache
from talewright.model.masks import AttentionMetadata


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
        """The same settings as our model takes them. Raises ValueError, naming every setting that is wrong."""
        names = [field.name for field in dataclasses.fields(ModelConfig) if field.name != "tied"]
        values = {name: getattr(self, name) for name in names}
        values = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
        config = ModelConfig(**values, tied=self.tie_word_embeddings)
        if problems := "; ".join(config.problems()):
            raise ValueError(problems)
        return config


class TransformersLayerCache(LayerCache):
    """One layer of transformers' cache, in the form in which our model writes to it.

    Inputs that are kept, those of short convolutions and the ids of a bigram embedding, are further layers of that
    cache, keys without values; `inputs` is the number of the first one.
    """

    def __init__(self, cache: Any, layer: int, inputs: int) -> None:
        self.cache, self.layer, self.inputs = cache, layer, inputs

    def append(self, k: Tensor, v: Tensor, positions: Tensor, stop: int) -> tuple[Tensor, Tensor]:
        k, v = self.cache.update(k, v, self.layer)
        return k[:, :, :stop], v[:, :, :stop]

    def extend(self, number: int, x: Tensor, positions: Tensor, stop: int) -> Tensor:
        stored = self.cache.update(x[:, None], x[:, None, :, :0], self.inputs + number)[0][:, 0]
        return F.pad(stored, (0, 0, REACH, 0))[:, -(REACH + x.shape[1]) :]


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
        past = None
        if past_key_values is not None:
            n_layers, inputs = self.gpt.config.n_layers, len(self.gpt.config.convolution_widths)
            layers = [TransformersLayerCache(past_key_values, i, n_layers + inputs * i - 2) for i in range(n_layers)]
            if self.gpt.bigrams is not None:
                layers.append(TransformersLayerCache(past_key_values, n_layers, n_layers + inputs * n_layers))
            length = int(past_key_values.get_seq_length())
            past = KVCache(layers, input_ids.new_full(input_ids.shape[:1], length), length)
            if length and output_attentions:
                raise ValueError("attention weights are shown of a whole text alone: output_attentions with no cache")
        metadata = self._metadata(input_ids, attention_mask, position_ids, past)
        blocks, states, hooks = cast("list[Block]", self.gpt.blocks), cast("list[Tensor]", []), []
        if output_hidden_states or output_attentions:
            hooks = [block.register_forward_pre_hook(lambda _, given: states.append(given[0])) for block in blocks]
        try:
            x = self.gpt.hidden(input_ids, past, metadata)
        finally:
            for hook in hooks:
                hook.remove()
        patterns = (_pattern(block, state, metadata) for block, state in zip(blocks, states, strict=True))
        kept = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        logits = self.gpt.logits(x[:, kept])
        output = CausalLMOutputWithPast(
            loss=cast(Any, self._loss(logits, labels, kwargs)),
            logits=cast(Any, logits),
            past_key_values=past_key_values if use_cache else None,
            hidden_states=cast(Any, (*states, x)) if output_hidden_states else None,
            attentions=cast(Any, tuple(patterns)) if output_attentions else None,
        )
        return output.to_tuple() if return_dict is False else output

    def _metadata(
        self, tokens: Tensor, padding_mask: Tensor | None, positions: Tensor | None, past: KVCache | None
    ) -> AttentionMetadata:
        """Positions and masks of tokens (B, T) after the cache; padding_mask (B, S) as in `attention_metadata`."""
        start = past.longest if past else 0
        stop, context = start + tokens.shape[1], self.gpt.config.context_length
        if padding_mask is not None and tuple(padding_mask.shape) != (len(tokens), stop):
            raise ValueError(
                f"attention_mask is {tuple(padding_mask.shape)}; here it is {(len(tokens), stop)}, cache included"
            )
        if padding_mask is not None and padding_mask.all():
            padding_mask = None
        if positions is None and padding_mask is not None:
            positions = (padding_mask.long().cumsum(-1) - 1).clamp(min=0)[:, start:]
        length = int(positions.max()) + 1 if positions is not None and stop > context else stop
        if length > context:
            raise ValueError(
                f"a text of {length} tokens is beyond this model's context of {context}: cut it to its last {context}, "
                f"or ask for fewer new tokens (max_length={context} goes to the end)"
            )
        return self.gpt.metadata(tokens, past, padding_mask, positions)

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


def _pattern(block: Block, x: Tensor, metadata: AttentionMetadata) -> Tensor:
    """The attention weights of a block that reads x: (B, H, T, T)."""
    attention, metadata = block.attention, metadata._replace(first_values=x.new_zeros(()))  # values do not matter here
    q, k, _ = attention.project(block.attention_input(x, metadata), metadata)
    mask = metadata.masks[attention.window]
    return attention_scores(q, k, mask, metadata.causal, attention.scale).softmax(-1)


def _fill_table(gpt: GPT) -> None:
    """Compute the table of positions, if the model has one: no file holds it."""
    table = position_table(gpt.config)
    if table is not None:
        gpt.table = table.to(gpt.output_weight.device)
