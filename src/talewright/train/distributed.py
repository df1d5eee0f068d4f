"""The processes of a run: how they start and join, how they agree, and what each contributes to a batch."""

from __future__ import annotations

import json
import logging
import os
import secrets
import socket
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning_fabric.plugins.environments.kubeflow import KubeflowEnvironment
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning_fabric.plugins.precision.amp import MixedPrecision
from lightning_fabric.plugins.precision.precision import Precision as FabricPrecision
from lightning_fabric.strategies.ddp import DDPStrategy
from torch.distributed.rendezvous import rendezvous

from talewright.config import Recipe
from talewright.errors import LostProcessError, UserError
from talewright.machine import Precision, choose_precision
from talewright.run.retention import steps
from talewright.train.launcher import KUBEFLOW, SLURM, TORCHRUN, Launched, detect_launcher, is_main_process
from talewright.train.signals import Stopped, StopSignal, default_signals

logger = logging.getLogger(__name__)
T = TypeVar("T")
torch_distributed: Any = dist  # some of its public names are not declared

JOIN_TIMEOUT = timedelta(hours=1)
"""How long a process waits for the others to start: they may still prepare stories."""
STEP_TIMEOUT = timedelta(minutes=10)
"""How long it waits for them later: while the main process saves or generates a sample, or they compile."""
PLUGINS: dict[Precision, Callable[[str], FabricPrecision]] = {
    "fp32": lambda device: FabricPrecision(),
    "bf16": lambda device: MixedPrecision("bf16-mixed", device),
    "fp16": lambda device: MixedPrecision("16-mixed", device),
}
"""Fabric's plugins, for a kind of device. By the name of a precision, Fabric takes bf16 in place of fp16 on a CPU."""
QUIET_SECONDS = 5.0
"""A process that waits longer for the others to start says so."""
LOST = ("gloo", "NCCL", "Connection", "connection", "Broken pipe", "Socket", "Timed out", "timed out", "Timeout")
"""What the messages of torch.distributed say, in a RuntimeError of no class of its own, when a process is gone."""


@dataclass(frozen=True)
class DistributedContext:
    """The processes of a run, of which this is one, and the precision of their matrix products."""

    fabric: Fabric
    precision: Precision
    per_node: int = 1
    """Processes on this machine."""
    stop: StopSignal = field(default_factory=StopSignal)
    """Entered while a run is set up: a signal that one process received ends all at their next `collect`."""

    def collect(self, function: Callable[[], Any]) -> list[Any]:
        """Call a function in every process; each returns the results of all, values that JSON holds, by rank.

        If it raises UserError in one process, all raise that error; if one has received a stop signal, all raise
        Stopped.
        """
        if self.fabric.world_size == 1:
            return [function()]
        value, error = None, None
        try:
            value = function()
        except UserError as problem:
            error = str(problem)
            if not self.fabric.is_global_zero:
                error = f"process {self.fabric.global_rank} on {socket.gethostname()}: {problem}"
        results = self._gather({"value": value, "error": error, "signal": self.stop.number})
        for number in (result["signal"] for result in results):
            if number is not None:
                raise Stopped(number)
        for text in (result["error"] for result in results):
            if text is not None:
                raise UserError(text)
        return [result["value"] for result in results]

    def decide(self, function: Callable[[], Any]) -> Any:
        """Call a function in the main process only; every process returns its result, a value that JSON holds, or
        raises its UserError.
        """
        return self.collect(lambda: function() if self.fabric.is_global_zero else None)[0]

    def agree(self, function: Callable[[], T]) -> T:
        """Call a function in every process; each returns its own result, or all raise the UserError of one."""
        own: list[T] = []
        self.collect(lambda: own.append(function()))
        return own[0]

    @contextmanager
    def explain_lost_process(self, run: Path) -> Iterator[None]:
        """Raise LostProcessError where another process ended or cannot be reached."""
        try:
            yield
        except RuntimeError as error:
            if self.fabric.world_size == 1 or not _says_lost(error):
                raise
            raise LostProcessError(_how_to_go_on(run) if _is_first_to_report() else "") from error

    def _gather(self, value: Any) -> list[Any]:
        device, text = self.fabric.device, bytearray(json.dumps(value).encode())
        sizes = [torch.zeros(1, dtype=torch.int64, device=device) for _ in range(self.fabric.world_size)]
        dist.all_gather(sizes, torch.tensor([len(text)], device=device))
        padded = torch.zeros(max(int(size) for size in sizes), dtype=torch.uint8)
        padded[: len(text)] = torch.frombuffer(text, dtype=torch.uint8)
        texts = [torch.zeros_like(padded, device=device) for _ in sizes]
        dist.all_gather(texts, padded.to(device))
        return [json.loads(bytes(text[: int(size)].tolist())) for text, size in zip(texts, sizes, strict=True)]


