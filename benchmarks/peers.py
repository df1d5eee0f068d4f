"""What the peers reach in ten minutes: nanoGPT, nanochat and llama2.c, each trained by its own script on our stories.

Each peer is a checkout of its own repository, and trains in the shape that its documents give for a CPU, with its own
tokenizer. How many iterations fit into the minutes follows from the speed that `speed` measures, in turn; a run has
just these, so that it may be made beside other work. The score is the peer's own loss on the validation stories.

    python -m benchmarks.peers prepare --peers CHECKOUTS --stories train.txt --valid valid.txt
    python -m benchmarks.peers speed   --peers CHECKOUTS
    python -m benchmarks.peers train   --peers CHECKOUTS --minutes 10 [--only nanogpt]
"""

from __future__ import annotations

import argparse
import json
import math
import os
import pickle
import re
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

SEPARATOR = "<|endoftext|>"
PROBE_STEPS = 12
"""Iterations that measure the speed."""
VOCABULARY = 4096
"""Tokens of nanochat's tokenizer; its own 32,768 would be nine tenths of a model that trains in minutes."""


@dataclass(frozen=True)
class Peer:
    """How one peer is trained: its checkout, its command, and where its output says how long an iteration took."""

    folder: str
    command: str
    time: str
    loss: str
    nats_of_tokens: bool = True
    """Whether `loss` is nats per token, not bits per byte."""


PEERS = {
    # The command that its README gives for a CPU, on stories in place of Shakespeare: characters, a context of 64.
    "nanogpt": Peer(
        "nanoGPT",
        (
            "train.py config/train_shakespeare_char.py --dataset=stories --device=cpu --compile=False "
            "--eval_iters={batches} "
            "--log_interval=1 --block_size=64 --batch_size=12 --n_layer=4 --n_head=4 --n_embd=128 --dropout=0.0 "
            "--eval_interval={steps} --max_iters={steps} --lr_decay_iters={steps} --out_dir=out"
        ),
        r"time ([\d.]+)ms",
        r"val loss ([\d.]+)",
    ),
    # doc/stories260K.md, but for the batch (128 windows take seconds here) and the warmup, a tenth of the iterations.
    "llama2c": Peer(
        "llama2.c",
        (
            "train.py --out_dir=outmini --batch_size=16 --max_seq_len=512 --gradient_accumulation_steps=1 "
            "--vocab_source=custom --vocab_size=512 --dim=64 --n_layers=5 --n_heads=8 --n_kv_heads=4 --multiple_of=4 "
            "--learning_rate=1e-3 --dropout=0.05 --weight_decay=0.01 --beta2=0.99 --eval_iters={batches} --device=cpu "
            "--dtype=float32 --compile=False --warmup_iters={warmup} --max_iters={steps} --eval_interval={steps}"
        ),
        r"([\d.]+)ms",
        r"val loss ([\d.]+)",
    ),
    # runs/runcpu.sh, but for 4 layers of 256 in place of 6 of 384, and 8,192 tokens a step in place of 16,384.
    "nanochat": Peer(
        "nanochat",
        (
            "-m scripts.base_train --depth=4 --head-dim=64 --window-pattern=L --max-seq-len=512 "
            "--device-batch-size=16 --total-batch-size=8192 --eval-every={steps} --eval-tokens={tokens} "
            "--core-metric-every=-1 --sample-every=-1 --save-every=-1 --num-iterations={steps} --run=dummy"
        ),
        r"dt: ([\d.]+)ms",
        r"Validation bpb: ([\d.]+)",
        nats_of_tokens=False,
    ),
}


