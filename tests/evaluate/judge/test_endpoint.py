"""Requests over the network to a server that is busy, broken, silent, wrong, or refuses."""

from __future__ import annotations

import json
import socket
from typing import Any

import pytest

from talewright.errors import UserError
from talewright.evaluate.judge.endpoint import MAX_WAIT, Answer, Endpoint, ask
from tests.evaluate.judge.judge_server import Reply, completion, failed, judge_server

MESSAGES = [{"role": "user", "content": "Grade this."}]


class Waits(list[float]):
    def __call__(self, seconds: float) -> None:
        self.append(seconds)


def endpoint(url: str, **changes: Any) -> Endpoint:
    return Endpoint(**{"url": url, "model": "judge-1", "timeout": 5.0, **changes})


def test_an_answer_has_its_text_and_tokens():
    with judge_server(lambda number, body: completion("Eight.")) as server:
        assert ask(endpoint(server.url, key="secret"), MESSAGES) == Answer("Eight.", 100, 10)
    assert server.paths == ["/v1/chat/completions"]
    assert server.bodies == [{"model": "judge-1", "messages": MESSAGES}]
    assert server.headers[0]["Authorization"] == "Bearer secret"


def test_without_a_key_none_is_sent_and_a_key_is_not_shown():
    with judge_server(lambda number, body: completion("Eight.")) as server:
        ask(endpoint(server.url + "/"), MESSAGES)
    assert "Authorization" not in server.headers[0]
    assert "secret" not in repr(endpoint("http://localhost", key="secret"))


def test_thoughts_in_their_own_fields_or_parts_are_no_answer():
    parts: Any = [{"type": "thinking", "thinking": "Nine?"}, {"type": "text", "text": "Eight."}]
    for reply in (
        completion("Eight.", reasoning_content="Nine?", reasoning="Ten?"),
        completion(None, content=parts),
    ):
        with judge_server(lambda number, body, reply=reply: reply) as server:
            assert ask(endpoint(server.url), MESSAGES).value == "Eight."


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (completion(None, reasoning_content="Nine?"), "the judge only thought"),
        (completion("", reasoning="Nine?"), "the judge only thought"),
        (completion("Grammar: 1", finish_reason="length"), "the answer was cut off"),
    ],
)
def test_an_answer_of_thoughts_alone_or_cut_off_is_retried_and_said(reply, reason):
    with judge_server(lambda number, body: reply) as server:
        answer = ask(endpoint(server.url, attempts=2), MESSAGES, sleep=Waits())
    assert answer.value is None
    assert reason in str(answer.error)
    assert len(server.bodies) == 2
    assert answer.tokens_out == 20


def replies(*some: Reply):
    """These replies in turn, then a good one."""
    return lambda number, body: some[number] if number < len(some) else completion("Good.")


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504, 408, 529])
def test_a_passing_failure_is_retried_with_growing_waits(status):
    waits = Waits()
    with judge_server(replies(*[failed(status)] * 3)) as server:
        assert ask(endpoint(server.url), MESSAGES, sleep=waits).value == "Good."
    assert waits == [2, 4, 8]
    assert len(server.bodies) == 4


def test_the_server_may_ask_for_a_longer_wait_up_to_a_limit():
    waits = Waits()
    some = [failed(429, Retry_After="7"), failed(429, Retry_After="soon"), failed(429, Retry_After="86400")]
    with judge_server(replies(*some)) as server:
        ask(endpoint(server.url), MESSAGES, sleep=waits)
    assert waits == [7, 4, MAX_WAIT]


