"""The HTTP interface: OpenAI's completions over the runs that are offered, for the clients that people have already.

See https://platform.openai.com/docs/api-reference/completions.
"""

from __future__ import annotations

import asyncio
import codecs
import json
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from talewright.errors import UserError
from talewright.server.metrics import Metrics
from talewright.server.registry import ModelRegistry
from talewright.server.request import CompletionRequest
from talewright.server.scheduler import MAX_PROMPT, BusyError, Generation, GenerationScheduler
from talewright.server.text import visible
from talewright.tokenizer import Tokenizer
from talewright.tokenizer.base import refuse_surrogates

FORMS = {
    "prompt": "it is a text, a list of texts, token ids, or a list of lists of token ids",
    "stop": "it is a text, or a list of up to 4 texts",
}
"""What a key that takes several types may be."""
POLL = 0.01
"""Seconds between two looks at a text that is being generated."""


@dataclass(frozen=True)
class Service:
    """What the routes share."""

    registry: ModelRegistry
    scheduler: GenerationScheduler
    api_key: str | None = None
    max_tokens: int = 2048
    metrics: Metrics = field(default_factory=Metrics)
    started: int = field(default_factory=lambda: int(time.time()))


class ApiError(Exception):
    """An answer that is an error, in OpenAI's form."""

    def __init__(self, status: int, message: str, kind: str = "invalid_request_error") -> None:
        super().__init__(message)
        self.status, self.kind = status, kind

    def response(self) -> JSONResponse:
        headers = {"Retry-After": "1"} if self.status == 429 else None
        return JSONResponse(self.body(), self.status, headers)

    def body(self) -> dict[str, Any]:
        return {"error": {"message": str(self), "type": self.kind, "param": None, "code": None}}


def build_app(service: Service) -> FastAPI:
    """The application. It documents itself nowhere: OpenAI's own reference holds for it."""
    app = FastAPI(title="talewright", openapi_url=None)

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/metrics")
    async def metrics() -> PlainTextResponse:
        return PlainTextResponse(
            service.metrics.page(*service.scheduler.counts()), media_type="text/plain; version=0.0.4"
        )

    @app.get("/v1/models")
    async def models() -> dict[str, Any]:
        return {"object": "list", "data": [_model(service, name) for name in service.registry.names]}

    @app.get("/v1/models/{name:path}")
    def model(name: str) -> dict[str, Any]:  # in a thread, because it may load the model
        _tokenizer(service, name)
        return _model(service, name)

    @app.post("/v1/completions")
    async def completions(body: CompletionRequest, http: Request) -> Response:
        completion = await asyncio.to_thread(Completion, service, body)  # it may load the model
        return CompletionStream(completion) if body.stream else await completion.whole(http)

    app.add_middleware(Gate, service=service)
    _answer_errors(app)
    return app


