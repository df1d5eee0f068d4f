"""Where the studio and the server listen: hosts and ports that can be used, and the sentence for those that cannot."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from talewright.errors import UserError
from talewright.server import address
from talewright.server.address import choose_address, in_url, listen, url
from talewright.server.run import serve

needs_ipv6 = pytest.mark.skipif(address._refused(socket.AF_INET6, "::1", 0) is not None, reason="no IPv6 here")


@contextmanager
def taken(host: str, family: int = socket.AF_INET) -> Iterator[int]:
    with socket.socket(family) as listener:
        listener.bind((host, 0))
        listener.listen()
        yield listener.getsockname()[1]


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "localhost", "127.0.0.2"])
def test_without_a_port_the_first_free_one_is_chosen(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with taken("127.0.0.1") as port:
        monkeypatch.setattr(address, "PORTS", range(port, port + 20))
        chosen = choose_address(host, None)
    assert chosen[0] == host
    assert port < chosen[1] < port + 20


@needs_ipv6
@pytest.mark.parametrize("host", ["::1", "[::1]", "::"])
def test_ipv6_is_taken_with_and_without_brackets(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with taken("::1", socket.AF_INET6) as port:
        monkeypatch.setattr(address, "PORTS", range(port, port + 20))
        chosen = choose_address(host, None)
    assert chosen[0] == host.strip("[]")
    assert port < chosen[1] < port + 20
    assert in_url(chosen[0]) == f"[{chosen[0]}]"


@given(port=st.one_of(st.integers(max_value=0), st.integers(min_value=65536)))
def test_a_port_that_is_none_is_refused(port: int) -> None:
    with pytest.raises(UserError, match=f"--port is {port}; it must be 1 to 65535"):
        choose_address("127.0.0.1", port)


@given(host=st.one_of(st.text(max_size=8).map("http://{}".format), st.sampled_from(["", "a b", "x" * 70, "192.0.2.1"])))
def test_a_host_that_is_none_is_one_sentence(host: str) -> None:
    with pytest.raises(UserError, match="no address of this machine"):
        choose_address(host, 7860)


def test_ports_that_are_taken_or_privileged_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with taken("127.0.0.1") as port:
        with pytest.raises(UserError, match=f"port {port} of 127.0.0.1 cannot be used: another program has it.*--port"):
            choose_address("127.0.0.1", port)
        monkeypatch.setattr(address, "PORTS", range(port, port + 1))
        with pytest.raises(UserError, match=f"no port from {port} to {port} of 127.0.0.1 is free.*--port"):
            choose_address("127.0.0.1", None)
    denied = OSError(errno.EACCES, os.strerror(errno.EACCES))
    monkeypatch.setattr(address, "_refused", lambda *place: denied)
    with pytest.raises(UserError, match=r"port 80 needs an administrator's rights.*above 1023"):
        choose_address("127.0.0.1", 80)


def listened(host: str, port: int) -> str:
    listening, shown = listen(host, port)
    listening.close()
    return shown


@pytest.mark.parametrize(
    ("host", "shown"), [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "localhost"), ("localhost", "localhost")]
)
def test_the_server_listens_at_the_named_host(host: str, shown: str) -> None:
    with taken("127.0.0.1") as free:
        pass
    assert listened(host, free) == url(host, free) == f"http://{shown}:{free}"


@needs_ipv6
@pytest.mark.parametrize(("host", "shown"), [("::1", "[::1]"), ("[::1]", "[::1]"), ("::", "localhost")])
def test_the_server_listens_at_ipv6(host: str, shown: str) -> None:
    with taken("::1", socket.AF_INET6) as free:
        pass
    assert listened(host, free) == f"http://{shown}:{free}"


@given(port=st.one_of(st.integers(max_value=0), st.integers(min_value=65536)))
def test_a_port_that_is_none_is_refused_by_the_server_too(port: int) -> None:
    with pytest.raises(UserError, match=f"--port is {port}; it must be 1 to 65535"):
        listen("127.0.0.1", port)


@given(host=st.one_of(st.text("\u202e\ud800 /é", min_size=1), st.sampled_from(["", "a..b", "x" * 70, "192.0.2.1"])))
def test_a_host_that_is_none_is_one_sentence_of_the_server_too(host: str) -> None:
    with pytest.raises(UserError, match="no address of this machine"):
        listen(host, 7860)


def test_a_port_that_is_taken_is_named_by_the_server_too() -> None:
    with (
        taken("127.0.0.1") as port,
        pytest.raises(UserError, match=f"port {port} of 127.0.0.1 cannot be used: another"),
    ):
        listen("127.0.0.1", port)


@pytest.mark.parametrize("option", ["max_tokens", "max_running", "max_waiting"])
def test_a_server_that_could_answer_nothing_is_refused(option: str) -> None:
    numbers: dict[str, Any] = {option: -1}
    with pytest.raises(UserError, match=f"--{option.replace('_', '-')} is -1; it must be . or more"):
        serve([], **numbers)
