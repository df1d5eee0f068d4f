"""The examples for clusters, without a cluster: their files are valid, and their commands are understood."""

from __future__ import annotations

import functools
import os
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from torch.distributed.run import get_args_parser

import talewright.cli.train
from talewright.cli import main
from talewright.config import load_recipe
from tests.cluster.processes import ROOT

EXAMPLES, GUIDE = ROOT / "examples/cluster", ROOT / "docs/CLUSTERS.md"


@pytest.fixture
def understood(monkeypatch):
    """Reads a command's words as torchrun and `talewright train` do; returns torchrun's options and those of train."""
    calls: list[dict[str, Any]] = []

    @functools.wraps(talewright.cli.train.train)
    def train(overrides, **options):
        calls.append({**options, **overrides})

    monkeypatch.setattr(talewright.cli.train, "train", train)

    def read(words):
        options = get_args_parser().parse_args(words[1:]) if words[0] == "torchrun" else None
        assert words[words.index("train") - 1] == "talewright"
        main(words[words.index("train") :])
        load_recipe(calls[-1]["recipe"])
        assert (calls[-1]["resume"], bool(calls[-1]["out"])) == ("auto", True)
        return options, calls[-1]

    return read


def run_with_fakes(script: str, folder: Path, fakes: dict[str, str], **environment: str) -> tuple[int, list[list[str]]]:
    """Run a bash script in which some programs only note their words, and then end as asked. Returns its exit code and
    the words of each call.
    """
    for name, body in fakes.items():
        (folder / name).write_text(f'#!/bin/bash\nprintf "%q " {name} "$@" >> calls; echo >> calls\n{body}\n')
        (folder / name).chmod(0o755)
    (folder / "calls").unlink(missing_ok=True)
    values = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", **environment}
    done = subprocess.run(["bash", *shlex.split(script)], cwd=folder, env=values, check=False, timeout=60)
    return done.returncode, [shlex.split(line) for line in (folder / "calls").read_text().splitlines()]


@pytest.mark.parametrize(
    ("code", "requeues", "expected"), [(0, 0, 0), (138, 0, 0), (138, 1, 138), (143, 0, 143), (2, 0, 2)]
)
def test_the_batch_file_queues_a_run_again_only_if_its_time_was_up(tmp_path, understood, code, requeues, expected):
    fakes = {"srun": f"exit {code}", "scontrol": f"exit {requeues}"}
    script = f"{EXAMPLES / 'train.sbatch'} --recipe story-15m --data 'my stories.txt' --out runs/mine"
    left, calls = run_with_fakes(script, tmp_path, fakes, SLURM_JOB_ID="71")
    assert left == expected
    assert calls[1:] == ([["scontrol", "requeue", "71"]] if code == 138 else [])
    assert calls[0][0] == "srun"
    assert understood(calls[0])[1]["data"].data == "my stories.txt"


def test_the_kubernetes_job_trains_where_its_volume_is(understood):
    job = yaml.safe_load((EXAMPLES / "trainjob.yaml").read_text())
    trainer = job["spec"]["trainer"]
    _, options = understood(trainer["command"] + trainer["args"])
    assert trainer["numProcPerNode"] == trainer["resourcesPerNode"]["limits"]["nvidia.com/gpu"]
    pod = job["spec"]["runtimePatches"][0]["trainingRuntimeSpec"]["template"]["spec"]["replicatedJobs"][0]
    pod = pod["template"]["spec"]["template"]["spec"]
    mounts = {mount["name"]: mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]}
    assert [volume["name"] for volume in pod["volumes"]] == list(mounts)
    assert Path(mounts["runs"]) in Path(options["out"]).parents
    assert Path(mounts["runs"]) in Path(options["data"].data).parents


def test_the_kubernetes_job_has_kubeflows_schema():
    models = pytest.importorskip("kubeflow_trainer_api.models", reason="needs kubeflow-trainer-api")
    job = yaml.safe_load((EXAMPLES / "trainjob.yaml").read_text())
    read = models.TrainerV1alpha1TrainJob.from_dict(job)
    assert read.to_dict() == job  # what the schema does not know is left out


def test_the_skypilot_task_starts_each_node_with_its_rank(tmp_path, understood):
    task = yaml.safe_load((EXAMPLES / "skypilot.yaml").read_text())
    (tmp_path / "run.sh").write_text(task["run"])
    known = {"NUM_NODES": "2", "NODE_RANK": "1", "NUM_GPUS_PER_NODE": "4", "NODE_IPS": "10.0.0.7\n10.0.0.8"}
    variables = {f"SKYPILOT_{name}": value for name, value in known.items()}
    code, calls = run_with_fakes("run.sh", tmp_path, {"torchrun": "exit 0"}, **variables)
    assert (code, len(calls)) == (0, 1)
    torchrun, options = understood(calls[0])
    assert (torchrun.nnodes, torchrun.node_rank, torchrun.nproc_per_node) == ("2", 1, "4")
    assert (torchrun.master_addr, torchrun.module) == ("10.0.0.7", True)
    assert Path(next(iter(task["file_mounts"]))) in Path(options["out"]).parents


def test_the_skypilot_task_has_skypilots_schema():
    sky = pytest.importorskip("sky", reason="needs skypilot")
    sky.Task.from_yaml_config(yaml.safe_load((EXAMPLES / "skypilot.yaml").read_text()))


def test_the_commands_of_the_guide_are_understood(understood):
    blocks = "".join(re.findall(r"^```\n(.*?)^```", GUIDE.read_text(), re.MULTILINE | re.DOTALL)).replace("\\\n", " ")
    commands = [shlex.split(line) for line in re.findall(r"^torchrun .*$", blocks, re.MULTILINE)]
    assert len(commands) >= 2
    for words in commands:
        torchrun, _ = understood(words)
        assert torchrun.module