def test_after_all_attempts_the_last_error_is_given():
    waits = Waits()
    with judge_server(lambda number, body: failed(503, "we are\nfull")) as server:
        answer = ask(endpoint(server.url, attempts=3), MESSAGES, sleep=waits)
    assert answer.error == "no answer in 3 attempts; the last error: 503 we are full"
    assert len(server.bodies) == 3
    assert len(waits) == 2  # none after the last


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
def test_what_a_retry_cannot_mend_raises_at_once(status):
    with (
        judge_server(lambda number, body: failed(status, "no such model")) as server,
        pytest.raises(UserError, match=f"rejects the request: {status} no such model"),
    ):
        ask(endpoint(server.url, key="secret"), MESSAGES, sleep=Waits())
    assert len(server.bodies) == 1


def test_a_redirection_is_not_followed_with_the_key():
    with judge_server(lambda number, body: completion("Stolen.")) as other:
        script = lambda number, body: failed(302, Location=other.url)  # noqa: E731
        with judge_server(script) as server, pytest.raises(UserError, match="302"):
            ask(endpoint(server.url, key="secret"), MESSAGES, sleep=Waits())
    assert other.bodies == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b"{}",
        b'{"choices": []}',
        b'{"choices": [{"message": null}]}',
        b"3",
        b"\xff\xfe",
        b'{"choices": [{"message": {"content": 5}}]}',
        b'{"choices": [{"message": {"content": "x"}}], "usage": 3}',
    ],
)
def test_an_answer_that_is_not_a_chat_completion_is_retried(body):
    with judge_server(replies((200, {}, body))) as server:
        assert ask(endpoint(server.url), MESSAGES, sleep=Waits()).value == "Good."
    with judge_server(lambda number, _: (200, {}, body)) as server:
        answer = ask(endpoint(server.url, attempts=2), MESSAGES, sleep=Waits())
    assert answer.error is not None
    assert "not a chat completion" in answer.error


def test_an_answer_that_is_cut_off_is_retried():
    whole = completion("Cut.")[2]
    with judge_server(replies((200, {"Content-Length": str(len(whole))}, whole[:30]), (200, {}, whole[:30]))) as server:
        assert ask(endpoint(server.url, timeout=0.5), MESSAGES, sleep=Waits()).value == "Good."


def test_a_silent_server_times_out_and_is_retried():
    with judge_server(lambda number, body: completion("Late."), takes=0.4) as server:
        answer = ask(endpoint(server.url, timeout=0.1, attempts=2), MESSAGES, sleep=Waits())
    assert answer.error is not None
    assert "timed" in answer.error
    assert len(server.bodies) == 2


def test_a_server_that_does_not_exist_is_an_error():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    answer = ask(endpoint(url, attempts=2), MESSAGES, sleep=Waits())
    assert answer.error is not None
    assert "refused" in answer.error


def test_a_refusal_is_not_retried():
    for reply in (completion(None), completion("No.", refusal="I may not.")):
        with judge_server(lambda number, body, reply=reply: reply) as server:
            assert ask(endpoint(server.url), MESSAGES).error == "the judge refused"


def test_an_answer_that_cannot_be_parsed_is_retried_at_once_and_its_tokens_are_counted():
    waits = Waits()
    with judge_server(lambda number, body: completion("8" if number == 2 else "Nice!")) as server:
        assert ask(endpoint(server.url), MESSAGES, int, waits) == Answer(8, 300, 30)
    assert waits == [0, 0]


def test_sleep_may_give_up():
    with judge_server(lambda number, body: failed(503)) as server:
        assert ask(endpoint(server.url), MESSAGES, sleep=lambda seconds: True).error is not None
    assert len(server.bodies) == 1


def test_a_server_that_counts_no_tokens_is_fine():
    body = json.dumps({"choices": [{"message": {"content": "Good."}}]}).encode()
    with judge_server(lambda number, _: (200, {}, body)) as server:
        assert ask(endpoint(server.url), MESSAGES) == Answer("Good.", 0, 0)


@pytest.mark.parametrize("url", ["localhost:8000", "file:///etc/passwd", "ftp://host/v1", ""])
def test_an_address_without_a_scheme_of_http_is_refused(url):
    with pytest.raises(UserError, match="begins with http"):
        endpoint(url)
