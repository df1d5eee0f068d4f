"""Two nodes, each with its own torchrun, on a good and on a bad network, and what becomes of a run when one is lost."""

from __future__ import annotations

import os
import signal
import sys
import time

import pytest

from tests.cluster.links import INTERFACE, Link, what_links_lack
from tests.cluster.processes import SECONDS, Process, Workplace, free_ports

LACK = what_links_lack()
LOST = "lost the connection to another process"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
needs_links = pytest.mark.skipif(LACK is not None, reason=LACK or "")


class Nodes:
    """Two nodes that train one run with the same command; joined by a link, or by the loopback interface."""

    def __init__(self, place: Workplace, run: str, link: Link | None = None, restarts: int = 0) -> None:
        self.place, self.run, self.link, self.restarts = place, run, link, restarts
        self.port = free_ports(1)[0]

    def start(self) -> list[Process]:
        return [self.start_node(0), self.start_node(1)]

    def start_node(self, number: int) -> Process:
        command = [sys.executable, "-m", "torch.distributed.run", "--nnodes", "2", "--nproc-per-node", "1"]
        first = "node1" if self.link else "127.0.0.1"
        command += ["--rdzv-backend", "c10d", "--rdzv-endpoint", f"{first}:{self.port}"]
        command += ["--max-restarts", str(self.restarts), "-m", "talewright", "train"]
        command += self.place.options(self.run, "--resume", "auto")
        command = self.link.on_node(number, command) if self.link else command
        variables = {"GLOO_SOCKET_IFNAME": INTERFACE if self.link else "lo"}
        return self.place.start(command, f"{self.run}.{number}", variables)

    def finish(self, nodes: list[Process]) -> None:
        """Wait for the end of the run, and compare its losses to those of one process that was left alone."""
        for node in nodes:
            assert node.wait(SECONDS) == 0, node.said()
        expected = self.place.losses("alone")
        losses = self.place.losses(self.run)
        assert [step for step, _ in losses] == [step for step, _ in expected]
        assert [loss for _, loss in losses] == pytest.approx([loss for _, loss in expected], rel=1e-5)

    def talewright(self, node: Process) -> int:
        """The training process of a node."""
        (worker,) = node.workers()
        return worker


@pytest.fixture
def link():
    with Link(delay=0.02, loss=0.01) as made:
        yield made


def test_two_nodes_train_like_one_process(place):
    nodes = Nodes(place, "two")
    nodes.finish(nodes.start())


@needs_links
def test_a_slow_network_that_loses_packets_changes_nothing(place, link):
    nodes = Nodes(place, "poor", link)
    nodes.finish(nodes.start())
    assert link.carried > 60  # the gradients went through it


@needs_links
def test_a_killed_process_is_started_again_and_the_run_goes_on(place, link):
    nodes = Nodes(place, "restarted", link, restarts=3)
    started = nodes.start()
    place.wait_for_step("restarted", 15)
    os.kill(nodes.talewright(started[1]), signal.SIGKILL)
    nodes.finish(started)


@needs_links
@pytest.mark.parametrize("lost", [0, 1], ids=["first", "second"])
def test_a_node_that_is_lost_ends_the_other_with_a_sentence_and_the_same_command_goes_on(place, link, lost):
    nodes = Nodes(place, f"lost{lost}", link)
    started = nodes.start()
    place.wait_for_step(nodes.run, 15)
    started[lost].kill()
    other = started[1 - lost]
    # now and then gloo does not notice, and torchrun's own minute and a half has to pass
    assert other.wait(200) == 1
    assert LOST in other.said() or "wait timeout" in other.said()
    nodes.finish(nodes.start())


@needs_links
def test_a_network_that_is_gone_for_seconds_changes_nothing(place, link):
    nodes = Nodes(place, "short", link)
    started = nodes.start()
    place.wait_for_step("short", 15)
    link.cut = True
    time.sleep(4)
    link.cut = False
    nodes.finish(started)


@needs_links
@pytest.mark.timeout(1200)
def test_a_network_that_stays_away_ends_the_run_and_the_same_command_goes_on(place, link):
    """torch.distributed waits for ten minutes; torchrun may give up before, and stops its process."""
    nodes = Nodes(place, "long", link)
    started = nodes.start()
    place.wait_for_step("long", 15)
    link.cut = True
    assert all(node.wait(720) for node in started)
    assert any(LOST in node.said() for node in started)
    link.cut = False
    nodes.finish(nodes.start())


@needs_links
def test_a_sigterm_to_both_saves_and_the_same_command_goes_on(place, link):
    nodes = Nodes(place, "stopped", link)
    started = nodes.start()
    place.wait_for_step("stopped", 15)
    for node in started:
        node.started.send_signal(signal.SIGTERM)
    assert all(node.wait(60) for node in started)  # torchrun ends with 1, whatever its processes' code is
    assert "SIGTERM" in started[0].said()
    assert "and saved. To continue: talewright train --resume" in started[0].said()
    nodes.finish(nodes.start())
