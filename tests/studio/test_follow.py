"""Any number of a user's stories are generated, a few at a time."""

from __future__ import annotations

import asyncio

import pytest

from talewright.generate.sampling import Sampling
from talewright.server.scheduler import Generation

pytest.importorskip("gradio", reason="the studio needs Gradio: the extra `studio`")


def stories(count: int, choice: str = "tales") -> list[Generation]:
    return [
        Generation(user="Ada", choice=choice, prompt="One day", sampling=Sampling(seed=i, max_new_tokens=12))
        for i in range(count)
    ]


def follow(scheduler, wanted, stop_after=None) -> list[int]:
    """How many were in progress at each update."""
    from talewright.studio.shared import follow_all

    async def collect() -> list[int]:
        counts = []
        async for _ in follow_all(scheduler, wanted):
            counts.append(sum(scheduler.counts()))
            if stop_after is not None and len(counts) == stop_after:
                for each in wanted:
                    each.stop()
        return counts

    return asyncio.run(collect())


def test_all_are_generated_and_never_more_at_once_than_one_user_may_have(make_scheduler):
    scheduler, wanted = make_scheduler(per_user=2), [*stories(5), *stories(1, "nothing")]
    counts = follow(scheduler, wanted)
    assert max(counts) <= 2
    assert not any(each.running for each in wanted)
    assert all(each.tokens or each.finished for each in wanted[:5])
    assert "nothing" in wanted[5].error


def test_those_that_wait_for_their_turn_are_stopped_too(make_scheduler):
    wanted = stories(6)
    for each in wanted:
        each.sampling = Sampling(max_new_tokens=100_000)
    follow(make_scheduler(per_user=2), wanted, stop_after=1)
    assert not any(each.running for each in wanted)
    assert all(each.stopped for each in wanted)
    assert not any(each.tokens for each in wanted[2:])
