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
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from talewright.errors import UserError
from talewright.generate.batching import ContinuousBatch
from talewright.generate.engine import Engine
from talewright.generate.sampling import Sampling
from talewright.server.completions import Service, build_app
from talewright.server.registry import ModelRegistry
from talewright.server.request import CompletionRequest
from talewright.server.run import serve
from talewright.server.scheduler import MAX_PROMPT, TIMEOUT, Generation, GenerationScheduler

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


@pytest.mark.parametrize("stream", [False, True])
def test_a_checkpoint_that_is_not_there_is_not_found(client, stream):
    with pytest.raises(openai.NotFoundError, match="no checkpoint 7; it has best, last, 10, 20"):
        client.models.retrieve("tales · step 7")
    for step in ("7", "", "../.."):
        with pytest.raises(openai.NotFoundError, match="tales has no checkpoint"):
            client.completions.create(model=f"tales · step {step}", prompt="a", stream=stream)
    assert client.completions.create(model="tales · step 20", prompt="a", max_tokens=2).choices


def test_a_completion_is_the_text_generated_alone(client, engine):
    values: dict[str, Any] = {"temperature": 0.7, "top_p": 0.9, "seed": 5}
    answer = client.completions.create(model="tales", prompt="Once", max_tokens=20, **values)
    assert answer.choices[0].text == alone(engine, "Once", max_new_tokens=20, **values)
    assert answer.usage.prompt_tokens == len(engine.tokenizer.encode("Once"))
    assert answer.usage.completion_tokens <= 20
    assert answer.object == "text_completion"


@pytest.mark.parametrize("off", [0, -1])
def test_a_top_k_that_vllm_takes_for_off_draws_from_all_tokens(client, engine, off):
    values: dict[str, Any] = {"temperature": 1.0, "top_p": 1.0, "seed": 5}
    options: dict[str, Any] = {"model": "tales", "prompt": "Once", "max_tokens": 20, **values}
    answer = client.completions.create(**options, extra_body={"top_k": off})
    assert answer.choices[0].text == alone(engine, "Once", max_new_tokens=20, **values)
    with pytest.raises(openai.BadRequestError, match="top_k is -2"):
        client.completions.create(**options, extra_body={"top_k": -2})


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
    assert client.completions.create(prompt=ids, echo=True, **values).choices[0].text == "Once upon" + from_ids
    with pytest.raises(openai.BadRequestError, match="is no token id of this model"):  # 500 would be asked again
        client.completions.create(prompt=[0, 999_999], **values)
    with pytest.raises(openai.NotFoundError, match="has no checkpoint"):
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
    for row, (token, logprob) in enumerate(zip(ids, logprobs.token_logprobs, strict=True)):
        assert logprob == pytest.approx(float(table[row, token]), abs=1e-4)
        assert max(logprobs.top_logprobs[row].values()) == pytest.approx(float(table[row].max()), abs=1e-4)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"temperature": -1}, "temperature is -1"),
        ({"max_tokens": 0}, "max_tokens: "),
        ({"max_tokens": 5001}, "generates up to 5,000"),
        ({"n": 129}, "n: "),
        ({"n": 100, "prompt": ["a", "b"]}, "up to 128 texts"),
        ({"n": 25}, "up to 24 are accepted"),
        ({"prompt": [0, 999_999]}, "999999 is no token id"),
        ({"prompt": ["a", [1]]}, "prompt: it is a text, a list"),
        ({"prompt": [0] * (MAX_PROMPT + 1)}, "80,001 token ids"),
        ({"seed": 2**63}, f"from 0 to {2**63 - 1}"),
        ({"seed": True}, "seed: "),
        ({"extra_body": {"repetition_penalty": 0}}, "repetition_penalty is 0"),
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


def test_a_client_that_leaves_frees_its_place(address, service, monkeypatch):
    step = ContinuousBatch.step
    monkeypatch.setattr(ContinuousBatch, "step", lambda batch: (time.sleep(0.02), step(batch)))  # texts of seconds
    body = {"model": "tales", "prompt": "Once", "max_tokens": 5000, "temperature": 2, "stream": True, "n": 4}
    headers = {"Authorization": f"Bearer {KEY}"}
    with httpx.stream("POST", f"{address}/v1/completions", json=body, headers=headers) as answer:
        next(answer.iter_lines())
        assert service.scheduler.counts()[0] > 0
    end = time.monotonic() + TIMEOUT / 2  # sooner than a text that nobody asks for is given up
    while service.scheduler.counts() != (0, 0) and time.monotonic() < end:
        time.sleep(0.05)
    assert service.scheduler.counts() == (0, 0)


