"""Speculative decoding (Leviathan et al. 2023, arXiv:2211.17192), for a text that is generated alone.

A draft proposes the next tokens. One pass of the model reads the newest token and these, which takes little longer than
one token. What follows each is then drawn as ever, with its own random number; as long as that is what was drafted, the
next token needs no other pass. So the text is the same whatever the draft proposes, but for rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

Draft = Callable[[Sequence[int], int], list[int]]
"""From the ids of a text and a number N to at most N ids that may come next."""
DRAFTED = 2
"""Tokens that are proposed at once. For models of 1M parameters 4 are as good, for those above 5M fewer are better."""
