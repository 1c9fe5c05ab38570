"""A throw-away SLURM: a controller, accounting, and four nodes with six GPUs each by count.

    python -m tests.slurm.cluster install
    python -m tests.slurm.cluster up /tmp/slurm     (prints what to export)
    python -m tests.slurm.cluster down /tmp/slurm

It runs as root without systemd, on ports and sockets of its own. Nodes are daemons on this
machine; the GPUs and the memory exist on paper only, and no limit is enforced.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

PACKAGES = ("slurm-wlm", "slurmdbd", "slurm-client", "munge", "mariadb-server")
PROGRAMS = ("slurmctld", "slurmd", "slurmdbd", "munged", "mariadbd", "sbatch", "sacct")
NODES = ("node1", "node2", "node3", "node4")
ACCOUNT = "lab"
DEVICES = ("null", "zero", "full", "random", "urandom", "tty")  # stand for GPUs; any device may
# Stopped in this order.
DAEMONS = (*(f"slurmd-{node}" for node in NODES), "slurmctld", "slurmdbd", "mariadbd", "munged")

SLURM_CONF = """\
ClusterName=lab
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/run/munge.socket
CryptoType=crypto/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/run/slurmctld.pid
SlurmdPidFile={folder}/run/slurmd-%n.pid
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
MailProg=/bin/true
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=2,bf_interval=2,sched_min_interval=100000,batch_sched_delay=0
SlurmdParameters=config_overrides
ReturnToService=2
SlurmdTimeout=10
SlurmctldTimeout=10
InactiveLimit=0
KillWait=5
MinJobAge=300
OverTimeLimit=0
Waittime=0
JobRequeue=1
GresTypes=gpu
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=localhost
AccountingStoragePort={ports[1]}
AccountingStoragePass={folder}/run/munge.socket
AccountingStorageTRES=gres/gpu
AccountingStoreFlags=job_comment
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=1
NodeName=DEFAULT CPUs=8 RealMemory=64000 Gres=gpu:6
NodeName=node1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]}
NodeName=node2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[3]}
NodeName=node3 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[5]}
NodeName=node4 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[6]} Feature=dies
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
PartitionName=DEFAULT State=UP PreemptMode=OFF
PartitionName=cpu Nodes=node1,node2 Default=YES LLN=YES
PartitionName=gpu Nodes=node1,node2 LLN=YES
PartitionName=spot Nodes=node3 PreemptMode=REQUEUE GraceTime=20
PartitionName=urgent Nodes=node3 PriorityTier=2
PartitionName=frail Nodes=node1,node4
"""

SLURMDBD_CONF = """\
AuthType=auth/munge
AuthInfo=socket={folder}/run/munge.socket
DbdHost=localhost
DbdPort={ports[1]}
SlurmUser=root
LogFile={folder}/log/slurmdbd.log
PidFile={folder}/run/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={ports[4]}
StorageUser=slurm
StoragePass=slurm
StorageLoc=slurm_acct_db
"""

SQL = """\
CREATE DATABASE IF NOT EXISTS slurm_acct_db;
CREATE USER IF NOT EXISTS slurm@127.0.0.1 IDENTIFIED BY 'slurm';
GRANT ALL ON slurm_acct_db.* TO slurm@127.0.0.1;
CREATE USER IF NOT EXISTS slurm@localhost IDENTIFIED BY 'slurm';
GRANT ALL ON slurm_acct_db.* TO slurm@localhost;
"""


def why_not() -> str:
    """Say why no cluster can be started here; empty if one can."""
    if os.geteuid() != 0:
        return "a SLURM of one's own needs root"
    missing = [name for name in PROGRAMS if not shutil.which(name)]
    return f"SLURM is not installed, no {', '.join(missing)}" if missing else ""


def install() -> str:
    """Install SLURM from the packages of Debian; say why it could not be done, or nothing."""
    if not why_not() or os.geteuid() != 0:
        return why_not()
    if not shutil.which("apt-get"):
        return f"{why_not()}, and no apt-get to install it with"
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    get = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *PACKAGES]
    done = subprocess.run(get, env=env, stdout=subprocess.DEVNULL)
    if done.returncode:  # the lists of packages may be missing or old
        subprocess.run(["apt-get", "update", "-qq"], env=env, stdout=subprocess.DEVNULL)
        subprocess.run(get, env=env, stdout=subprocess.DEVNULL)
    return why_not()


class Cluster:
    """A cluster with all its files in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self.env = {
            **os.environ,
            "USER": "root",  # the executor plugin asks for it
            "SLURM_CONF": str(self.folder / "etc" / "slurm.conf"),
            "SBATCH_PARTITION": "cpu",
            "SBATCH_GPU_PARTITION": "gpu",
            "SBATCH_ACCOUNT": ACCOUNT,
        }

    def up(self) -> None:
        """Start everything and wait until all nodes are idle."""
        for name in (
            "etc",
            "state",
            "log",
            "run",
            "munge",
            "mysql",
            *(f"spool/{n}" for n in NODES),
        ):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        known = {"folder": self.folder, "host": socket.gethostname().split(".")[0]}
        ports = _free_ports(7)
        etc = self.folder / "etc"
        (etc / "slurm.conf").write_text(SLURM_CONF.format(**known, ports=ports))
        gpus = "Name=gpu File=" + ",".join(f"/dev/{name}" for name in DEVICES)
        gres = "".join(f"NodeName={node} {gpus}\n" for node in NODES)
        (etc / "gres.conf").write_text(gres)
        (etc / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n")
        (etc / "slurmdbd.conf").write_text(SLURMDBD_CONF.format(**known, ports=ports))
        (etc / "slurmdbd.conf").chmod(0o600)
        self._munge()
        self._mariadb(ports[4])
        self.run("slurmdbd")
        self._until(lambda: self.ok("sacctmgr", "-n", "list", "cluster"), "slurmdbd")
        self.run("sacctmgr", "-i", "add", "cluster", "lab")
        self.run("sacctmgr", "-i", "add", "account", ACCOUNT, "Description=lab", "Organization=lab")
        self.run("sacctmgr", "-i", "add", "user", "root", f"account={ACCOUNT}")
        self.run("slurmctld", "-i")
        self._until(lambda: self.ok("scontrol", "ping"), "slurmctld")
        for node in NODES:
            self.start_node(node)

    def down(self) -> None:
        """Stop everything, jobs first."""
        self.run("scancel", "--user=root", check=False)
        for node in NODES:
            self._kill_jobs(node)
        for name in DAEMONS:
            self._stop(name)

    def start_node(self, node: str) -> None:
        """Start a node and wait until it takes jobs."""
        self.run("slurmd", "-N", node)
        self._until(
            lambda: self.run("sinfo", "-hn", node, "-o", "%T").split()[:1] == ["idle"], node
        )

    def kill_node(self, node: str) -> None:
        """Let a node die with all that runs on it."""
        os.kill(int((self.folder / "run" / f"slurmd-{node}.pid").read_text()), signal.SIGKILL)
        self._kill_jobs(node)

    def run(self, *command: str, check: bool = True) -> str:
        """Run a command of SLURM; return what it prints."""
        done = subprocess.run(
            command,
            env=self.env,
            check=False,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        if check and done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stdout}")
        return done.stdout

    def ok(self, *command: str) -> bool:
        """Tell whether a command succeeds."""
        return not subprocess.run(command, env=self.env, capture_output=True).returncode

    def jobs(self, *fields: str, name: str = "") -> list[list[str]]:
        """List jobs, all or those of one name, by number with some fields of ``sacct``."""
        columns = ",".join(("JobID", *fields))
        chosen = [f"--name={name}"] if name else []
        told = self.run("sacct", "-XnP", "-S", "now-1hour", "-o", columns, *chosen)
        return [line.split("|") for line in told.splitlines()]

    def ended(self, job: str) -> bool:
        """Tell whether a job is no longer in the queue."""
        return not self.run("squeue", "-hj", job, "-t", "PD,R,CG", check=False).strip()

    def _munge(self) -> None:
        key = self.folder / "munge" / "munge.key"
        if not key.exists():
            key.write_bytes(os.urandom(128))
            key.chmod(0o400)
        key.parent.chmod(0o700)
        run, munge = self.folder / "run", self.folder / "munge"
        self.run(
            *("munged", "--force", f"--socket={run}/munge.socket", f"--key-file={key}"),
            *(f"--pid-file={run}/munged.pid", f"--seed-file={munge}/munge.seed"),
            *(f"--log-file={munge}/munged.log", "--num-threads=2"),
        )

    def _mariadb(self, port: int) -> None:
        data, run, log = (self.folder / name for name in ("mysql", "run", "log"))
        for path in (data, run):
            shutil.chown(path, "mysql")
        for path in (self.folder, run):
            path.chmod(0o755)
        common = ("--no-defaults", "--user=mysql", f"--datadir={data}")
        if not (data / "mysql").exists():
            method = "--auth-root-authentication-method=normal"
            self.run("mariadb-install-db", *common, method, "--skip-test-db")
        with (log / "mariadbd.log").open("w") as out:
            subprocess.Popen(
                [
                    *("mariadbd", *common, f"--socket={run}/mysql.sock"),
                    *(f"--pid-file={run}/mariadbd.pid", "--bind-address=127.0.0.1"),
                    *(f"--port={port}", "--innodb-buffer-pool-size=64M"),
                    *("--innodb-log-file-size=48M", "--innodb-lock-wait-timeout=900"),
                    *("--innodb-flush-log-at-trx-commit=0", "--skip-log-bin"),
                ],
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        client = ("--no-defaults", "-uroot", f"--socket={run}/mysql.sock")
        self._until(lambda: self.ok("mariadb-admin", *client, "ping"), "mariadbd")
        self.run("mariadb", *client, "-e", SQL)

    def _stop(self, name: str) -> None:
        pid_file = self.folder / "run" / f"{name}.pid"
        if not pid_file.exists() or not (pid := pid_file.read_text().strip()):
            return
        for how in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.kill(int(pid), how)
            except ProcessLookupError:
                return
            for _ in range(100):
                if not _alive(int(pid)):
                    return
                time.sleep(0.1)

    def _kill_jobs(self, node: str) -> None:
        """Kill what runs on a node: the processes of its jobs, and SLURM's own beside them."""
        jobs = self.run("squeue", "-hw", node, "-o", "%A", check=False).split()
        for path in Path("/proc").glob("[0-9]*"):
            try:
                environ = (path / "environ").read_bytes().split(b"\0")
                step = re.match(rb"slurmstepd: \[(\d+)", (path / "cmdline").read_bytes())
            except OSError:
                continue
            if f"SLURM_CONF={self.env['SLURM_CONF']}".encode() not in environ:
                continue
            own = f"SLURMD_NODENAME={node}".encode() in environ
            if own or (step and step[1].decode() in jobs):
                with suppress(ProcessLookupError):
                    os.kill(int(path.name), signal.SIGKILL)

    def _until(self, true: Callable[[], bool], name: str) -> None:
        for _ in range(600):
            if true():
                return
            time.sleep(0.1)
        logs = "\n".join(path.read_text()[-1000:] for path in (self.folder / "log").iterdir())
        raise RuntimeError(f"{name} does not start:\n{logs}")


def _free_ports(number: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [server.getsockname()[1] for server in sockets]
    for server in sockets:
        server.close()
    return ports


def _alive(pid: int) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["install"] if os.geteuid() != 0:
            print(f"{why_not()}: the tests will be skipped")
        case ["install"]:
            sys.exit(install() or None)
        case ["up", where]:
            cluster = Cluster(Path(where))
            cluster.up()
            for name, value in cluster.env.items():
                if name in ("USER", "SLURM_CONF") or name.startswith("SBATCH_"):
                    print(f"export {name}={value}")
        case ["down", where]:
            Cluster(Path(where)).down()
        case _:
            sys.exit(__doc__)
