"""A SLURM cluster of two nodes, each with one processor, on this machine: Debian's munge, slurmctld and slurmd."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.cluster.processes import free_ports, wait_until

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol", "squeue", "scancel")
CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=1
ReturnToService=2
NodeName={host} NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=1
NodeName={host}-2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=1
PartitionName=test Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def what_slurm_lacks() -> str | None:
    """Why no cluster can be started here, or None."""
    if os.geteuid() != 0:
        return "only root can start a SLURM cluster"
    missing = [program for program in PROGRAMS if _path(program) is None]
    return f"no {', '.join(missing)} (Debian: apt-get install munge slurmctld slurmd slurm-client)" if missing else None


class Slurm:
    """A running cluster, with its files in `folder`. Use as a context manager."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.folder = folder
        self.environment = {**environment, "SLURM_CONF": str(folder / "slurm.conf")}

    def __enter__(self) -> Slurm:
        folder, host = self.folder, socket.gethostname().split(".")[0]
        (folder / "state").mkdir(parents=True)
        (folder / "slurm.conf").write_text(CONFIGURATION.format(folder=folder, host=host, ports=free_ports(3)))
        (folder / "munge.key").write_bytes(os.urandom(1024))
        (folder / "munge.key").chmod(0o400)
        files = {"key-file": "key", "socket": "socket", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
        self._start("munged", "--force", *(f"--{option}={folder}/munge.{end}" for option, end in files.items()))
        self._start("slurmctld", "-i")
        self._start("slurmd", "-N", host)
        self._start("slurmd", "-N", f"{host}-2")
        wait_until(lambda: self.run("sinfo", "-h", "-o", "%T").split() == ["idle"], 30, "the SLURM nodes are idle")
        return self

    def __exit__(self, *exception: object) -> None:
        for job in self.run("squeue", "-h", "-o", "%i").split():
            self.run("scancel", "--full", job)
        wait_until(lambda: not self.run("squeue", "-h"), 60, "the jobs are gone")
        for file in sorted(self.folder.glob("*.pid"), reverse=True):  # munged last but one: no matter
            os.kill(int(file.read_text()), signal.SIGTERM)

    def run(self, program: str, *options: str) -> str:
        """What a SLURM command prints."""
        done = subprocess.run([program, *options], env=self.environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def state(self, job: str) -> dict[str, str]:
        """What `scontrol show job` says of a job: JobState, ExitCode, Restarts ..."""
        words = self.run("scontrol", "--oneliner", "show", "job", job).split()
        return dict(word.split("=", 1) for word in words if "=" in word)

    def _start(self, program: str, *options: str) -> None:
        path = _path(program)
        assert path is not None
        subprocess.run([path, *options], env=self.environment, check=True, stdin=subprocess.DEVNULL)


def _path(program: str) -> str | None:
    return shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