def launch(recipe: Recipe) -> DistributedContext:
    """Join the processes that a launcher such as torchrun started, or start those of the recipe, which run this command
    from the start up to this call.

    Raises UserError if this machine lacks the devices, the processes cannot share the recipe's batch, or they do not
    find each other.
    """
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    launched, train = detect_launcher(), recipe.train
    per_node, nodes = (launched.per_node, launched.nodes) if launched else (train.devices, train.nodes)
    _check_share(recipe, launched)
    environment = _environment(launched, nodes)
    try:
        device = _fabric(recipe, per_node, nodes, environment).device
        precision = choose_precision(train.precision, device)
        fabric = _fabric(recipe, per_node, nodes, environment, PLUGINS[precision](device.type))
    except UserError:
        raise
    except (ValueError, RuntimeError) as error:  # what Fabric raises for a missing device
        wanted = f"train.accelerator {train.accelerator}, with {per_node} on this machine"
        raise UserError(f"this machine has no {wanted}: {error}") from None
    if launched:
        logger.info("%s", launched)
    if per_node * nodes > 1:
        _join(fabric, environment)
        if launched is None and fabric.local_rank > 0:
            _end_with_parent()
    return DistributedContext(fabric, precision, per_node, StopSignal(interruptible=fabric.world_size == 1))


def attempt(function: Callable[[], T]) -> Callable[[], T]:
    """Call a function now. The returned function returns its result, or raises its UserError.

    For work that comes before the processes join, and whose failure they then agree on.
    """
    try:
        value = function()
    except UserError as error:
        problem = error

        def fail() -> T:
            raise problem

        return fail
    return lambda: value


def per_rank_batch(recipe: Recipe, world_size: int) -> tuple[int, int]:
    """Micro-batch and accumulation of each process; all processes together make the recipe's batch.

    The losses are those of one process, but for rounding; with dropout only where the accumulation is divided. Dropout
    is drawn for a whole micro-batch at once, in a GPU's kernels too, so that a divided one draws other numbers.
    """
    micro_batch, accumulation = recipe.train.micro_batch, recipe.train.accumulation
    if accumulation % world_size == 0:
        return micro_batch, accumulation // world_size
    return micro_batch // world_size, accumulation


def _check_share(recipe: Recipe, launched: Launched | None) -> None:
    """Raise UserError if the launcher's processes cannot share the batch; the recipe's own are checked with it."""
    train = recipe.train
    if launched and train.accumulation % launched.world_size and train.micro_batch % launched.world_size:
        raise UserError(
            f"{launched}: {launched.world_size} divides neither train.accumulation {train.accumulation} nor "
            f"train.micro_batch {train.micro_batch}; every process needs an equal share"
        )


def _environment(launched: Launched | None, nodes: int) -> ClusterEnvironment:
    """Named to Fabric, which would otherwise guess it, from leftover variables too."""
    if launched:
        kinds = {TORCHRUN: TorchElasticEnvironment, SLURM: SLURMEnvironment, KUBEFLOW: KubeflowEnvironment}
        with warnings.catch_warnings(action="ignore"):  # Fabric misses srun where the job's name is `bash`
            return kinds[launched.launcher]()
    if nodes > 1 and not {"MASTER_ADDR", "MASTER_PORT", "NODE_RANK"} <= os.environ.keys():
        raise UserError(
            f"train.nodes is {nodes}: start with torchrun, srun or Kubeflow, or set MASTER_ADDR, MASTER_PORT and "
            "NODE_RANK on each node"
        )
    return LightningEnvironment()


