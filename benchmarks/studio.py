"""The studio under 50 visitors at once: python benchmarks/studio.py RUN [--visitors 50] [--seconds 120].

Starts `talewright studio` as a process of its own and plays the visitors from this one, as their browsers would: each
asks for a story, follows it, thinks for a second, asks for the next; every fifth story is left in the middle. Said are
the time to the first word, the tokens a second of all together, and the server's memory.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import subprocess
import sys
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import httpx

FIRST_WORD = re.compile(r'class="given">[^<]*</span>[^<]+<span class="caret"')
COUNT = re.compile(r"after ([\d,]+) tokens")
THINKING = 1.0
LEAVES = 5
"""Every so many stories, a visitor leaves in the middle."""


@dataclass
class Seen:
    """What the visitors saw."""

    first_words: list[float] = field(default_factory=list)
    """Seconds from asking to the first word, in the order of asking."""
    tokens: int = 0
    told: int = 0
    left: int = 0
    failures: list[str] = field(default_factory=list)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run")
    parser.add_argument("--visitors", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--port", type=int, default=7955)
    options = parser.parse_args()
    words = [sys.executable, "-m", "talewright", "studio", options.run, "--port", str(options.port)]
    server = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    assert server.stderr is not None
    try:
        said = server.stderr.readline()
        if "is open" not in said:
            sys.exit(f"the studio did not open: {said}")
        asyncio.run(_play(f"http://127.0.0.1:{options.port}", server.pid, options.visitors, options.seconds))
    finally:
        server.terminate()
        server.wait(20)


async def _play(address: str, process: int, visitors: int, seconds: float) -> None:
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=address, timeout=60, limits=limits) as client:
        config = (await client.get("/config")).json()
        tell = next(each["id"] for each in config["dependencies"] if each["api_name"] == "tell")
        who = next(each for each in config["components"] if each["props"].get("elem_id") == "who")
        ask = {"fn_index": tell, "who": who["props"]["value"]}
        before, seen, memory = _resident(process), Seen(), [0.0]
        end = time.monotonic() + seconds
        watch = asyncio.create_task(_watch_memory(process, memory))
        await asyncio.gather(*(_visit(client, ask, number, end, seen) for number in range(visitors)))
        watch.cancel()
        after = _resident(process)
    waits = sorted(seen.first_words)
    print(f"{visitors} visitors, {seconds:.0f} s: {seen.told} stories told, {seen.left} left in the middle")
    print(f"first word: {seen.first_words[0]:.2f} s for the first visitor, ", end="")
    print(f"{median(waits):.2f} s at the median, {quantiles(waits, n=20)[-1]:.2f} s at 95 %, {waits[-1]:.2f} s at most")
    print(f"tokens: {seen.tokens / seconds:,.0f} a second, all together")
    print(f"server's memory: {before:,.0f} MB before, {memory[0]:,.0f} MB at most, {after:,.0f} MB after")
    print(f"failures: {len(seen.failures)} {seen.failures[:3]}")


async def _visit(client: httpx.AsyncClient, ask: dict[str, Any], number: int, end: float, seen: Seen) -> None:
    """One visitor until the time is over, each story under a name of his own that no other's may hold."""
    session, story = uuid.uuid4().hex[:12], 0
    while time.monotonic() < end:
        story += 1
        prompt = f"Visitor{number}x{story} had a dog."
        try:
            await _story(client, ask, session, prompt, story % LEAVES == 0, seen)
        except Exception as error:
            seen.failures.append(f"{type(error).__name__}: {error}")
        await asyncio.sleep(THINKING)


async def _story(
    client: httpx.AsyncClient, ask: dict[str, Any], session: str, prompt: str, leaves: bool, seen: Seen
) -> None:
    # the page's inputs in their order: the beginning, who tells, the visit (which the server holds), the settings
    data = [prompt, ask["who"], None, 0.8, 100, 50, 1.0, 1.0, len(prompt)]
    begun, first, told, name = time.monotonic(), False, False, prompt.split("x")[0]
    asked = {"data": data, "fn_index": ask["fn_index"], "session_hash": session}
    (await client.post("/gradio_api/queue/join", json=asked)).raise_for_status()
    async with client.stream("GET", "/gradio_api/queue/data", params={"session_hash": session}) as events:
        async for line in events.aiter_lines():
            if not line.startswith("data:"):
                continue
            message = json.loads(line[5:])
            text = json.dumps(message.get("output", {}), ensure_ascii=False).replace('\\"', '"')
            if not first and FIRST_WORD.search(text):
                first = True
                seen.first_words.append(time.monotonic() - begun)
                if leaves:
                    seen.left += 1
                    return
            if not told and (count := COUNT.search(text)):  # said as the last news, and once more as the result
                told = True
                if not first:  # the whole story came at once
                    seen.first_words.append(time.monotonic() - begun)
                seen.tokens += int(count[1].replace(",", ""))
                seen.told += 1
                names = set(re.findall(r"Visitor\d+(?=x\d)", text))  # his own, also those of his past stories
                if prompt not in text or names != {name}:
                    seen.failures.append(f"{prompt}: the story that came is of {names}")
            if message["msg"] == "process_completed":
                if not message["success"]:
                    seen.failures.append(text[:200])
                return


async def _watch_memory(process: int, most: list[float]) -> None:
    while True:
        most[0] = max(most[0], _resident(process))
        await asyncio.sleep(0.5)


def _resident(process: int) -> float:
    """Megabytes of the process that lie in memory."""
    status = Path(f"/proc/{process}/status").read_text(encoding="utf-8")
    return int(re.findall(r"VmRSS:\s+(\d+)", status)[0]) / 1024


if __name__ == "__main__":
    main()
