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
from starlette.exceptions import HTTPException

from talewright.errors import UserError
from talewright.server.metrics import Metrics
from talewright.server.registry import ModelRegistry
from talewright.server.request import CompletionRequest
from talewright.server.scheduler import BusyError, Generation, GenerationScheduler
from talewright.server.text import visible

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
    async def model(name: str) -> dict[str, Any]:
        _check_model(service, name)
        return _model(service, name)

    @app.post("/v1/completions")
    async def completions(body: CompletionRequest, http: Request) -> Response:
        _check_model(service, body.model)
        completion = Completion(service, body)
        if body.stream:
            return StreamingResponse(completion.stream(), media_type="text/event-stream")
        return await completion.whole(http)

    @app.middleware("http")
    async def check(request: Request, proceed: Any) -> Response:
        """Ask for the key, and count the answers to completion requests."""
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        key = service.api_key
        if key and request.url.path != "/health" and not secrets.compare_digest(given.encode(), key.encode()):
            message = "this server needs its API key: send the header Authorization: Bearer KEY"
            response: Response = ApiError(401, message, "authentication_error").response()
        else:
            response = await proceed(request)
        if request.url.path == "/v1/completions":
            service.metrics.requests[response.status_code] += 1
        return response

    _answer_errors(app)
    return app


class Completion:
    """One request while it is answered."""

    def __init__(self, service: Service, body: CompletionRequest) -> None:
        """Submits what is to be generated. Raises ApiError if the request is refused."""
        self.service, self.body, self.started = service, body, time.monotonic()
        if body.echo and body.logprobs is not None:
            raise ApiError(400, "echo with logprobs is not offered: prompts have none here; leave one of them out")
        try:
            self.texts = body.generations(secrets.token_hex(8), service.max_tokens)
        except UserError as error:
            raise ApiError(400, str(error)) from None
        self.id, self.created, self.counted = f"cmpl-{secrets.token_hex(12)}", int(time.time()), False
        try:
            for text in self.texts:
                service.scheduler.submit(text)
        except UserError as error:
            self._stop()
            raise ApiError(429 if isinstance(error, BusyError) else 400, str(error), "rate_limit_error") from None

    async def whole(self, http: Request) -> Response:
        """The answer once all is generated."""
        try:
            while any(self._poll(text) for text in self.texts):
                if await http.is_disconnected():
                    return Response(status_code=499)
                await asyncio.sleep(POLL)
        finally:
            self._stop()
        failed = next((text for text in self.texts if text.error), None)
        if failed is not None:
            return _failure(failed).response()
        choices = [await self._choice(number) for number in range(len(self.texts))]
        return JSONResponse(self._answer(choices) | {"usage": self._usage()})

    async def stream(self) -> AsyncIterator[str]:
        """The answer as server-sent events, as it is generated."""
        sent, open_ = [0] * len(self.texts), set(range(len(self.texts)))
        try:
            while open_:
                for number in sorted(open_):
                    running = self._poll(self.texts[number])
                    if self.texts[number].error:
                        yield _event(_failure(self.texts[number]).body())
                        return
                    choice = await self._choice(number, sent[number], last=not running)
                    sent[number] += len(choice["text"])
                    if choice["text"] or not running:
                        yield _event(self._answer([choice]))
                    if not running:
                        open_.remove(number)
                await asyncio.sleep(POLL)
        finally:  # also when the client has gone
            self._stop()
        if self.body.stream_options and self.body.stream_options.include_usage:
            yield _event(self._answer([]) | {"usage": self._usage()})
        yield "data: [DONE]\n\n"

    def _poll(self, text: Generation) -> bool:
        """Whether a text is still being generated; one that reached a stop text is stopped."""
        text.polled = time.monotonic()
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
        prefix = text.prompt if self.body.echo else ""
        words = (prefix + text.continuation[:shown])[start:]
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

    def _answer(self, choices: list[dict[str, Any]]) -> dict[str, Any]:
        head = {"id": self.id, "object": "text_completion", "created": self.created, "model": self.body.model}
        return head | {"choices": choices}

    def _usage(self) -> dict[str, int]:
        prompts = sum(len(text.prompt_tokens or []) for text in self.texts[:: self.body.n])
        generated = sum(len(text.tokens) for text in self.texts)
        return {
            "prompt_tokens": prompts,
            "completion_tokens": generated,
            "total_tokens": prompts + generated,
        }

    def _stop(self) -> None:
        for text in self.texts:
            text.stop()
        self.service.metrics.prompt_tokens += sum(len(text.prompt_tokens or []) for text in self.texts)
        self.service.metrics.generated_tokens += sum(len(text.tokens) for text in self.texts)


def _failure(text: Generation) -> ApiError:
    """Why a text was not generated. A client repeats a request that failed with 500, but not one that is invalid."""
    return ApiError(400, text.error) if text.invalid else ApiError(500, text.error, "server_error")


def _event(value: dict[str, Any]) -> str:
    return f"data: {json.dumps(value, ensure_ascii=False)}\n\n"


def _model(service: Service, name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": service.started, "owned_by": "talewright"}


def _check_model(service: Service, name: str) -> None:
    try:
        service.registry.check(name)
    except UserError as error:
        raise ApiError(404, str(error)) from None


def _answer_errors(app: FastAPI) -> None:
    """Every error in OpenAI's form."""

    @app.exception_handler(ApiError)
    async def refused(request: Request, error: ApiError) -> JSONResponse:
        return error.response()

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        return ApiError(400, _problems(error.errors())).response()

    @app.exception_handler(HTTPException)
    async def unknown(request: Request, error: HTTPException) -> JSONResponse:
        message = str(error.detail)
        if error.status_code in (404, 405):
            message = f"{request.method} {request.url.path} is not offered; POST /v1/completions generates text"
        return ApiError(error.status_code, message).response()


def _problems(errors: Sequence[Any]) -> str:
    """pydantic's errors, each with the key that is wrong; an alternative of a union is named once."""
    found: dict[str, str] = {}
    for error in errors:
        place = [str(part) for part in error["loc"] if part != "body"]
        found.setdefault(place[0] if place else "the body", error["msg"][:1].lower() + error["msg"][1:])
    return "; ".join(f"{place}: {message}" for place, message in found.items())
