"""The launcher that started this process beside others: torchrun, SLURM or Kubeflow, read from its variables.

torch is not imported here, so that the command line can ask early whether this is the main process.
"""

from __future__ import annotations

import logging
import os
import sys
from dataclasses import dataclass
from typing import Any

from talewright.errors import UserError

logger = logging.getLogger(__name__)
TORCHRUN, SLURM, KUBEFLOW = "torchrun", "SLURM", "Kubeflow"


@dataclass(frozen=True)
class Launched:
    """The processes that a launcher started, of which this is one."""

    launcher: str
    world_size: int
    per_node: int

    @property
    def nodes(self) -> int:
        return self.world_size // self.per_node

    def __str__(self) -> str:
        """Such as "2 processes on 1 node, started by torchrun"."""
        return f"{_count(self.world_size, 'process')} on {_count(self.nodes, 'node')}, started by {self.launcher}"


def detect_launcher() -> Launched | None:
    """The launcher of this process; None if it was started by hand or by `train.devices` of another process.

    Raises UserError if its variables are incomplete or contradict each other.
    """
    if "TORCHELASTIC_RUN_ID" in os.environ or {"RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE"} <= os.environ.keys():
        return _launched(TORCHRUN, ("RANK", "LOCAL_RANK"), "WORLD_SIZE", "LOCAL_WORLD_SIZE")
    if "SLURM_STEP_ID" in os.environ:
        return _started_by_slurm()
    if _number("SLURM_NTASKS", 1) > 1:
        tasks = os.environ["SLURM_NTASKS"]
        logger.warning("SLURM gave this job %s tasks, but this process runs alone; `srun` starts all of them", tasks)
    if "RANK" in os.environ or ("WORLD_SIZE" in os.environ and "NODE_RANK" not in os.environ):
        launched = _launched(KUBEFLOW, ("RANK",), "WORLD_SIZE", None)
        return launched if launched.world_size > 1 else None
    if "LOCAL_RANK" in os.environ and not {"NODE_RANK", "WORLD_SIZE"} <= os.environ.keys():
        raise UserError(_half_set("LOCAL_RANK", "RANK and WORLD_SIZE"))
    return None


def is_main_process() -> bool:
    """Whether this process, if there are others, is the one that writes and shows."""
    return _rank() == 0


def reports_errors() -> bool:
    """Whether this process shows its errors: the main one; until the processes have joined and agree on errors, the
    first one of each node.
    """
    torch_distributed: Any = sys.modules.get("torch.distributed")
    joined = torch_distributed and torch_distributed.is_available() and torch_distributed.is_initialized()
    return is_main_process() if joined else _local_rank() == 0


def _started_by_slurm() -> Launched | None:
    """The tasks of this job step. One task is a process by itself, as in an interactive shell.

    Sets what Fabric reads for the whole job to what holds for the step, which may be a part of it.
    """
    tasks, nodes = (_number(f"SLURM_STEP_NUM_{name}", 1) for name in ("TASKS", "NODES"))
    if tasks == 1:
        return None
    for name in ("SLURM_PROCID", "SLURM_LOCALID", "SLURM_NODEID"):
        if name not in os.environ:
            raise UserError(_half_set("SLURM_STEP_ID", name))
        _number(name, 0)
    if tasks % nodes:
        raise UserError(
            f"SLURM started {tasks} tasks on {nodes} nodes; every node needs the same number: set --ntasks-per-node"
        )
    step = {"SLURM_NTASKS": tasks, "SLURM_NTASKS_PER_NODE": tasks // nodes, "SLURM_NNODES": nodes}
    os.environ.update({name: str(value) for name, value in step.items()})
    if "SLURM_STEP_NODELIST" in os.environ:
        os.environ["SLURM_NODELIST"] = os.environ["SLURM_STEP_NODELIST"]
    return Launched(SLURM, tasks, tasks // nodes)


def _launched(launcher: str, ranks: tuple[str, ...], world: str, local_world: str | None) -> Launched:
    """What the variables of these names say."""
    needed = [*ranks, world, *([local_world] if local_world else []), "MASTER_ADDR", "MASTER_PORT"]
    if missing := [name for name in needed if name not in os.environ]:
        present = next((name for name in ("TORCHELASTIC_RUN_ID", *needed) if name in os.environ), world)
        raise UserError(_half_set(present, " and ".join(missing)))
    world_size, per_node = _number(world, 1), _number(local_world, 1) if local_world else 1
    _number("MASTER_PORT", 1)
    if not all(_number(name, 0) < world_size for name in ranks):
        raise UserError(f"{ranks[0]} is {os.environ[ranks[0]]} of {world} {world_size}; it counts from 0")
    if world_size % per_node:
        raise UserError(
            f"{launcher} started {per_node} of {world_size} processes on this node; every node needs the same number"
        )
    return Launched(launcher, world_size, per_node)


def _half_set(present: str, missing: str) -> str:
    return (
        f"{present} is set, but not {missing}: a launcher such as torchrun sets them all. Start with "
        f"`torchrun --nproc-per-node N -m talewright train ...`, or unset {present} to train by itself"
    )


def _rank() -> int:
    """This process's number, from 0, as far as its variables tell; 0 by itself."""
    if "RANK" in os.environ:
        return _lenient("RANK")
    if "SLURM_STEP_ID" in os.environ and _lenient("SLURM_STEP_NUM_TASKS") > 1:
        return _lenient("SLURM_PROCID")
    return _lenient("NODE_RANK") or _lenient("LOCAL_RANK")


def _local_rank() -> int:
    if "SLURM_STEP_ID" in os.environ and "RANK" not in os.environ and _lenient("SLURM_STEP_NUM_TASKS") > 1:
        return _lenient("SLURM_LOCALID")
    return _lenient("LOCAL_RANK")


def _number(name: str, least: int) -> int:
    """The number in a variable; `least` if it is not set. Raises UserError if it is no number of at least that."""
    text = os.environ.get(name, str(least))
    if not (text.isascii() and text.isdigit() and int(text) >= least):
        raise UserError(f"the environment variable {name} is {text!r}; it must be a number, {least} or more")
    return int(text)


def _lenient(name: str) -> int:
    text = os.environ.get(name, "0")
    return int(text) if text.isascii() and text.isdigit() else 0


def _count(number: int, thing: str) -> str:
    plural = "" if number == 1 else "es" if thing.endswith("s") else "s"
    return f"{number} {thing}{plural}"
