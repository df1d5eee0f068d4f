"""Asking a language model over the network: any server that speaks OpenAI's chat completions.

A server that is busy, broken for a moment or silent is asked again, later and later. What cannot get better by asking
again (a wrong key, a model that is not there) is a UserError at once. The key goes into a header of the request, to the
named server alone (redirections are not followed), and nowhere else.
"""

from __future__ import annotations

import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from talewright.errors import UserError
from talewright.version import __version__

PASSING = {408, 409, 425, 429, 500, 502, 503, 504, 529}
"""HTTP statuses that may be gone at the next attempt."""
LONGEST_WAIT = 60.0
"""Seconds before an attempt at most, also where the server asks for more."""
LARGEST_ANSWER = 1 << 20
"""Bytes of an answer that are read."""


class FailedError(Exception):
    """No answer after all attempts. Its text says why."""


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """A server, the model that is asked there, and how patiently."""

    url: str
    """As OpenAI's clients take it: up to and with the version, such as http://localhost:8000/v1."""
    model: str
    key: str | None = field(default=None, repr=False)
    timeout: float = 120.0
    """Seconds that an answer may take."""
    attempts: int = 5
    first_wait: float = 2.0
    """Seconds before the second attempt; doubled before each further one."""

    def __post_init__(self) -> None:
        if not self.url.startswith(("http://", "https://")):
            raise UserError(f"the judge's address is {self.url}; one begins with http:// or https://")


@dataclass(frozen=True)
class Answer:
    """What a model answered, and the tokens that the server counted (0 where it counts none)."""

    text: str | None
    """None where the model refused."""
    tokens_in: int
    tokens_out: int


def ask(endpoint: Endpoint, messages: list[dict[str, str]], sleep: Callable[[float], None] = time.sleep) -> Answer:
    """The model's answer. Raises UserError where the server refuses the request itself, FailedError where it has not
    answered after all attempts.
    """
    why = ""
    for attempt in range(endpoint.attempts):
        wait = endpoint.first_wait * 2**attempt
        try:
            return _answer(_post(endpoint, messages))
        except urllib.error.HTTPError as error:
            why = _words(error)
            if error.code not in PASSING:
                raise UserError(f"{endpoint.url} refuses to be asked: {why}") from None
            wait = max(wait, _seconds(error.headers.get("Retry-After")))
        except (OSError, http.client.HTTPException) as error:  # URLError and timeouts among them
            why = str(getattr(error, "reason", "") or error) or type(error).__name__
        except (ValueError, LookupError, TypeError, AttributeError):
            why = "it answered something that is no chat completion"
        if attempt + 1 < endpoint.attempts:
            sleep(min(wait, LONGEST_WAIT))
    raise FailedError(f"{endpoint.url} gave no answer in {endpoint.attempts} attempts; the last time: {why}")


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> None:
        """None: a redirected request would carry the key to another server."""


def _post(endpoint: Endpoint, messages: list[dict[str, str]]) -> Any:
    headers = {"Content-Type": "application/json", "User-Agent": f"talewright/{__version__}"}
    if endpoint.key:
        headers["Authorization"] = f"Bearer {endpoint.key}"
    body = json.dumps({"model": endpoint.model, "messages": messages}).encode()
    request = urllib.request.Request(endpoint.url.rstrip("/") + "/chat/completions", body, headers)
    with urllib.request.build_opener(_NoRedirect).open(request, timeout=endpoint.timeout) as response:
        return json.loads(response.read(LARGEST_ANSWER))


def _answer(found: Any) -> Answer:
    message = found["choices"][0]["message"]
    usage = found.get("usage") or {}
    text = None if message.get("refusal") else message.get("content")
    if text is not None and not isinstance(text, str):
        raise TypeError("the content is no text")
    return Answer(text, int(usage.get("prompt_tokens") or 0), int(usage.get("completion_tokens") or 0))


def _words(error: urllib.error.HTTPError) -> str:
    """What the server says of an error, as far as one can say it in a line."""
    try:
        said = json.loads(error.read(LARGEST_ANSWER))["error"]
        said = said["message"] if isinstance(said, dict) else said
    except (OSError, ValueError, LookupError, TypeError, http.client.HTTPException):
        said = error.reason
    return f"{error.code} {' '.join(str(said).split())[:300]}"


def _seconds(text: str | None) -> float:
    """Of a Retry-After header that counts seconds; 0 for none, and for a date."""
    try:
        return max(0.0, float(text or 0))
    except ValueError:
        return 0.0