def main() -> None:
    """Run one of the three stages."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stage", choices=["prepare", "speed", "train"])
    parser.add_argument(
        "--peers", type=Path, required=True, help="folder with the checkouts nanoGPT, nanochat, llama2.c"
    )
    parser.add_argument("--stories", type=Path, nargs="+", help="prepare: training stories, separated by <|endoftext|>")
    parser.add_argument("--valid", type=Path, help="prepare: validation stories")
    parser.add_argument("--minutes", type=float, default=10.0, help="train: minutes of training")
    parser.add_argument("--rounds", type=int, default=3, help="speed: how often each peer takes its turn")
    parser.add_argument("--only", choices=list(PEERS), nargs="+", default=list(PEERS))
    options = parser.parse_args()
    results = options.peers / "peers.json"
    known = json.loads(results.read_text()) if results.exists() else {name: {} for name in PEERS}
    if options.stage == "prepare":
        train = [story for path in options.stories for story in _stories(path)]
        valid = _stories(options.valid)
        for name in options.only:
            known[name]["bytes per token"] = _PREPARE[name](options.peers / PEERS[name].folder, train, valid)
    elif options.stage == "speed":
        times: dict[str, list[float]] = {name: [] for name in options.only}
        for _ in range(options.rounds):
            for name in options.only:
                times[name] += _times(PEERS[name], _run(options.peers, PEERS[name], PROBE_STEPS, batches=1))
        for name, found in times.items():
            known[name]["ms per step"] = statistics.median(found)
    else:
        for name in options.only:
            steps = round(options.minutes * 60_000 / known[name]["ms per step"])
            output = _run(options.peers, PEERS[name], steps)
            loss = float(re.findall(PEERS[name].loss, output)[-1])
            nats = PEERS[name].nats_of_tokens
            known[name] |= {
                "minutes": options.minutes,
                "steps": steps,
                "bits per byte": loss / math.log(2) / known[name]["bytes per token"] if nats else loss,
            }
    results.write_text(json.dumps(known, indent=1) + "\n")
    print(json.dumps(known, indent=1))


def _stories(path: Path) -> list[str]:
    return [story.strip() for story in path.read_text(encoding="utf-8").split(SEPARATOR) if story.strip()]


def _environment(peers: Path) -> dict[str, str]:
    return {**os.environ, "NANOCHAT_BASE_DIR": str(peers / "nanochat-data"), "WANDB_MODE": "disabled"}


def _run(peers: Path, peer: Peer, steps: int, batches: int = 20) -> str:
    """The output of `steps` iterations of a peer's own training, which evaluates on so many batches."""
    words = peer.command.format(steps=steps, warmup=max(steps // 10, 1), batches=batches, tokens=batches * 8192).split()
    done = subprocess.run(
        [sys.executable, "-u", *words],
        cwd=peers / peer.folder,
        env=_environment(peers.absolute()),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{peer.folder} failed:\n{done.stderr[-3000:]}")
    return done.stdout


def _times(peer: Peer, output: str) -> list[float]:
    """Milliseconds of each reported iteration, without the first, which warm up."""
    return [float(found) for found in re.findall(peer.time, output)][2:-1]


def _prepare_nanogpt(folder: Path, train: list[str], valid: list[str]) -> float:
    texts = {"train": "\n\n".join(train), "val": "\n\n".join(valid)}
    characters = sorted(set("".join(texts.values())))
    number = {character: index for index, character in enumerate(characters)}
    data = folder / "data" / "stories"
    data.mkdir(parents=True, exist_ok=True)
    for split, text in texts.items():
        np.array([number[character] for character in text], np.uint16).tofile(data / f"{split}.bin")
    meta = {"vocab_size": len(characters), "itos": dict(enumerate(characters)), "stoi": number}
    (data / "meta.pkl").write_bytes(pickle.dumps(meta))  # the format that nanoGPT reads
    return len(texts["val"].encode()) / len(texts["val"])


def _prepare_llama2c(folder: Path, train: list[str], valid: list[str]) -> float:
    data = folder / "data" / "TinyStories_all_data"
    data.mkdir(parents=True, exist_ok=True)
    for number, stories in enumerate([valid, train]):  # its first shard is the validation split
        (data / f"data{number:02}.json").write_text(json.dumps([{"story": story} for story in stories]))
    for stage in ("train_vocab", "pretokenize"):
        command = [sys.executable, "tinystories.py", stage, "--vocab_size=512"]
        subprocess.run(command, cwd=folder, input="n\n", text=True, check=True, capture_output=True)
    tokens = (folder / "data" / "tok512" / "data00.bin").stat().st_size // 2
    return sum(len(story.encode()) for story in valid) / tokens


def _prepare_nanochat(folder: Path, train: list[str], valid: list[str]) -> float:
    import pyarrow
    import pyarrow.parquet

    data = folder.parent / "nanochat-data" / "base_data_climbmix"
    data.mkdir(parents=True, exist_ok=True)
    for number, stories in enumerate([train, valid]):  # its last shard is the validation split
        table = pyarrow.table({"text": stories})
        pyarrow.parquet.write_table(table, data / f"shard_{number:05}.parquet", row_group_size=1024)
    command = [sys.executable, "-m", "scripts.tok_train", f"--vocab-size={VOCABULARY}"]
    subprocess.run(command, cwd=folder, env=_environment(folder.parent.absolute()), check=True, capture_output=True)
    return 0.0  # it reports bits per byte itself


_PREPARE = {"nanogpt": _prepare_nanogpt, "llama2c": _prepare_llama2c, "nanochat": _prepare_nanochat}

if __name__ == "__main__":
    main()
