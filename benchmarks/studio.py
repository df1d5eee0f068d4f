"""The studio, or the server, with 50 users at once: python benchmarks/studio.py RUN [--serve] [--users 50].

Starts `talewright studio` (or `talewright serve`) in its own process and simulates the users from this one, as their
browsers (or OpenAI's client) would: each requests a story, follows it, waits for a second, and requests the next; every
fifth story is abandoned. Prints the time to the first word, the tokens per second of all users together, and the
server's memory.
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
PAUSE = 1.0
"""Seconds between two stories of a user."""
ABANDONED = 5
"""Every fifth story is abandoned."""


@dataclass
class Measurements:
    """What the users measured."""

    first_words: list[float] = field(default_factory=list)
    """Seconds from request to first word, in the order of the first words."""
    tokens: int = 0
    finished: int = 0
    abandoned: int = 0
    failures: list[str] = field(default_factory=list)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run")
    parser.add_argument("--users", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--port", type=int, default=7955)
    parser.add_argument("--serve", action="store_true", help="the server, not the studio")
    options = parser.parse_args()
    name = "serve" if options.serve else "studio"
    command = [sys.executable, "-m", "talewright", name, options.run, "--port", str(options.port)]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert server.stderr is not None
    try:
        line = server.stderr.readline()
        if "http://" not in line:
            sys.exit(f"the {name} did not open: {line}")
        play = _play(f"http://127.0.0.1:{options.port}", server.pid, options.users, options.seconds, options.serve)
        asyncio.run(play)
    finally:
        server.terminate()
        server.wait(20)


async def _play(address: str, process: int, users: int, seconds: float, serve: bool) -> None:
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=address, timeout=60, limits=limits) as client:
        if serve:
            request, endpoint = _completion, {"model": (await client.get("/v1/models")).json()["data"][0]["id"]}
        else:
            config = (await client.get("/config")).json()
            function = next(each["id"] for each in config["dependencies"] if each["api_name"] == "generate")
            model = next(each for each in config["components"] if each["props"].get("elem_id") == "model")
            request, endpoint = _story, {"fn_index": function, "model": model["props"]["value"]}
        before, measured, memory = _resident(process), Measurements(), [0.0]
        end = time.monotonic() + seconds
        watch = asyncio.create_task(_watch_memory(process, memory))
        await asyncio.gather(*(_user(client, request, endpoint, number, end, measured) for number in range(users)))
        watch.cancel()
        after = _resident(process)
    waits = sorted(measured.first_words)
    print(f"{users} users, {seconds:.0f} s: {measured.finished} stories finished, {measured.abandoned} abandoned")
    print(f"first word: {measured.first_words[0]:.2f} s for the first user, ", end="")
    print(
        f"{median(waits):.2f} s at the median, {quantiles(waits, n=100)[-1]:.2f} s at 99 %, {waits[-1]:.2f} s at most"
    )
    print(f"tokens: {measured.tokens / seconds:,.0f} per second, all users together")
    print(f"server's memory: {before:,.0f} MB before, {memory[0]:,.0f} MB at most, {after:,.0f} MB after")
    print(f"failures: {len(measured.failures)} {measured.failures[:3]}")


async def _user(
    client: httpx.AsyncClient, request: Any, endpoint: dict[str, Any], number: int, end: float, measured: Measurements
) -> None:
    """One user until the time is over. Each story has a name of its own, which must not occur in another's."""
    session, story = uuid.uuid4().hex[:12], 0
    while time.monotonic() < end:
        story += 1
        prompt = f"User{number}x{story} had a dog."
        try:
            await request(client, endpoint, session, prompt, story % ABANDONED == 0, measured)
        except Exception as error:
            measured.failures.append(f"{type(error).__name__}: {error}")
        await asyncio.sleep(PAUSE)


async def _story(
    client: httpx.AsyncClient,
    endpoint: dict[str, Any],
    session: str,
    prompt: str,
    abandon: bool,
    measured: Measurements,
) -> None:
    # the page's inputs in their order: the prompt, the model, the session (which the server holds), the settings
    data = [prompt, endpoint["model"], None, 0.8, 100, 50, 1.0, 1.0, len(prompt)]
    start, first, done, name = time.monotonic(), False, False, prompt.split("x")[0]
    request = {"data": data, "fn_index": endpoint["fn_index"], "session_hash": session}
    (await client.post("/gradio_api/queue/join", json=request)).raise_for_status()
    async with client.stream("GET", "/gradio_api/queue/data", params={"session_hash": session}) as events:
        async for line in events.aiter_lines():
            if not line.startswith("data:"):
                continue
            message = json.loads(line[5:])
            text = json.dumps(message.get("output", {}), ensure_ascii=False).replace('\\"', '"')
            if not first and FIRST_WORD.search(text):
                first = True
                measured.first_words.append(time.monotonic() - start)
                if abandon:
                    measured.abandoned += 1
                    return
            if not done and (count := COUNT.search(text)):  # it comes in the last update, and again in the result
                done = True
                if not first:  # the whole story came at once
                    measured.first_words.append(time.monotonic() - start)
                measured.tokens += int(count[1].replace(",", ""))
                measured.finished += 1
                names = set(re.findall(r"User\d+(?=x\d)", text))  # of this story and the same user's past ones
                if prompt not in text or names != {name}:
                    measured.failures.append(f"{prompt}: the story that arrived is of {names}")
            if message["msg"] == "process_completed":
                if not message["success"]:
                    measured.failures.append(text[:200])
                return


async def _completion(
    client: httpx.AsyncClient,
    endpoint: dict[str, Any],
    session: str,
    prompt: str,
    abandon: bool,
    measured: Measurements,
) -> None:
    """The same of the server: a stream of OpenAI's completions."""
    body = {"model": endpoint["model"], "prompt": prompt, "max_tokens": 100, "temperature": 0.8, "top_p": 1.0}
    start, words, usage = time.monotonic(), "", {"include_usage": True}
    options = {"top_k": 50, "echo": True, "stream": True, "stream_options": usage}
    async with client.stream("POST", "/v1/completions", json=body | options) as events:
        events.raise_for_status()
        async for line in events.aiter_lines():
            if not line.startswith("data: {"):
                continue
            message = json.loads(line[6:])
            first = len(words) <= len(prompt)
            words += "".join(choice["text"] for choice in message["choices"])
            if first and len(words) > len(prompt):
                measured.first_words.append(time.monotonic() - start)
                if abandon:
                    measured.abandoned += 1
                    return
            if usage := message.get("usage"):
                measured.tokens += usage["completion_tokens"]
                measured.finished += 1
    names = set(re.findall(r"User\d+x\d+", words))
    if not words.startswith(prompt) or names != {prompt.split(" ")[0]}:
        measured.failures.append(f"{prompt}: the story that arrived is of {names}")


async def _watch_memory(process: int, most: list[float]) -> None:
    while True:
        most[0] = max(most[0], _resident(process))
        await asyncio.sleep(0.5)


def _resident(process: int) -> float:
    """Resident memory of the process, in MB."""
    status = Path(f"/proc/{process}/status").read_text(encoding="utf-8")
    return int(re.findall(r"VmRSS:\s+(\d+)", status)[0]) / 1024


if __name__ == "__main__":
    main()
