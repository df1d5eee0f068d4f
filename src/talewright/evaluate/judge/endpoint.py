"""Requests to a language model over the network: any server with OpenAI's chat completions API.

Requests that fail for a passing reason, and answers that cannot be used, are retried. What a retry cannot mend (a wrong
key, an unknown model) is a UserError at once. The key goes into a header of the request, to the named server only
(redirects are not followed), and nowhere else.
"""

from __future__ import annotations

import http.client
import ipaddress
import json
import socket
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from talewright.errors import UserError
from talewright.version import __version__

RETRIED_STATUSES = {408, 409, 425, 429, 500, 502, 503, 504, 529}
MAX_WAIT = 60.0
"""Seconds before a retry at most, even if the server asks for more."""
MAX_ANSWER_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """A server, the model to ask, and how often to retry."""

    url: str
    """As OpenAI's clients take it: up to and including the version, such as http://localhost:8000/v1."""
    model: str
    key: str | None = field(default=None, repr=False)
    timeout: float = 120.0
    """Seconds that an answer may take."""
    attempts: int = 5
    first_wait: float = 2.0
    """Seconds before the first retry; doubled before each further one."""

    def __post_init__(self) -> None:
        if not self.url.startswith(("http://", "https://")):
            raise UserError(f"the judge's address is {self.url}; it must begin with http:// or https://")
        try:
            parts = urlsplit(self.url)
            whole = bool(parts.hostname) and parts.port != 0 and self.url.isascii() and self.url.isprintable()
        except ValueError:  # a port beyond 65535, or a bracket that is not closed
            parts, whole = None, False
        if parts is None or not whole or " " in self.url:
            raise UserError(f"the judge's address is {self.url}; it should look like http://localhost:8000/v1")
        if "@" in parts.netloc:
            raise UserError(
                "the judge's address has a user name or password; the key goes into an environment variable"
            )
        if self.key and not (self.key.isascii() and self.key.isprintable()):
            raise UserError("the server's key has a character that cannot be sent, such as a line break; remove it")

    @property
    def on_this_machine(self) -> bool:
        """Whether the address is a loopback one: localhost, 127.0.0.0/8 or ::1."""
        host = (urlsplit(self.url).hostname or "").rstrip(".")
        if host == "localhost" or host.endswith(".localhost"):
            return True
        try:
            if ":" not in host:
                return socket.inet_aton(host)[0] in (0, 127)  # short forms too, such as 127.1
            address = ipaddress.IPv6Address(host)
        except (OSError, ValueError):  # a name
            return False
        address = address.ipv4_mapped or address
        return address.is_loopback or address.is_unspecified


@dataclass(frozen=True)
class Answer:
    """A model's answer, and the tokens of all attempts as the server counts them (0 if it does not)."""

    value: Any
    """None if there is an error."""
    tokens_in: int
    tokens_out: int
    error: str | None = None
    """Why there is no answer."""


