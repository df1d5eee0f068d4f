"""Asking over the network, of a server that is busy, broken, silent, wrong, or refuses."""

from __future__ import annotations

import json
import socket
from typing import Any

import pytest

from talewright.errors import UserError
from talewright.evaluate.judge.endpoint import LONGEST_WAIT, Answer, Endpoint, FailedError, ask
from tests.evaluate.judge.judge_server import Reply, failed, judge_server, said

MESSAGES = [{"role": "user", "content": "Grade this."}]


class Waits(list[float]):
    def __call__(self, seconds: float) -> None:
        self.append(seconds)


def endpoint(url: str, **changes: Any) -> Endpoint:
    return Endpoint(**{"url": url, "model": "judge-1", "timeout": 5.0, **changes})


def test_a_good_answer_is_taken_with_its_tokens():
    with judge_server(lambda number, body: said("Eight.")) as server:
        assert ask(endpoint(server.url, key="secret"), MESSAGES) == Answer("Eight.", 100, 10)
    assert server.paths == ["/v1/chat/completions"]
    assert server.bodies == [{"model": "judge-1", "messages": MESSAGES}]
    assert server.headers[0]["Authorization"] == "Bearer secret"


def test_without_a_key_none_is_sent_and_a_key_is_not_shown():
    with judge_server(lambda number, body: said("Eight.")) as server:
        ask(endpoint(server.url + "/"), MESSAGES)
    assert "Authorization" not in server.headers[0]
    assert "secret" not in repr(endpoint("http://localhost", key="secret"))


def replies(*some: Reply):
    """These replies in turn, then a good one."""
    return lambda number, body: some[number] if number < len(some) else said("Good.")


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504, 408, 529])
def test_a_passing_failure_is_asked_again_later_and_later(status):
    waits = Waits()
    with judge_server(replies(*[failed(status)] * 3)) as server:
        assert ask(endpoint(server.url), MESSAGES, waits).text == "Good."
    assert waits == [2, 4, 8]
    assert len(server.bodies) == 4


def test_the_server_may_ask_for_a_longer_wait_but_not_for_ever():
    waits = Waits()
    some = [failed(429, Retry_After="7"), failed(429, Retry_After="soon"), failed(429, Retry_After="86400")]
    with judge_server(replies(*some)) as server:
        ask(endpoint(server.url), MESSAGES, waits)
    assert waits == [7, 4, LONGEST_WAIT]


def test_after_all_attempts_the_last_reason_is_told():
    waits = Waits()
    with (
        judge_server(lambda number, body: failed(503, "we are\nfull")) as server,
        pytest.raises(FailedError, match="no answer in 3 attempts; the last time: 503 we are full"),
    ):
        ask(endpoint(server.url, attempts=3), MESSAGES, waits)
    assert len(server.bodies) == 3
    assert len(waits) == 2  # none after the last


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
def test_what_cannot_get_better_is_told_at_once(status):
    with (
        judge_server(lambda number, body: failed(status, "no such model")) as server,
        pytest.raises(UserError, match=f"refuses to be asked: {status} no such model"),
    ):
        ask(endpoint(server.url, key="secret"), MESSAGES, Waits())
    assert len(server.bodies) == 1


def test_a_redirection_is_not_followed_with_the_key():
    with judge_server(lambda number, body: said("Stolen.")) as other:
        script = lambda number, body: failed(302, Location=other.url)  # noqa: E731
        with judge_server(script) as server, pytest.raises(UserError, match="302"):
            ask(endpoint(server.url, key="secret"), MESSAGES, Waits())
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
def test_an_answer_that_is_none_is_asked_for_again(body):
    with judge_server(replies((200, {}, body))) as server:
        assert ask(endpoint(server.url), MESSAGES, Waits()).text == "Good."
    with (
        judge_server(lambda number, _: (200, {}, body)) as server,
        pytest.raises(FailedError, match="something that is no chat completion"),
    ):
        ask(endpoint(server.url, attempts=2), MESSAGES, Waits())


def test_an_answer_that_is_cut_off_is_asked_for_again():
    whole = said("Cut.")[2]
    with judge_server(replies((200, {"Content-Length": str(len(whole))}, whole[:30]), (200, {}, whole[:30]))) as server:
        assert ask(endpoint(server.url, timeout=0.5), MESSAGES, Waits()).text == "Good."


def test_a_silent_server_times_out_and_is_asked_again():
    with (
        judge_server(lambda number, body: said("Late."), takes=0.4) as server,
        pytest.raises(FailedError, match="timed"),
    ):
        ask(endpoint(server.url, timeout=0.1, attempts=2), MESSAGES, Waits())
    assert len(server.bodies) == 2


def test_no_server_is_told_in_words():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    with pytest.raises(FailedError, match="refused"):
        ask(endpoint(url, attempts=2), MESSAGES, Waits())


def test_a_refusal_is_an_answer_without_text():
    for reply in (said(None), said("No.", refusal="I may not.")):
        with judge_server(lambda number, body, reply=reply: reply) as server:
            assert ask(endpoint(server.url), MESSAGES).text is None


def test_a_server_that_counts_no_tokens_is_fine():
    body = json.dumps({"choices": [{"message": {"content": "Good."}}]}).encode()
    with judge_server(lambda number, _: (200, {}, body)) as server:
        assert ask(endpoint(server.url), MESSAGES) == Answer("Good.", 0, 0)


@pytest.mark.parametrize("url", ["localhost:8000", "file:///etc/passwd", "ftp://host/v1", ""])
def test_an_address_that_is_none_is_refused(url):
    with pytest.raises(UserError, match="begins with http"):
        endpoint(url)
