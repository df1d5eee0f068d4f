"""What the server counts, as Prometheus reads it (text format 0.0.4)."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

BUCKETS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Upper bounds of the histogram of seconds until the first token."""


@dataclass
class Metrics:
    """The counts since the server started."""

    requests: Counter[int] = field(default_factory=Counter)
    """Completion requests by HTTP status."""
    prompt_tokens: int = 0
    generated_tokens: int = 0
    first_token_seconds: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS) + 1))
    first_token_sum: float = 0.0

    def first_token(self, seconds: float) -> None:
        """Count how long a request waited for its first token."""
        self.first_token_seconds[sum(seconds > bound for bound in BUCKETS)] += 1
        self.first_token_sum += seconds

    def page(self, running: int, waiting: int) -> str:
        """The text that Prometheus collects."""
        lines = ["# HELP talewright_requests_total Completion requests by HTTP status."]
        lines += ["# TYPE talewright_requests_total counter"]
        lines += [f'talewright_requests_total{{status="{status}"}} {n}' for status, n in sorted(self.requests.items())]
        values = {
            "prompt_tokens_total": ("counter", self.prompt_tokens, "Tokens of the prompts."),
            "generated_tokens_total": ("counter", self.generated_tokens, "Tokens generated."),
            "running": ("gauge", running, "Texts that are being generated."),
            "waiting": ("gauge", waiting, "Texts that wait."),
        }
        for name, (kind, value, meaning) in values.items():
            lines += [f"# HELP talewright_{name} {meaning}", f"# TYPE talewright_{name} {kind}"]
            lines += [f"talewright_{name} {value}"]
        name, total = "talewright_first_token_seconds", 0
        lines += [f"# HELP {name} Seconds until the first token.", f"# TYPE {name} histogram"]
        for bound, count in zip([*map(str, BUCKETS), "+Inf"], self.first_token_seconds, strict=True):
            total += count
            lines.append(f'{name}_bucket{{le="{bound}"}} {total}')
        return "\n".join([*lines, f"{name}_sum {self.first_token_sum:.6f}", f"{name}_count {total}", ""])