def ask(
    endpoint: Endpoint,
    messages: list[dict[str, str]],
    parse: Callable[[str], Any] = str,
    sleep: Callable[[float], bool | None] = time.sleep,
) -> Answer:
    """Ask the model, until `parse` accepts the text of its answer (it raises ValueError otherwise, with the reason) or
    the attempts are used up. `sleep` waits that many seconds; it returns True to give up. Raises UserError if the
    server rejects the request.
    """
    error, tokens_in, tokens_out = "", 0, 0
    for attempt in range(endpoint.attempts):
        wait = endpoint.first_wait * 2**attempt
        try:
            response = _post(endpoint, messages)
            text, read, written = _completion(response)
            tokens_in, tokens_out = tokens_in + read, tokens_out + written
            incomplete = _incomplete(response)
            if incomplete is not None:
                error, wait = incomplete, 0.0
            elif text is None:
                return Answer(None, tokens_in, tokens_out, "the judge refused")
            else:
                try:
                    return Answer(parse(text), tokens_in, tokens_out)
                except ValueError as unusable:
                    error, wait = str(unusable), 0.0
        except urllib.error.HTTPError as http_error:
            error = _message(http_error)
            if http_error.code not in RETRIED_STATUSES:
                raise UserError(f"{endpoint.url} rejects the request: {error}") from None
            wait = max(wait, _retry_after(http_error.headers.get("Retry-After")))
        except (OSError, http.client.HTTPException) as failure:  # including URLError and timeouts
            reason = getattr(failure, "reason", None) or failure
            if isinstance(reason, ssl.SSLError) and not isinstance(reason, ssl.SSLEOFError):
                raise UserError(f"{endpoint.url} cannot be asked by https: {reason}") from None
            error = str(reason) or type(reason).__name__
        except _NotJsonError as answer:
            error = f"the answer is not a chat completion but {answer}; does the address end with the version, as /v1?"
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            error = "the answer is not a chat completion"
        if attempt + 1 < endpoint.attempts and sleep(min(wait, MAX_WAIT)):
            break
    return Answer(None, tokens_in, tokens_out, f"no answer in {endpoint.attempts} attempts; the last error: {error}")


class _NotJsonError(ValueError):
    """An answer of another type than JSON, which it names."""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> None:
        """None: a redirected request would carry the key to another server."""


def _post(endpoint: Endpoint, messages: list[dict[str, str]]) -> Any:
    headers = {"Content-Type": "application/json", "User-Agent": f"talewright/{__version__}"}
    if endpoint.key:
        headers["Authorization"] = f"Bearer {endpoint.key}"
    body = json.dumps({"model": endpoint.model, "messages": messages}).encode()
    request = urllib.request.Request(endpoint.url.rstrip("/") + "/chat/completions", body, headers)
    direct = [urllib.request.ProxyHandler({})] if endpoint.on_this_machine else []  # a proxy would look on its own
    with urllib.request.build_opener(_NoRedirect, *direct).open(request, timeout=endpoint.timeout) as response:
        answer, kind = response.read(MAX_ANSWER_BYTES), response.headers.get_content_type()
    if kind == "text/html":  # a web page, of the server or of something before it
        raise _NotJsonError(kind)
    return json.loads(answer)


def _completion(response: Any) -> tuple[str | None, int, int]:
    """The text of a chat completion, None if the model refused, and the tokens read and written."""
    message = response["choices"][0]["message"]
    usage = response.get("usage") or {}
    text = None if message.get("refusal") else message.get("content")
    if isinstance(text, list):  # parts, some of which may be thoughts
        text = "".join(part["text"] for part in text if part.get("type") in ("text", "output_text"))
    if text is not None and not isinstance(text, str):
        raise TypeError("the content is not a string")
    return text, int(usage.get("prompt_tokens") or 0), int(usage.get("completion_tokens") or 0)


def _incomplete(response: Any) -> str | None:
    """Why there is no whole answer: a cut one may end within a number."""
    choice = response["choices"][0]
    message = choice["message"]
    if choice.get("finish_reason") == "length":
        return "the answer was cut off at the server's limit of tokens"
    thoughts = message.get("reasoning_content") or message.get("reasoning")
    return "the judge only thought, and did not answer" if thoughts and not message.get("content") else None


def _message(error: urllib.error.HTTPError) -> str:
    """The server's explanation of an error, on one line."""
    try:
        message = json.loads(error.read(MAX_ANSWER_BYTES))["error"]
        message = message["message"] if isinstance(message, dict) else message
    except (OSError, ValueError, LookupError, TypeError, http.client.HTTPException):
        message = error.reason
    return f"{error.code} {' '.join(str(message).split())[:300]}"


def _retry_after(header: str | None) -> float:
    """The seconds in a Retry-After header; 0 if there is none, or if it is a date."""
    try:
        return max(0.0, float(header or 0))
    except ValueError:
        return 0.0
