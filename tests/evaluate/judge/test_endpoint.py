"""Requests over the network to a server that is busy, broken, silent, wrong, or refuses."""

from __future__ import annotations

import json
import socket
import ssl
import urllib.error
import urllib.request
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
        b"[" * 100_000,
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
    with pytest.raises(UserError, match="must begin with http"):
        endpoint(url)


@given(st.text(max_size=12).map("http://{}".format))
def test_any_address_is_asked_or_refused_in_a_sentence(url: str) -> None:
    message = "the judge's address"
    try:
        urllib.request.Request(endpoint(url).url + "/chat/completions")
    except UserError as error:
        message = str(error)
    assert "the judge's address" in message


WRONG_ADDRESSES = [
    "http://",
    "http:///v1",
    "http://localhost:70000/v1",
    "http://localhost:0/v1",
    "http://[::1/v1",
    "http://a b/v1",
    "http://host/vé",
]


@pytest.mark.parametrize("url", WRONG_ADDRESSES)
def test_an_address_that_no_server_can_have_is_refused(url: str) -> None:
    with pytest.raises(UserError, match="should look like http://localhost:8000/v1"):
        endpoint(url)


def test_a_password_in_the_address_is_refused_and_not_shown() -> None:
    with pytest.raises(UserError, match="the key goes into an environment variable") as error:
        endpoint("http://me:secret@host/v1")
    assert "secret" not in str(error.value)


@pytest.mark.parametrize("key", ["secret\n", "secr\u2019t"])
def test_a_key_that_cannot_be_sent_is_refused_and_not_shown(key: str) -> None:
    with pytest.raises(UserError, match="cannot be sent") as error:
        endpoint("http://localhost", key=key)
    assert "secr" not in str(error.value)


LOOPBACK = [
    "localhost",
    "LOCALHOST",
    "localhost.",
    "a.localhost",
    "127.0.0.1",
    "127.9.8.7",
    "127.1",
    "[::1]",
    "0.0.0.0",
]
LOOPBACK += ["[::ffff:127.0.0.1]", "[::]"]
ELSEWHERE = ["example.org", "localhost.example.org", "10.0.0.1", "[fe80::1]", "128.0.0.1", "notlocalhost"]


@pytest.mark.parametrize("host", [*LOOPBACK, *ELSEWHERE])
def test_what_is_on_this_machine_is_known(host: str) -> None:
    assert endpoint(f"http://{host}:8000/v1").on_this_machine == (host in LOOPBACK)


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY", "all_proxy"])
def test_a_server_on_this_machine_is_asked_without_the_proxy(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for each in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(each, raising=False)
    with judge_server(lambda number, body: failed(403, "the proxy")) as proxy:
        monkeypatch.setenv(name, proxy.url)
        with judge_server(lambda number, body: completion("Eight.")) as server:
            for host in ("127.0.0.1", "localhost"):
                url = server.url.replace("127.0.0.1", host)
                assert ask(endpoint(url, attempts=1), MESSAGES).value == "Eight."
        if name != "all_proxy":  # which Python does not read
            with pytest.raises(UserError, match="403 the proxy"):
                ask(endpoint("http://judge.example/v1"), MESSAGES)
    assert len(proxy.bodies) == (name != "all_proxy")


def test_a_web_page_in_place_of_an_answer_is_said() -> None:
    page = (200, {"Content-Type": "text/html; charset=utf-8"}, b"<html>Sign in</html>")
    with judge_server(lambda number, body: page) as server:
        answer = ask(endpoint(server.url, attempts=2), MESSAGES, sleep=Waits())
    assert answer.error is not None
    assert "not a chat completion but text/html; does the address end with the version" in answer.error


def test_https_to_a_server_that_has_none_is_not_retried() -> None:
    waits = Waits()
    server_without = judge_server(lambda number, body: completion("Eight."))
    with server_without as server, pytest.raises(UserError, match="cannot be asked by https"):
        ask(endpoint(server.url.replace("http:", "https:")), MESSAGES, sleep=waits)
    assert waits == []


def test_a_certificate_that_is_not_trusted_is_not_retried(monkeypatch: pytest.MonkeyPatch) -> None:
    untrusted = urllib.error.URLError(ssl.SSLCertVerificationError(1, "certificate verify failed: self-signed"))

    def refuse(*_: Any, **__: Any) -> Any:
        raise untrusted

    monkeypatch.setattr(urllib.request.OpenerDirector, "open", refuse)
    with pytest.raises(UserError, match=r"cannot be asked by https: .*self-signed"):
        ask(endpoint("https://judge.example/v1"), MESSAGES, sleep=Waits())
