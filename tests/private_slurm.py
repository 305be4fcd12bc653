"""A Slurm of its own with two virtual nodes on this machine, without root's services and without systemd.

munged, slurmctld and one slurmd a node, with their own ports, keys and folder. Whoever
holds one gives it up by `stop`; should that process die, the guard that was started first
ends everything that belongs to it. Reads /proc: Linux only.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from conftest import MPI_AS_ROOT
from requirements import SBIN

NODES = ("n1", "n2")

#: Variable by which all processes of one such Slurm are known.
_MARK = "XANESML_PRIVATE_SLURM"

_CONFIGURATION = """
ClusterName=xanesml
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=batch_sched_delay=0,sched_interval=2,sched_min_interval=0
SlurmdParameters=config_overrides
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
SlurmdTimeout=6
KillWait=5
UnkillableStepTimeout=20
MinJobAge=3600
ReturnToService=2
GresTypes=gpu
{nodes}
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
PartitionName=all Nodes={names} Default=YES MaxTime=INFINITE State=UP PriorityTier=1 GraceTime=60
PartitionName=urgent Nodes={names} MaxTime=INFINITE State=UP PriorityTier=2
"""


def own_host_names() -> bool:
    """Whether a process can be given a host name of its own here."""
    command = ["unshare", "--uts", "hostname", "xanesml-probe"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


class PrivateSlurm:
    """Slurm, running, with two GPUs a node that are none.

    Parameters
    ----------
    cpus : int
        Cores that a node claims to have.

    Attributes
    ----------
    environment : dict
        That of users who submit to it.
    named : bool
        Whether the nodes have host names of their own, `NODES`; else they have the machine's.
    """

    def __init__(self, cpus: int) -> None:
        # Not in the test's folder, since sockets have short names.
        self.folder = Path(tempfile.mkdtemp(prefix="xanesml-slurm-", dir="/tmp"))
        self.named = own_host_names()
        self._configuration = self.folder / "slurm.conf"
        self.environment = os.environ | MPI_AS_ROOT | {"SLURM_CONF": str(self._configuration), "PATH": _path()}
        # Everything that runs here has this; FEFF is not given Slurm's own variables.
        self.environment[_MARK] = str(self.folder)
        # Nodes of one machine reach each other whether or not it has a network.
        self.environment |= {"OMPI_MCA_oob_tcp_if_include": "lo", "OMPI_MCA_btl_tcp_if_include": "lo"}
        self._guard = subprocess.Popen(
            [sys.executable, __file__, str(self.folder)], stdin=subprocess.PIPE, start_new_session=True
        )
        self._daemons: list[subprocess.Popen[bytes]] = []
        try:
            self._configure(cpus)
            self._start()
        except BaseException:
            self.stop()
            raise

    def _configure(self, cpus: int) -> None:
        host = socket.gethostname().partition(".")[0]
        controller, *ports = _free_ports(1 + len(NODES))
        lines = [
            f"NodeName={name} NodeHostname={name if self.named else host} NodeAddr=127.0.0.1 Port={port} "
            f"CPUs={cpus} RealMemory=1000 Gres=gpu:2 State=UNKNOWN"
            for name, port in zip(NODES, ports, strict=True)
        ]
        self._configuration.write_text(
            _CONFIGURATION.format(
                host=host,
                controller=controller,
                user=_user(),
                folder=self.folder,
                nodes="\n".join(lines),
                names=",".join(NODES),
            )
        )
        # Slurm counts devices, whatever they are.
        (self.folder / "gres.conf").write_text("Name=gpu File=/dev/null\nName=gpu File=/dev/zero\n")
        (self.folder / "state").mkdir()
        key = self.folder / "munge.key"
        key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o400)

    def _start(self) -> None:
        names = {"key-file": "key", "socket": "socket", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
        munged = [f"--{option}={self.folder}/munge.{name}" for option, name in names.items()]
        self.run("munged", "--force", *munged)
        self._daemon(["slurmctld", "-D", "-i"])
        for name in NODES:
            self.start_node(name)
        self.wait_for(lambda: self.node_states() == dict.fromkeys(NODES, "idle"), "two idle nodes", seconds=30)

    def start_node(self, name: str) -> None:
        """Start the slurmd of a node, with all that a restarted machine has forgotten."""
        # What runs on a node is told by this variable, which Slurm gives to jobs as well.
        environment = self.environment | {"SLURMD_NODENAME": name}
        words = ["slurmd", "-D", "-N", name]
        if self.named:
            words = ["unshare", "--uts", "sh", "-c", f'hostname {name} && exec "$@"', "sh", *words]
        self._daemon(words, environment)

    def kill_node(self, name: str) -> None:
        """Take a node down at once, with everything that runs on it."""
        _kill_all(self.folder, f"SLURMD_NODENAME={name}")

    def node_states(self) -> dict[str, str]:
        """Return the state of each node."""
        lines = self.run("sinfo", "--noheader", "--Node", "--format=%N %t").splitlines()
        return dict(line.split() for line in lines)

    def run(self, *command: str, cwd: Path | None = None, **variables: str) -> str:
        """Run a command as a user of this Slurm, with further variables; return what it printed."""
        done = subprocess.run(
            command,
            env=self.environment | variables,
            cwd=cwd,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def job(self, number: str) -> dict[str, str]:
        """Return what Slurm knows of a job."""
        told = self.run("scontrol", "--oneliner", "show", "job", number)
        return dict(re.findall(r"(\w+)=(\S*)", told))

    def wait_for_state(self, number: str, *states: str, seconds: float = 120) -> dict[str, str]:
        """Wait until a job is in one of some states; return what Slurm knows of it."""
        self.wait_for(lambda: self.job(number)["JobState"] in states, f"job {number} {states}", seconds=seconds)
        return self.job(number)

    def wait_for(self, condition: Callable[[], bool], what: str, seconds: float = 120) -> None:
        """Wait until something is so."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"waited in vain for {what}\n{self.logs()}"
            time.sleep(0.1)

    def logs(self) -> str:
        """Return the ends of all logs, for messages of tests that fail."""
        queue = subprocess.run(
            ["squeue", "--states=all"], env=self.environment, capture_output=True, text=True, check=False
        )
        logs = [f"{log.name}: {log.read_text()[-2000:]}" for log in sorted(self.folder.glob("*.log"))]
        return "\n".join([queue.stdout, *logs])

    def stop(self) -> None:
        """End everything that belongs to this Slurm, jobs included, and remove its folder."""
        assert self._guard.stdin is not None
        self._guard.stdin.close()
        for process in (self._guard, *self._daemons):
            process.wait(30)

    def _daemon(self, command: list[str], environment: dict[str, str] | None = None) -> None:
        with (self.folder / "output.log").open("ab") as log:
            daemon = subprocess.Popen(
                command,
                env=environment or self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._daemons.append(daemon)


def _path() -> str:
    # The environment of the tests first: the job scripts look for `xanesml` on the PATH.
    return f"{Path(sys.executable).parent}:{os.environ['PATH']}:{SBIN}"


def _user() -> str:
    return subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def processes_of(folder: Path, *marks: str) -> list[int]:
    """Return the processes of the Slurm of a folder, jobs included; only those whose environment has some marks."""
    wanted = {mark.encode() for mark in (f"{_MARK}={folder}", *marks)}
    found = []
    for environment in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            if wanted <= set(environment.read_bytes().split(b"\0")):
                found.append(int(environment.parent.name))
    return found


def _kill_all(folder: Path, *marks: str) -> None:
    """Kill them, and those that they start meanwhile, until there are none."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and (found := set(processes_of(folder, *marks)) - {os.getpid()}):
        for pid in found:
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)


def _stand_guard(folder: Path) -> None:
    """Wait until the process that started this one closes its end of the pipe, or dies, and clean up after it."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    sys.stdin.buffer.read()
    _kill_all(folder)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    _stand_guard(Path(sys.argv[1]))
