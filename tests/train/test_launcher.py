from __future__ import annotations

import logging
import os

import pytest

from talewright.errors import UserError
from talewright.train.launcher import detect_launcher, is_main_process, reports_errors

ADDRESS = {"MASTER_ADDR": "node1", "MASTER_PORT": "29500"}
TORCHRUN = {
    **ADDRESS,
    "TORCHELASTIC_RUN_ID": "none",
    "RANK": "3",
    "LOCAL_RANK": "1",
    "WORLD_SIZE": "4",
    "LOCAL_WORLD_SIZE": "2",
}
SRUN = {
    "SLURM_JOB_NAME": "train",
    "SLURM_STEP_ID": "0",
    "SLURM_STEP_NUM_TASKS": "4",
    "SLURM_STEP_NUM_NODES": "2",
    "SLURM_STEP_NODELIST": "node[1-2]",
    "SLURM_NODELIST": "node[0-2]",
    "SLURM_NTASKS": "6",
    "SLURM_PROCID": "2",
    "SLURM_LOCALID": "0",
    "SLURM_NODEID": "1",
}
KUBEFLOW = {**ADDRESS, "RANK": "1", "WORLD_SIZE": "2"}
CHILD = {**ADDRESS, "LOCAL_RANK": "1", "NODE_RANK": "0", "WORLD_SIZE": "2"}
"""What a process that `train.devices` started has."""


@pytest.fixture(autouse=True)
def variables(monkeypatch):
    """Sets only these variables of launchers."""
    for name in list(os.environ):
        if name.startswith(("SLURM_", "TORCHELASTIC")) or name in {*TORCHRUN, *CHILD}:
            monkeypatch.delenv(name)

    def put(values: dict[str, str]) -> None:
        for name, value in values.items():
            monkeypatch.setenv(name, value)

    yield put
    for name in ("SLURM_NTASKS_PER_NODE", "SLURM_NNODES"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("given", "said", "main", "first_of_node"),
    [
        (TORCHRUN, "4 processes on 2 nodes, started by torchrun", False, False),
        ({**TORCHRUN, "RANK": "0", "LOCAL_RANK": "0"}, "4 processes on 2 nodes, started by torchrun", True, True),
        (
            {**TORCHRUN, "WORLD_SIZE": "1", "LOCAL_WORLD_SIZE": "1", "RANK": "0", "LOCAL_RANK": "0"},
            "1 process on",
            True,
            True,
        ),
        (SRUN, "4 processes on 2 nodes, started by SLURM", False, True),
        ({**SRUN, **TORCHRUN}, "4 processes on 2 nodes, started by torchrun", False, False),
        (KUBEFLOW, "2 processes on 2 nodes, started by Kubeflow", False, True),
        ({**KUBEFLOW, "RANK": "0"}, "2 processes on 2 nodes, started by Kubeflow", True, True),
    ],
)
def test_the_launcher_says_how_many_processes_there_are(variables, given, said, main, first_of_node):
    variables(given)
    assert str(detect_launcher()).startswith(said)
    assert is_main_process() is main
    assert reports_errors() is first_of_node


@pytest.mark.parametrize(
    ("given", "main"),
    [
        ({}, True),
        (CHILD, False),
        ({**CHILD, "LOCAL_RANK": "0"}, True),
        ({**ADDRESS, "NODE_RANK": "1"}, False),
        ({**SRUN, "SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0", "SLURM_JOB_NAME": "bash"}, True),
        ({**KUBEFLOW, "WORLD_SIZE": "1", "RANK": "0"}, True),
    ],
    ids=["alone", "child", "parent", "second node by hand", "interactive shell", "one pod"],
)
def test_where_no_launcher_started_several_the_recipe_holds(variables, given, main):
    variables(given)
    assert detect_launcher() is None
    assert is_main_process() is main


def test_a_batch_script_without_srun_is_one_process_and_says_so(variables, caplog):
    variables({"SLURM_JOB_ID": "7", "SLURM_NTASKS": "2", "SLURM_PROCID": "0"})
    with caplog.at_level(logging.WARNING):
        assert detect_launcher() is None
    assert "SLURM gave this job 2 tasks" in caplog.text


def test_a_step_on_a_part_of_the_job_is_what_fabric_reads(variables):
    from lightning_fabric.plugins.environments.slurm import SLURMEnvironment

    variables(SRUN)
    detect_launcher()
    environment = SLURMEnvironment()
    assert (environment.world_size(), environment.global_rank(), environment.local_rank()) == (4, 2, 0)
    assert environment.main_address == "node1"
    environment.validate_settings(num_devices=2, num_nodes=2)
    del os.environ["MASTER_ADDR"]  # the property sets it


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"WORLD_SIZE": "2"}, "WORLD_SIZE is set, but not RANK and MASTER_ADDR and MASTER_PORT"),
        ({"RANK": "1"}, "RANK is set, but not WORLD_SIZE"),
        ({"LOCAL_RANK": "0"}, "LOCAL_RANK is set, but not RANK and WORLD_SIZE"),
        ({"TORCHELASTIC_RUN_ID": "x"}, "TORCHELASTIC_RUN_ID is set, but not RANK"),
        ({**TORCHRUN, "WORLD_SIZE": "two"}, "WORLD_SIZE is 'two'; it must be a number, 1 or more"),
        ({**TORCHRUN, "WORLD_SIZE": "3", "RANK": "2"}, "torchrun started 2 of 3 processes on this node"),
        ({**KUBEFLOW, "RANK": "2"}, "RANK is 2 of WORLD_SIZE 2; it counts from 0"),
        ({**SRUN, "SLURM_STEP_NUM_TASKS": "3"}, "SLURM started 3 tasks on 2 nodes"),
        ({"SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": "2"}, "SLURM_STEP_ID is set, but not SLURM_PROCID"),
        ({"SLURM_NTASKS": "many"}, "SLURM_NTASKS is 'many'"),
    ],
)
def test_incomplete_variables_are_named(variables, given, message):
    variables(given)
    with pytest.raises(UserError, match=message):
        detect_launcher()
