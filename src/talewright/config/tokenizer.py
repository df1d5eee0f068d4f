"""Which tokenizer a recipe uses."""

from dataclasses import dataclass
from typing import Literal

from talewright.config.checks import Section

EOT = "<|endoftext|>"
"""The end-of-text token of every tokenizer."""


@dataclass(frozen=True, kw_only=True)
class TokenizerConfig(Section, prefix="tokenizer."):
    """Settings of the tokenizer."""

    kind: Literal["bpe", "gpt2", "gpt2-top", "saved"] = "bpe"
    """bpe: byte-level BPE trained on the training stories. gpt2: GPT-2's tokenizer. gpt2-top: the GPT-2 tokens that are
    most frequent in the training stories. saved: the tokenizer in the folder `source`."""
    source: str = "openai-community/gpt2"
    """Where GPT-2's files are: a name on the hub, or a folder with vocab.json and merges.txt. With kind saved: a folder
    with a tokenizer.json, such as a run's tokenizer/."""