class Gate:
    """Asks for the key, and counts the answers to completion requests."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self.app, self.service = app, service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start" and scope["path"] == "/v1/completions":
                self.service.metrics.requests[message["status"]] += 1
            await send(message)

        key = self.service.api_key
        given = Headers(scope=scope).get("Authorization", "") if scope["type"] == "http" else ""
        known = secrets.compare_digest(given.removeprefix("Bearer ").encode(), (key or "").encode())
        if scope["type"] != "http" or not key or known or scope["path"] == "/health":
            return await self.app(scope, receive, counted)
        message = "this server needs its API key: send the header Authorization: Bearer KEY"
        await ApiError(401, message, "authentication_error").response()(scope, receive, counted)


class Completion:
    """One request while it is answered."""

    def __init__(self, service: Service, body: CompletionRequest) -> None:
        """Submits what is to be generated. Raises ApiError if the request is refused."""
        self.service, self.body, self.started = service, body, time.monotonic()
        if body.echo and body.logprobs is not None:
            raise ApiError(400, "echo with logprobs is not offered: prompts have none here; leave one of them out")
        tokenizer = _tokenizer(service, body.model)
        self.id, self.created, self.counted = f"cmpl-{secrets.token_hex(12)}", int(time.time()), False
        try:
            _check_prompts(body.prompts, tokenizer)
            self.texts = body.generations(secrets.token_hex(8), service.max_tokens)
            service.scheduler.submit_all(self.texts)
        except BusyError as error:
            raise ApiError(429, str(error), "rate_limit_error") from None
        except UserError as error:
            raise ApiError(400, str(error)) from None
        self.prefixes = [""] * len(self.texts)
        if body.echo:
            self.prefixes = [text.prompt or tokenizer.decode(text.prompt_tokens or []) for text in self.texts]

    async def whole(self, http: Request) -> Response:
        """The answer once all is generated."""
        try:
            while sum(map(self._poll, self.texts)):  # all of them, since a stop text may end any
                if await http.is_disconnected():
                    return Response(status_code=499)
                await asyncio.sleep(POLL)
        finally:
            self.stop()
        failed = next((text for text in self.texts if text.error), None)
        if failed is not None:
            return _failure(failed).response()
        choices = [await self._choice(number) for number in range(len(self.texts))]
        return JSONResponse(self._answer(choices) | {"usage": self._usage()})

    async def stream(self) -> AsyncIterator[str]:
        """The answer as server-sent events, as it is generated."""
        sent, open_ = [0] * len(self.texts), set(range(len(self.texts)))
        while open_:
            for number in sorted(open_):
                running = self._poll(self.texts[number])
                if self.texts[number].error:
                    yield _event(_failure(self.texts[number]).body())
                    return
                choice = await self._choice(number, sent[number], last=not running)
                sent[number] += len(choice["text"])
                if choice["text"] or not running:
                    yield _event(self._answer([choice], not running))
                if not running:
                    open_.remove(number)
            await asyncio.sleep(POLL)
        if self.body.stream_options and self.body.stream_options.include_usage:
            yield _event(self._answer([]) | {"usage": self._usage()})
        yield "data: [DONE]\n\n"

    def _poll(self, text: Generation) -> bool:
        """Whether a text is still being generated; one that reached a stop text is stopped."""
        running = text.running
        if not self.counted and text.tokens:
            self.counted = True
            self.service.metrics.first_token(time.monotonic() - self.started)
        if running and visible(text.continuation, self.body.stops, False)[1]:
            text.stop()
        return running

    async def _choice(self, number: int, start: int = 0, last: bool = True) -> dict[str, Any]:
        """The text of a choice from a character on; `last` if nothing comes after it."""
        text = self.texts[number]
        shown, stopped = visible(text.continuation, self.body.stops, last)
        words = (self.prefixes[number] + text.continuation[:shown])[start:]
        reason = ("stop" if stopped or text.finished else "length") if last else None
        logprobs = None
        if self.body.logprobs is not None and (words or last):
            logprobs = await self._logprobs(text, start, start + len(words))
        return {"index": number, "text": words, "logprobs": logprobs, "finish_reason": reason}

    async def _logprobs(self, text: Generation, start: int, stop: int) -> dict[str, Any]:
        """The log-probabilities of the tokens whose text begins at these characters."""
        found: dict[str, list[Any]] = {"tokens": [], "token_logprobs": [], "top_logprobs": [], "text_offset": []}
        if not text.tokens:
            return found
        tokenizer = (await asyncio.to_thread(self.service.registry.load, text.choice)).tokenizer
        decoder, offset, table = codecs.getincrementaldecoder("utf-8")("replace"), 0, tokenizer.token_bytes
        for number, (token, scored) in enumerate(zip(list(text.tokens), list(text.logprobs), strict=False)):
            first = not number and not text.prompt_tokens
            piece = decoder.decode(tokenizer.after_prompt(token, first))
            if start <= offset < stop or (offset == stop == start and not piece):
                others = [*scored.most_likely, (token, scored.logprob)]
                found["tokens"].append(piece)
                found["token_logprobs"].append(scored.logprob)
                found["top_logprobs"].append({table[i].decode("utf-8", "replace"): value for i, value in others})
                found["text_offset"].append(offset)
            offset += len(piece)
        return found

    def _answer(self, choices: list[dict[str, Any]], last: bool = True) -> dict[str, Any]:
        """The choices in OpenAI's form; at the end with what must be said of them, such as a prompt that was cut."""
        head = {"id": self.id, "object": "text_completion", "created": self.created, "model": self.body.model}
        notes = list(dict.fromkeys(note for choice in choices for note in self.texts[choice["index"]].notes))
        return head | {"choices": choices} | ({"warnings": notes} if notes and last else {})

    def _usage(self) -> dict[str, int]:
        prompts = sum(len(text.prompt_tokens or []) for text in self.texts[:: self.body.n])
        generated = sum(len(text.tokens) for text in self.texts)
        return {
            "prompt_tokens": prompts,
            "completion_tokens": generated,
            "total_tokens": prompts + generated,
        }

    def stop(self) -> None:
        """Free the places of its texts, and count their tokens; to be called once."""
        for text in self.texts:
            text.stop()
        self.service.metrics.prompt_tokens += sum(len(text.prompt_tokens or []) for text in self.texts)
        self.service.metrics.generated_tokens += sum(len(text.tokens) for text in self.texts)


