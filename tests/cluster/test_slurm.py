"""The documented batch file, run by a real SLURM on two nodes."""

from __future__ import annotations

import pytest

from tests.cluster.processes import ROOT, SECONDS, Workplace, wait_until
from tests.cluster.slurm import Slurm, what_slurm_lacks

LACK = what_slurm_lacks()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(LACK is not None, reason=LACK or ""),
]
STEPS = ["--train.micro-batch", "32", "--train.accumulation", "8"]  # a step long enough to be interrupted


@pytest.fixture(scope="module")
def slurm(tmp_path_factory, place):
    with Slurm(tmp_path_factory.mktemp("slurm") / "cluster", place.environment) as cluster:
        yield cluster


def submit(slurm: Slurm, place: Workplace, run: str, *more: str) -> str:
    """Submit the batch file, on two nodes without a GPU. Returns the job's number."""
    size = ["--nodes=2", "--ntasks-per-node=1", "--gpus-per-node=0", "--cpus-per-task=1"]
    file = str(ROOT / "examples/cluster/train.sbatch")
    output = f"--output={place.folder / run}.out"
    folder = f"--chdir={place.folder}"
    return slurm.run("sbatch", "--parsable", folder, output, *size, file, *place.options(run, *more))


def test_a_job_whose_time_is_up_is_saved_queued_again_and_finished(slurm, place):
    place.run_alone("slow-alone", *STEPS)
    job = submit(slurm, place, "slurm", *STEPS)
    output = place.folder / "slurm.out"
    place.wait_for_step("slurm", 10)
    slurm.run("scancel", "--signal=USR1", job)  # as SLURM itself does before the time limit: to the processes of srun
    wait_until(lambda: slurm.state(job)["Restarts"] == "1", 60, "the job is queued again")
    last = place.losses("slurm")[-1][0]
    assert 10 <= last < 60
    wait_until(lambda: slurm.state(job)["JobState"] == "PENDING", 60, "the job waits")
    # by itself it waits for two minutes, until nothing of the first start is left on its nodes
    slurm.run("scontrol", "update", f"JobId={job}", "StartTime=now+10")
    wait_until(lambda: slurm.state(job)["JobState"] in ("COMPLETED", "FAILED"), SECONDS, "the job is finished")
    assert slurm.state(job)["JobState"] == "COMPLETED", output.read_text()
    assert "2 processes on 2 nodes, started by SLURM" in output.read_text()
    expected, losses = place.losses("slow-alone"), place.losses("slurm")
    assert [step for step, _ in losses] == [step for step, _ in expected]
    assert [loss for _, loss in losses] == pytest.approx([loss for _, loss in expected], rel=1e-5)


def test_a_mistake_fails_the_job_and_is_not_queued_again(slurm, place):
    job = submit(slurm, place, "wrong", "--model.n-heads", "5")
    wait_until(lambda: slurm.state(job)["JobState"] == "FAILED", SECONDS, "the job failed")
    assert (slurm.state(job)["ExitCode"], slurm.state(job)["Restarts"]) == ("2:0", "0")
    said = (place.folder / "wrong.out").read_text()
    assert said.count("model.n_heads is 5") == 2, said  # each node finds it by itself, before they meet
    assert "Traceback" not in said
