"""Where the studio and the server listen: a host and a port of this machine that can be used."""

from __future__ import annotations

import errno
import os
import socket
from contextlib import closing

from talewright.errors import UserError

PORTS = range(7860, 7960)
"""Tried in this order by the studio if none is named."""
BACKLOG = 2048
"""Connections that wait for the server to take them."""
EVERYWHERE = ("0.0.0.0", "::")
"""Hosts that mean all addresses of this machine."""


def choose_address(host: str, port: int | None) -> tuple[str, int]:
    """The host without brackets, and the port, or the first free one of PORTS, for Gradio to listen at. Raises
    UserError if they cannot be used.
    """
    host, places = _places(host, port)
    places += [(socket.AF_INET, "127.0.0.1")]  # which Gradio needs too, whatever the host is
    for each in PORTS if port is None else (port,):
        error = next(filter(None, (_refused(family, address, each) for family, address in places)), None)
        if error is None:
            return host, each
        if port is not None or error.errno != errno.EADDRINUSE:
            raise UserError(_explained(host, each, error))
    raise UserError(f"no port from {PORTS[0]} to {PORTS[-1]} of {host} is free; name another with --port")


def listen(host: str, port: int) -> tuple[socket.socket, str]:
    """A socket that listens there, and its address for a browser. Raises UserError if they cannot be used."""
    host, places = _places(host, port)
    family, address = places[0]
    try:
        return socket.create_server((address, port), family=family, backlog=BACKLOG), url(host, port)
    except OSError as error:
        raise UserError(_explained(host, port, error)) from None


def url(host: str, port: int) -> str:
    """The address for a browser on this machine."""
    return f"http://{'localhost' if host in EVERYWHERE else in_url(host)}:{port}"


def in_url(host: str) -> str:
    """The host as an address of the web has it: IPv6 in brackets."""
    return f"[{host}]" if ":" in host else host


def _places(host: str, port: int | None) -> tuple[str, list[tuple[int, str]]]:
    """The host without brackets, and the family and address of each place that it names. Raises UserError if it names
    none, or the port is none.
    """
    if port is not None and not 1 <= port <= 65535:
        raise UserError(f"--port is {port}; it must be 1 to 65535")
    host = host.removeprefix("[").removesuffix("]")
    return host, _resolve(host)


def _resolve(host: str) -> list[tuple[int, str]]:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError):
        raise UserError(
            f'no address of this machine is called "{host}"; --host takes 127.0.0.1 (this machine only), 0.0.0.0 '
            "(every machine that reaches it), or a name or address of this machine, without http:// or a port"
        ) from None
    return list({(family, str(address[0])): None for family, _, _, _, address in found})


def _refused(family: int, address: str, port: int) -> OSError | None:
    """The error that the system gives if one listens there; None if one can."""
    try:
        with closing(socket.socket(family, socket.SOCK_STREAM)) as listener:
            if os.name == "posix":  # elsewhere it would take the port from another program
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((address, port))
    except OSError as error:
        return error
    return None


def _explained(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} of {host} cannot be used: another program has it; name another with --port"
    if error.errno == errno.EACCES:
        return f"port {port} needs an administrator's rights on this machine; name one above 1023 with --port"
    return f"{host} is no address of this machine that one can listen at ({error.strerror}); --host 127.0.0.1 is"
