"""The HTTP interface, as the official client sees it."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="the server needs FastAPI: the extra `studio`")
pytest.importorskip("openai", reason="the official client is not installed")
import httpx
import openai
import uvicorn

from talewright.generate.engine import Engine
from talewright.generate.sampling import Sampling
from talewright.server.completions import Service, build_app
from talewright.server.registry import ModelRegistry
from talewright.server.scheduler import GenerationScheduler

KEY = "sesame"


@pytest.fixture(scope="module")
def service(pattern: Path) -> Iterator[Service]:
    registry = ModelRegistry([pattern])
    scheduler = GenerationScheduler(registry, slots=8, queue=16, per_user=99)
    yield Service(registry, scheduler, KEY, max_tokens=5000)
    scheduler.close()


@pytest.fixture(scope="module")
def address(service: Service) -> Iterator[str]:
    server = uvicorn.Server(uvicorn.Config(build_app(service), log_level="warning"))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = True
        thread.join(20)


@pytest.fixture
def client(address: str) -> Any:
    return openai.OpenAI(base_url=f"{address}/v1", api_key=KEY, max_retries=0)


@pytest.fixture
def engine(service: Service) -> Engine:
    loaded = service.registry.load("tales")
    return Engine(loaded.model, loaded.tokenizer, notify=lambda message: None)


def alone(engine: Engine, prompt: str, **values: Any) -> str:
    """What is generated after the prompt without a server."""
    return "".join(engine.stream(prompt, Sampling(**values), 0))


def test_models_are_listed(client):
    assert [model.id for model in client.models.list()] == ["tales"]
    assert client.models.retrieve("tales").id == "tales"
    with pytest.raises(openai.NotFoundError, match="there are tales"):
        client.models.retrieve("other")


def test_a_completion_is_the_text_generated_alone(client, engine):
    values: dict[str, Any] = {"temperature": 0.7, "top_p": 0.9, "seed": 5}
    answer = client.completions.create(model="tales", prompt="Once", max_tokens=20, **values)
    assert answer.choices[0].text == alone(engine, "Once", max_new_tokens=20, **values)
    assert answer.usage.prompt_tokens == len(engine.tokenizer.encode("Once"))
    assert answer.usage.completion_tokens <= 20
    assert answer.object == "text_completion"


def test_a_stream_and_the_whole_are_the_same(client):
    options: dict[str, Any] = {"model": "tales", "prompt": ["Once", "A dog"], "n": 2, "seed": 3, "max_tokens": 30}
    whole = client.completions.create(**options)
    texts, reasons, usage = [""] * 4, [None] * 4, None
    for chunk in client.completions.create(**options, stream=True, stream_options={"include_usage": True}):
        usage = chunk.usage or usage
        for choice in chunk.choices:
            texts[choice.index] += choice.text
            reasons[choice.index] = choice.finish_reason or reasons[choice.index]
    assert texts == [choice.text for choice in whole.choices]
    assert reasons == [choice.finish_reason for choice in whole.choices]
    assert usage == whole.usage
    assert len({*texts}) > 2


def test_prompts_as_token_ids_and_echo(client, engine):
    ids = engine.tokenizer.encode("Once upon")
    values: dict[str, Any] = {"model": "tales", "seed": 1, "max_tokens": 8}
    from_ids = client.completions.create(prompt=ids, **values).choices[0].text
    assert from_ids == client.completions.create(prompt="Once upon", **values).choices[0].text
    assert client.completions.create(prompt="Once upon", echo=True, **values).choices[0].text == "Once upon" + from_ids
    with pytest.raises(openai.BadRequestError, match="is no token id of this model"):  # 500 would be asked again
        client.completions.create(prompt=[0, 999_999], **values)
    with pytest.raises(openai.NotFoundError, match="no checkpoint '99'"):
        client.completions.create(prompt="A", **{**values, "model": "tales · step 99"})


def test_a_stop_text_ends_the_completion_before_it(client, engine):
    values: dict[str, Any] = {"temperature": 1.0, "seed": 2}
    text = alone(engine, "Once", max_new_tokens=60, **values)
    stop = text[len(text) // 2 :][:3]
    expected = text[: text.index(stop)]
    options: dict[str, Any] = {"model": "tales", "prompt": "Once", "max_tokens": 60, "stop": [stop, "\0"], **values}
    answer = client.completions.create(**options).choices[0]
    assert (answer.text, answer.finish_reason) == (expected, "stop")
    assert "".join(c.choices[0].text for c in client.completions.create(stream=True, **options)) == expected


def test_log_probabilities_are_those_of_the_model(client, engine, service):
    import torch

    answer = client.completions.create(
        model="tales", prompt="Once", max_tokens=12, seed=4, logprobs=3, temperature=1, top_p=1
    )
    choice, tokenizer = answer.choices[0], engine.tokenizer
    logprobs = choice.logprobs
    assert "".join(logprobs.tokens) == choice.text
    places = zip(logprobs.text_offset, logprobs.tokens, strict=True)
    assert [choice.text[start : start + len(token)] for start, token in places] == logprobs.tokens
    sampling = Sampling(seed=4, max_new_tokens=12, temperature=1, top_p=1)
    ids = list(engine.stream_tokens(tokenizer.encode("Once"), sampling))
    prompt = [tokenizer.eos_id, *tokenizer.encode("Once")]
    with torch.inference_mode():
        expected = engine.model(torch.tensor([[*prompt, *ids]]))[0, len(prompt) - 1 : -1, : tokenizer.vocab_size]
    table = expected.log_softmax(-1)
    for row, (token, given) in enumerate(zip(ids, logprobs.token_logprobs, strict=True)):
        assert given == pytest.approx(float(table[row, token]), abs=1e-4)
        assert max(logprobs.top_logprobs[row].values()) == pytest.approx(float(table[row].max()), abs=1e-4)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"temperature": -1}, "temperature is -1"),
        ({"max_tokens": 0}, "max_tokens: "),
        ({"max_tokens": 5001}, "generates up to 5,000"),
        ({"n": 129}, "n: "),
        ({"n": 100, "prompt": ["a", "b"]}, "up to 128 texts"),
        ({"prompt": []}, "empty list"),
        ({"stop": ""}, "empty text"),
        ({"stop": list("abcde")}, "stop: "),
        ({"suffix": "x"}, "suffix: "),
        ({"presence_penalty": 0.5}, "presence_penalty: "),
        ({"logit_bias": {"3": 1}}, "logit_bias: "),
        ({"echo": True, "logprobs": 1}, "echo with logprobs"),
        ({"extra_body": {"nonsense": 1}}, "nonsense: "),
        ({"top_p": 2}, "top_p is 2"),
    ],
)
def test_wrong_requests_are_refused_by_name(client, wrong, words):
    with pytest.raises(openai.BadRequestError, match=words):
        client.completions.create(**{"model": "tales", "prompt": "a", "max_tokens": 3, **wrong})


def test_the_key_is_needed_everywhere_but_for_health(address):
    wrong = openai.OpenAI(base_url=f"{address}/v1", api_key="wrong", max_retries=0)
    with pytest.raises(openai.AuthenticationError, match="Authorization: Bearer KEY"):
        wrong.models.list()
    assert httpx.get(f"{address}/health").json() == {"status": "ok"}
    assert httpx.get(f"{address}/metrics").status_code == 401
    assert httpx.get(f"{address}/docs", headers={"Authorization": f"Bearer {KEY}"}).status_code == 404


def test_what_was_served_is_counted(address, client):
    def counts() -> dict[str, float]:
        page = httpx.get(f"{address}/metrics", headers={"Authorization": f"Bearer {KEY}"}).text
        lines = [line.rsplit(" ", 1) for line in page.splitlines() if not line.startswith("#")]
        return {name: float(value) for name, value in lines}

    before = counts()
    answer = client.completions.create(model="tales", prompt="Once", max_tokens=9, seed=0)
    after = counts()
    ok, generated = 'talewright_requests_total{status="200"}', "talewright_generated_tokens_total"
    assert after[ok] == before.get(ok, 0) + 1
    assert after[generated] - before[generated] == answer.usage.completion_tokens
    assert after["talewright_first_token_seconds_count"] == before["talewright_first_token_seconds_count"] + 1
    assert after["talewright_running"] == 0


def test_a_client_that_leaves_frees_its_place(address, service):
    body = {"model": "tales", "prompt": "Once", "max_tokens": 5000, "temperature": 2, "stream": True, "n": 4}
    headers = {"Authorization": f"Bearer {KEY}"}
    with httpx.stream("POST", f"{address}/v1/completions", json=body, headers=headers) as answer:
        next(answer.iter_lines())
        assert service.scheduler.counts()[0] > 0
    end = time.monotonic() + 20
    while service.scheduler.counts() != (0, 0) and time.monotonic() < end:
        time.sleep(0.05)
    assert service.scheduler.counts() == (0, 0)


def test_too_many_are_refused_with_a_status_that_clients_retry(address, service, monkeypatch):
    monkeypatch.setattr(service.scheduler, "queue", 0)
    monkeypatch.setattr(service.scheduler, "slots", 0)
    answer = httpx.post(
        f"{address}/v1/completions",
        json={"model": "tales", "prompt": "Once"},
        headers={"Authorization": f"Bearer {KEY}"},
    )
    assert answer.status_code == 429
    assert answer.headers["Retry-After"] == "1"
    assert "try again" in json.loads(answer.text)["error"]["message"]