def _failure(text: Generation) -> ApiError:
    """Why a text was not generated. A client repeats a request that failed with 500, but not one that is invalid."""
    return ApiError(400, text.error) if text.invalid else ApiError(500, text.error, "server_error")


class CompletionStream(StreamingResponse):
    """A completion as server-sent events. Its texts stop when the client has gone, too."""

    def __init__(self, completion: Completion) -> None:
        super().__init__(completion.stream(), media_type="text/event-stream")
        self.completion = completion

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self.completion.stop()


def _event(value: dict[str, Any]) -> str:
    return f"data: {json.dumps(value, ensure_ascii=False)}\n\n"


def _model(service: Service, name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": service.started, "owned_by": "talewright"}


def _tokenizer(service: Service, choice: str) -> Tokenizer:
    """The tokenizer of a model. Raises ApiError if it is not offered."""
    try:
        return service.registry.tokenizer(choice)
    except UserError as error:
        raise ApiError(404, str(error)) from None


def _check_prompts(prompts: Sequence[str | list[int]], tokenizer: Tokenizer) -> None:
    """Raise UserError for what no tokenizer reads, and for what is no id of this one."""
    for prompt in prompts:
        ends = () if isinstance(prompt, str) or not prompt else (min(prompt), max(prompt))
        if wrong := [number for number in ends if not 0 <= number < tokenizer.vocab_size]:
            raise UserError(f"{wrong[0]} is no token id of this model; they are 0 to {tokenizer.vocab_size - 1:,}")
        if isinstance(prompt, str) and len(prompt) <= MAX_PROMPT:  # a longer one is refused when it is submitted
            refuse_surrogates([prompt])


def _answer_errors(app: FastAPI) -> None:
    """Every error in OpenAI's form."""

    @app.exception_handler(ApiError)
    async def refused(request: Request, error: ApiError) -> JSONResponse:
        return error.response()

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        if "json" not in request.headers.get("Content-Type", "").lower():
            return ApiError(400, "the body is read as JSON: send the header Content-Type: application/json").response()
        return ApiError(400, _problems(error.errors())).response()

    @app.exception_handler(HTTPException)
    async def unknown(request: Request, error: HTTPException) -> JSONResponse:
        message = "the body is no JSON in UTF-8 that can be read" if error.status_code == 400 else str(error.detail)
        if error.status_code in (404, 405):
            message = f"{request.method} {request.url.path} is not offered; POST /v1/completions generates text"
        return ApiError(error.status_code, message).response()


def _problems(errors: Sequence[Any]) -> str:
    """pydantic's errors, each with the key that is wrong; an alternative of a union is named once."""
    found: dict[str, str] = {}
    for error in errors:
        if error["type"] == "json_invalid":  # FastAPI's, whose place is a character of the body
            return f"the body is no JSON: {error['ctx']['error']}, at character {error['loc'][-1] + 1:,}"
        place = [str(part) for part in error["loc"] if part != "body"]
        name = place[0] if place else "the body"
        found.setdefault(name, FORMS.get(name) or error["msg"][:1].lower() + error["msg"][1:])
    return "; ".join(f"{place}: {message}" for place, message in found.items())