def _fabric(recipe: Recipe, per_node: int, nodes: int, *plugins: Any) -> Fabric:
    strategy: Any = "auto"
    if per_node * nodes > 1:
        own_gpu = per_node > 1 and recipe.train.accelerator in ("auto", "cuda") and torch.cuda.device_count() == 1
        # where a scheduler shows each process its own GPU only, it is number 0 in each
        gpus = [torch.device("cuda", 0)] * per_node if own_gpu and plugins[0].creates_processes_externally else None
        strategy = DDPStrategy(parallel_devices=gpus, timeout=JOIN_TIMEOUT)
        per_node = 1 if gpus else per_node
    return Fabric(
        accelerator=recipe.train.accelerator,
        devices=per_node,
        num_nodes=nodes,
        strategy=strategy,
        plugins=list(plugins),
    )


def _join(fabric: Fabric, environment: ClusterEnvironment) -> None:
    """Wait for the other processes. A stop signal ends this one at once: nothing can be lost yet."""
    address = f"{environment.main_address}:{environment.main_port}"
    others = fabric.world_size - 1
    named = "the other process" if others == 1 else f"{others} other processes"
    notice = threading.Timer(QUIET_SECONDS, lambda: logger.warning("waiting for %s at %s ...", named, address))
    notice.daemon = True
    notice.start()
    try:
        with default_signals():
            if isinstance(environment, TorchElasticEnvironment):
                _meet(environment, "nccl" if fabric.device.type == "cuda" else "gloo")
            fabric.launch()
            fabric.barrier()
    except (RuntimeError, ValueError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"cannot reach {named} at {address}: {reason}. Check the address, and that all start") from None
    finally:
        notice.cancel()
    dist.distributed_c10d._set_pg_timeout(STEP_TIMEOUT)  # no public function sets it once the processes have joined


def _meet(environment: TorchElasticEnvironment, backend: str) -> None:
    """Join torchrun's other processes, under a name that only these have.

    Its store outlives processes that it starts again, with what they wrote there: addresses where nobody listens.
    """
    rank, size = environment.global_rank(), environment.world_size()
    store, _, _ = next(rendezvous("env://", rank, size, timeout=JOIN_TIMEOUT))
    name = meeting_name(store, rank, size)
    store = torch_distributed.PrefixStore(name, store)
    dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=JOIN_TIMEOUT)


def meeting_name(store: Any, rank: int, size: int) -> str:
    """A new name on which processes agree that share a store, whatever earlier processes have left in it.

    Each but the first writes a new word, takes the name with which the first one answers this word, and confirms it.
    """
    own, end = secrets.token_hex(8), time.monotonic() + JOIN_TIMEOUT.total_seconds()
    if rank > 0:
        store.set(f"word of {rank}", own)
        name = store.get(f"answer to {own}").decode()
        store.set(f"{own} has {name}", "")
        return name
    missing = set(range(1, size))
    while missing:
        for other in [other for other in missing if store.check([f"word of {other}"])]:
            word = store.get(f"word of {other}").decode()
            store.set(f"answer to {word}", own)
            if store.check([f"{word} has {own}"]):
                missing.remove(other)
        if time.monotonic() > end:
            raise RuntimeError(f"timed out with {len(missing)} missing")
        time.sleep(0.05)
    return own


def _end_with_parent() -> None:
    """End this process when the one that started it ends in whatever way: it would wait for it forever."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _says_lost(error: RuntimeError) -> bool:
    return isinstance(error, dist.DistError) or any(text in str(error) for text in LOST)


def _is_first_to_report() -> bool:
    """Whether this process is to say that one is lost: the main process, or the first of the others if it is gone."""
    if is_main_process():
        return True
    answers: list[int] = []

    def ask() -> None:
        with suppress(RuntimeError, ValueError):  # the store was the main process's, and went with it
            answers.append(dist.distributed_c10d._get_default_store().add("lost process reported", 1))

    thread = threading.Thread(target=ask, daemon=True)  # a store that cannot be reached may never answer
    thread.start()
    thread.join(QUIET_SECONDS)
    return not answers or answers[0] == 1


def _how_to_go_on(run: Path) -> str:
    newest = steps(run)[-1:]
    saved = f"the newest checkpoint is step {newest[0]:,}" if newest else "there is no checkpoint yet"
    command = f"the same command with --out {run} --resume auto"
    return f"lost the connection to another process; {saved}; to continue, give {command}"