def test_too_many_are_refused_with_a_status_that_clients_retry(address, service, monkeypatch):
    monkeypatch.setattr(service.scheduler, "_all", lambda: [Generation(user="Ada", choice="tales", prompt="")] * 24)
    answer = httpx.post(
        f"{address}/v1/completions",
        json={"model": "tales", "prompt": "Once"},
        headers={"Authorization": f"Bearer {KEY}"},
    )
    assert answer.status_code == 429
    assert answer.headers["Retry-After"] == "1"
    assert "try again" in json.loads(answer.text)["error"]["message"]


def test_no_text_of_many_is_given_up_while_another_is_generated(client, engine, monkeypatch):
    monkeypatch.setattr("talewright.server.scheduler.TIMEOUT", 0.05)
    options: dict[str, Any] = {"model": "tales", "max_tokens": 400, "temperature": 2, "seed": 6}
    prompts = ["Once", "A dog", "The", "She", "He", "Tom", "Then", "It", "Sun", "Why", "Ben", "Up"]  # 8 run at once
    answer = client.completions.create(prompt=prompts, **options)
    texts = [alone(engine, prompt, max_new_tokens=400, temperature=2, seed=6) for prompt in prompts]
    assert [choice.text for choice in answer.choices] == texts


def test_all_places_can_be_taken_by_one_request(client):
    assert len(client.completions.create(model="tales", prompt="a", n=24, max_tokens=3).choices) == 24


def test_null_is_what_is_left_out(address, client):
    names = {name for name in CompletionRequest.model_fields if name != "model"}
    body = dict.fromkeys(names) | {"model": "tales", "seed": 1, "max_tokens": 5}
    answer = httpx.post(f"{address}/v1/completions", json=body, headers={"Authorization": f"Bearer {KEY}"})
    expected = client.completions.create(model="tales", prompt="", seed=1, max_tokens=5).choices[0].text
    assert answer.json()["choices"][0]["text"] == expected


@pytest.mark.parametrize("stream", [False, True])
def test_a_prompt_longer_than_the_context_is_said(client, stream):
    answer = client.completions.create(model="tales", prompt="dog " * 200, max_tokens=3, stream=stream)
    *_, last = answer if stream else [answer]
    assert "longer than the model's context of 32" in last.warnings[0]
    assert client.completions.create(model="tales", prompt="dog", max_tokens=3).model_extra.get("warnings") is None


def test_a_body_that_is_no_json_is_refused_with_the_place(address):
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
    answer = httpx.post(f"{address}/v1/completions", content='{"model": tales}', headers=headers)
    message = "the body is no JSON: Expecting value, at character 11"
    assert (answer.status_code, answer.json()["error"]["message"]) == (400, message)


def test_a_body_of_another_type_is_refused_with_the_header(address):
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "text/plain"}
    answer = httpx.post(f"{address}/v1/completions", content='{"model": "tales"}', headers=headers)
    assert (answer.status_code, "Content-Type: application/json" in answer.text) == (400, True)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)
FIELDS = st.sampled_from([*CompletionRequest.model_fields, "messages"]).filter(lambda name: name != "max_tokens")


@given(changes=st.dictionaries(FIELDS, VALUES, min_size=1, max_size=2))
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_odd_bodies_get_an_answer_or_an_error_of_the_client(address, changes):
    body = json.dumps({"model": "tales", "prompt": "a", "max_tokens": 2} | changes)
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
    answer = httpx.post(f"{address}/v1/completions", content=body, headers=headers)
    assert answer.status_code in (200, 400, 404), answer.text
    if answer.status_code != 200:
        assert answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"max_running": 0}, "--max-running is 0"),
        ({"max_tokens": -1}, "--max-tokens is -1"),
        ({"max_waiting": -1}, "--max-waiting is -1"),
        ({"port": 65536}, "--port is 65536"),
        ({"api_key": ""}, "the API key"),
        ({"api_key": "clé"}, "the API key"),
        ({"host": "http://localhost"}, "without http://"),
    ],
)
def test_wrong_options_of_the_server_are_refused(pattern, wrong, words):
    with pytest.raises(UserError, match=words):
        serve([pattern], **{"port": 65000, **wrong})
