"""Several hosts: network namespaces with addresses and names of their own, ranks started through an SSH server."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import h5py
import pytest
from conftest import FAKE_CAMPAIGN, MPI_AS_ROOT
from processes import wait_for

from xanesml.feff.outcomes import Outcome

#: Addresses that are kept for documentation, so that none of them is in use.
HOSTS = {f"xanesml-a-{os.getpid()}": "198.51.100.1", f"xanesml-b-{os.getpid()}": "198.51.100.2"}

pytestmark = [pytest.mark.requires("second host", "network namespaces"), pytest.mark.timeout(120)]


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def on(host: str, *command: str) -> list[str]:
    """Return the words that run a command on a host."""
    return [
        "ip",
        "netns",
        "exec",
        host,
        "unshare",
        "--uts",
        "sh",
        "-c",
        f'hostname {host} && exec "$@"',
        "sh",
        *command,
    ]


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[list[str]]:
    """Two hosts joined by a cable, the second with an SSH server; yields the words of an mpirun that spans both."""
    first, second = HOSTS
    with ExitStack() as at_the_end:
        for host in HOSTS:
            subprocess.run(["ip", "netns", "add", host], check=True)
            at_the_end.callback(run, "ip", "netns", "delete", host)
        cable = "ip link add cable netns {} type veth peer name cable netns {}"
        subprocess.run(cable.format(first, second).split(), check=True)
        for host, address in HOSTS.items():
            for words in (["addr", "add", f"{address}/24", "dev", "cable"], ["link", "set", "cable", "up"]):
                subprocess.run(["ip", "-n", host, *words], check=True)
            subprocess.run(["ip", "-n", host, "link", "set", "lo", "up"], check=True)
        home = tmp_path / "home"
        (home / ".ssh").mkdir(parents=True)
        home.chmod(0o700)
        (home / ".ssh").chmod(0o700)
        key = tmp_path / "key"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
        shutil.copy(f"{key}.pub", home / ".ssh" / "authorized_keys")
        # The server finds root's keys by the home in this file, which it alone sees.
        accounts = tmp_path / "passwd"
        accounts.write_text(f"root:x:0:0:root:{home}:/bin/sh\n")
        server = (
            f'mount --bind "{accounts}" /etc/passwd && exec dropbear -F -E -R -s -p {HOSTS[second]}:22 '
            f'-r "{tmp_path}/host-key" -P "{tmp_path}/pid"'
        )
        subprocess.run(
            ["dropbearkey", "-t", "ed25519", "-f", str(tmp_path / "host-key")], check=True, capture_output=True
        )
        with (tmp_path / "server.log").open("w") as log:
            process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *on(second, "unshare", "--mount", "sh", "-c", server)],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
            )
        at_the_end.callback(process.wait)
        at_the_end.callback(process.terminate)
        ssh = (
            f"ssh -F none -i {key} -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile={tmp_path}/known"
        )

        def reached() -> bool:
            return run(*on(first, *ssh.split(), "-q", HOSTS[second], "hostname")).stdout == f"{second}\n"

        wait_for(reached)
        mpirun = ["mpirun", "--host", ",".join(f"{address}:1" for address in HOSTS.values())]
        yield [*on(first), *mpirun, "--mca", "plm_rsh_agent", ssh]


def test_ranks_on_two_hosts_fill_one_store(hosts: list[str], xanesml: str, tmp_path: Path) -> None:
    campaign, output = tmp_path / "fake.toml", tmp_path / "out"
    campaign.write_text(FAKE_CAMPAIGN, encoding="utf-8")
    for verb in ("simulate", "average"):
        done = subprocess.run(
            # By default rank 0 writes for the ranks of several hosts.
            [*hosts, xanesml, verb, str(campaign), "-o", str(output), "--writer", "mpio"],
            env=os.environ | MPI_AS_ROOT,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    with h5py.File(output / "store.h5") as file:
        assert set(file["runs/outcome"][:]) == {Outcome.DONE}
        assert {host.decode() for host in file["runs/host"][:]} == set(HOSTS)
    assert (output / "tensors.h5").exists()
