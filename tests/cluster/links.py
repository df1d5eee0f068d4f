"""Two nodes on this machine: network namespaces, joined by a link that delays and loses packets, and can be cut.

The link is two TUN devices, between which a thread carries the packets: it needs no kernel module for bad networks.
"""

from __future__ import annotations

import contextlib
import fcntl
import heapq
import os
import random
import select
import shutil
import struct
import subprocess
import threading
import time
from collections.abc import Sequence
from pathlib import Path

SET_DEVICE, TUN, PLAIN_PACKETS = 0x400454CA, 0x0001, 0x1000  # of linux/if_tun.h
INTERFACE = "tun0"
ADDRESSES = ["10.99.0.1", "10.99.0.2"]


def what_links_lack() -> str | None:
    """Why there can be no link here, or None."""
    if os.geteuid() != 0:
        return "only root can make network namespaces"
    if shutil.which("ip") is None:
        return "no `ip` (Debian: apt-get install iproute2)"
    if not Path("/dev/net/tun").exists():
        return "no /dev/net/tun"
    made = subprocess.run(["ip", "netns", "add", f"probe-{os.getpid()}"], capture_output=True, text=True, check=False)
    if made.returncode:
        return f"no network namespaces: {made.stderr.strip()}"
    _ip("netns", "del", f"probe-{os.getpid()}")
    return None


class Link:
    """The nodes `node1` and `node2`, which know each other by these names. Use as a context manager.

    Each packet arrives `delay` seconds later; the fraction `loss` of them never does, and none does while `cut`.
    """

    def __init__(self, delay: float = 0.0, loss: float = 0.0) -> None:
        self.delay, self.loss, self.cut = delay, loss, False
        self.carried = 0
        self.namespaces = [f"node{number}-{os.getpid()}" for number in (1, 2)]
        self._devices: list[int] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._carry, daemon=True)

    def __enter__(self) -> Link:
        for number, name in enumerate(self.namespaces):
            device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
            self._devices.append(device)
            interface = f"tw{number}-{os.getpid()}"
            fcntl.ioctl(device, SET_DEVICE, struct.pack("16sH", interface.encode(), TUN | PLAIN_PACKETS))
            _ip("netns", "add", name)
            _ip("link", "set", interface, "netns", name, "name", INTERFACE)
            _ip("-n", name, "address", "add", f"{ADDRESSES[number]}/24", "dev", INTERFACE)
            _ip("-n", name, "link", "set", INTERFACE, "up")
            _ip("-n", name, "link", "set", "lo", "up")
            hosts = Path("/etc/netns", name, "hosts")  # `ip netns exec` shows it as /etc/hosts
            hosts.parent.mkdir(parents=True)
            hosts.write_text("127.0.0.1 localhost\n" + "".join(f"{ADDRESSES[n]} node{n + 1}\n" for n in (0, 1)))
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._ended.set()
        self._thread.join()
        for device in self._devices:
            os.close(device)
        for name in self.namespaces:
            _ip("netns", "del", name)
            shutil.rmtree(Path("/etc/netns", name))

    def on_node(self, number: int, command: Sequence[str]) -> list[str]:
        """The command that runs `command` on the node of this number, 0 or 1."""
        as_host = ["unshare", "--uts", "sh", "-c", 'hostname "$0" && exec "$@"', f"node{number + 1}"]
        return ["ip", "netns", "exec", self.namespaces[number], *as_host, *command]

    def _carry(self) -> None:
        draw, first, second = random.Random(1), *self._devices
        other, flying = {first: second, second: first}, []
        while not self._ended.is_set():
            wait = max(0.0, min(flying[0][0] - time.monotonic(), 0.05)) if flying else 0.05
            for device in select.select(self._devices, [], [], wait)[0]:
                packet = os.read(device, 65536)
                if not self.cut and draw.random() >= self.loss:
                    heapq.heappush(flying, (time.monotonic() + self.delay, self.carried, other[device], packet))
                    self.carried += 1
            while flying and flying[0][0] <= time.monotonic():
                with contextlib.suppress(BlockingIOError):  # a full queue loses packets, as a router does
                    os.write(flying[0][2], flying[0][3])
                heapq.heappop(flying)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)
