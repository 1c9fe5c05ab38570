"""One run per folder: refuse a second one, and clear up after one that was killed.

``python -m openecg.head snakemake ...`` does both and then becomes Snakemake, which keeps the lock
until it ends, however it ends. Snakemake's own lock does not know whether its owner still lives.
"""

import errno
import fcntl
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import yaml

STATE = Path(".snakemake")
RESULTS = Path("results")
BASE_CONFIG = Path("workflow_config.yaml")  # which Snakemake reads before those it is given
LOCK = STATE / "head.lock"
MARK = "OPENECG_HEAD"  # in the environment of every job: the folder that its run works in
ASIDE = ".*.part"  # what a killed `openecg.files.written_aside` leaves, or a killed `simulate`
LEAST_BYTES = 10_000_000  # free; Snakemake's own records and logs need some
SLURM_PROFILE = "profiles/slurm"
SET_TIMER = "_schedule_reevalutation"  # of Snakemake's scheduler, spelt so
PATIENCE_S = 90  # for jobs to end after they were told to; SLURM kills after its KillWait

# Options of Snakemake that only look, and need no lock; -np is -n and -p.
ONLY_LOOK = re.compile(
    r"-n\w*|-[DSl]|--l[ciptu]|--(dry-?run|dag|rulegraph|filegraph|(detailed-)?summary|list\S*|lint)(=\S*)?"
)

# What PyYAML raises besides those with a line, so of a date that is none.
YAML_ERRORS = (
    yaml.YAMLError,
    ValueError,
    LookupError,
    AttributeError,
    OverflowError,
    RecursionError,
)

_held: IO[str] | None = None


def main(argv: list[str]) -> int:
    """Take this folder, clear up after a killed run, and become the command ``argv``."""
    try:
        if fault := config_fault(argv):
            return _say(fault)
        if not any(map(ONLY_LOOK.fullmatch, argv)):
            STATE.mkdir(exist_ok=True)
            check_disk()
            if note := begun_elsewhere():
                return _say(
                    f"a run on SLURM works in {Path.cwd()}, or was killed: {note}; if it has ended,"
                    f" remove {LOCK} and start again"
                )
            if SLURM_PROFILE in argv and (silence := silence_of_slurm()):
                return _say(f"SLURM does not answer: {silence}")
            if not hold():
                return _say(
                    f"another run works in {Path.cwd()}: {LOCK.read_text().strip()}; wait for its"
                    " end, or stop it first (Ctrl-C there)"
                )
            if _held:
                clear_up()
                os.set_inheritable(_held.fileno(), True)
    except OSError as error:
        return _say(f"{error.filename}: {error.strerror}")
    os.execvp(argv[0], argv)


def config_fault(argv: list[str]) -> str:
    """Say which config file cannot be read, where and why; empty if all can.

    Of a file that is no YAML, Snakemake names neither the file nor the line, and of a key that is
    there twice it takes the last and says nothing.
    """
    if BASE_CONFIG.exists() and (fault := _fault_of(str(BASE_CONFIG))):
        return fault
    taken = False  # whether a word that is no option is the name of a config file
    for word in argv:
        option, equals, name = word.partition("=")
        if word.startswith("-"):
            named = option in ("--configfile", "--configfiles")
            taken = named and not equals
            if named and equals and (fault := _fault_of(name)):
                return fault
        elif taken and (fault := _fault_of(word)):
            return (
                fault if Path(word).exists() else f"{fault} (--configfile takes all names after it)"
            )
    return ""


def _fault_of(name: str) -> str:
    """Say why one config file cannot be read; a pipe can be read only once, by Snakemake."""
    path = Path(name)
    if path.exists() and not path.is_file() and not path.is_dir():
        return ""
    try:
        text = path.read_text(encoding="utf-8")
        try:
            config = json.loads(text, object_pairs_hook=_object_of)  # which may have tabs
        except ValueError:
            config = yaml.load(text, _OnceLoader)
    except OSError as error:
        return f"{name or '--configfile without a name'}: {error.strerror}"
    except UnicodeDecodeError:
        return f"{name}: not a text file"
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        return f"{name}{f', line {mark.line + 1}' if mark else ''}: not YAML: {error.problem}"
    except YAML_ERRORS as error:
        return f"{name}: not readable as YAML: {' '.join(str(error).split())}"
    return (
        "" if isinstance(config, dict) else f"{name}: no keys at top level; allowed is KEY: VALUE"
    )


class _OnceLoader(yaml.SafeLoader):
    """PyYAML, but a key that is there twice is an error, as YAML says and PyYAML does not."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        lines: dict[tuple[str, str], int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag == "tag:yaml.org,2002:merge":
                continue
            name = (key.tag, key.value)
            if name in lines:
                again = f"key {key.value!r} again, first in line {lines[name]}"
                raise yaml.MarkedYAMLError(problem=again, problem_mark=key.start_mark)
            lines[name] = key.start_mark.line + 1
        return node


def _object_of(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make an object of JSON; a key that is there twice is an error."""
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise LookupError(f"key {name!r} is there twice")
        found[name] = value
    return found


def begun_elsewhere() -> str:
    """Give the note of a run with SLURM jobs that began on another machine and did not end.

    Where locks hold on one machine only, as on some shared file systems, `hold` cannot tell such a
    run from a killed one, whose jobs may be cancelled. Empty if there is none.
    """
    note = LOCK.read_text().strip() if LOCK.exists() else ""
    here = f" on {socket.gethostname()} " in note
    return "" if here or not killed_locks() or not run_ids() else note


def hold() -> bool:
    """Lock this folder for as long as this process lives.

    Returns
    -------
    bool
        False if another living process, on any node, has the lock.
    """
    global _held
    lock = LOCK.open("a+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks: there, Snakemake's own is all there is
        return True
    _held = lock
    lock.truncate(0)
    now = time.strftime("%Y-%m-%d %H:%M:%S")
    print(f"process {os.getpid()} on {socket.gethostname()} since {now}", file=lock, flush=True)
    return True


def look_once_a_second() -> None:
    """Keep Snakemake from looking for jobs to start ever more often as jobs end.

    Each look while jobs wait sets a timer for another one, a second later by default, and so does
    the look after a job has ended, besides the timers that run: after 600 jobs there are 600 looks
    a second. Here no timer is set while one runs. Seen in Snakemake 9.27.1; a version without this
    timer stays as it is.
    """
    try:
        from snakemake.scheduling.job_scheduler import JobScheduler
    except ImportError:
        return
    timer: threading.Timer | None = None

    def set_timer(scheduler: JobScheduler, delay_s: float) -> None:
        nonlocal timer
        if timer is None:
            timer = threading.Timer(delay_s, look, [scheduler])
            timer.daemon = True  # nobody waits for it at the end
            timer.start()

    def look(scheduler: JobScheduler) -> None:
        nonlocal timer
        timer = None  # before the look, which sets the next one
        scheduler._open_jobs.release()

    if hasattr(JobScheduler, SET_TIMER):
        setattr(JobScheduler, SET_TIMER, set_timer)


def clear_up() -> None:
    """End what a killed run left running, then remove its locks and half-written files."""
    locks = killed_locks()
    if locks:
        _say("the run before this one was killed; its jobs are ended and its lock is removed")
    end_slurm_jobs(run_ids(), killed=bool(locks))
    end_processes()
    for path in [*locks, *RESULTS.rglob(ASIDE)]:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def killed_locks() -> list[Path]:
    """List the locks of Snakemake: those of a killed run, once `hold` has told that none lives."""
    return list((STATE / "locks").glob("*.lock"))


def check_disk() -> None:
    """Refuse a folder in which nothing can be written, before Snakemake trips over it.

    Raises
    ------
    OSError
        With the name of the folder and the reason.
    """
    for folder in (STATE, RESULTS):
        if not folder.exists():
            continue
        place = str(folder.absolute())
        if not os.access(folder, os.W_OK | os.X_OK):
            reason = "nothing can be written here (read-only file system, or not your folder)"
            raise OSError(errno.EACCES, reason, place)
        free = shutil.disk_usage(folder).free
        if free < LEAST_BYTES:
            reason = f"the disk is full ({free / 1e6:.0f} MB free)"
            raise OSError(errno.ENOSPC, reason, place)


def run_ids() -> set[str]:
    """Find the names under which the runs in this folder gave jobs to SLURM."""
    found: set[str] = set()
    for path in (STATE / "log").glob("*.log"):
        found.update(re.findall(r"^SLURM run ID: (\S+)$", path.read_text(errors="replace"), re.M))
    return found


def end_slurm_jobs(names: set[str], *, killed: bool) -> None:
    """Cancel the jobs of these names and wait until they have ended.

    Raises
    ------
    OSError
        If SLURM does not answer, and the last run was killed: an old job may then still write over
        new results.
    """
    if not names or (not killed and silence_of_slurm()):
        return
    asked = False
    until = time.monotonic() + (PATIENCE_S if shutil.which("squeue") else 0)
    while True:
        jobs, failure = queued(names)
        if not jobs and not failure:
            return
        if jobs and not asked:
            asked = not subprocess.run(["scancel", *jobs], check=False).returncode
            if asked:
                _say(f"cancelling {len(jobs)} SLURM jobs of a killed run: {' '.join(jobs)}")
        if time.monotonic() > until:
            break
        time.sleep(1)
    if failure:
        reason = (
            f"cannot tell whether jobs of the killed run still run: {failure}; if none does, remove"
            f" {STATE / 'locks'} and start again"
        )
        raise OSError(errno.EAGAIN, reason, "squeue")
    _say(f"SLURM jobs {' '.join(jobs)} have not ended; going on")


def silence_of_slurm() -> str:
    """Say why SLURM does not answer; empty if it does."""
    return queued(set())[1]


def queued(names: set[str]) -> tuple[list[str], str]:
    """List the ids of the user's SLURM jobs of these names, or say why SLURM does not answer."""
    if not shutil.which("squeue"):
        return [], "no command squeue here"
    queue = subprocess.run(
        ["squeue", "--me", "--noheader", "--format=%A %j"], capture_output=True, text=True
    )
    if queue.returncode:
        said = queue.stderr.strip().splitlines()
        return [], said[0] if said else f"exit code {queue.returncode}"
    rows = [line.split(maxsplit=1) for line in queue.stdout.splitlines()]
    return [job for job, name in rows if name in names], ""


def left_behind() -> list[int]:
    """Find the processes on this machine that a run in this folder started."""
    wanted = f"{MARK}={Path.cwd()}".encode()
    own = {os.getpid(), os.getppid()}
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            marked = wanted in path.read_bytes().split(b"\0")
        except OSError:  # ended meanwhile, or of another user
            continue
        if marked and int(path.parent.name) not in own:
            found.append(int(path.parent.name))
    return found


def end_processes() -> None:
    """Ask the processes left behind to end, give them ten seconds, then kill them."""
    for how, patience_s in ((signal.SIGTERM, 10.0), (signal.SIGKILL, 5.0)):
        for pid in left_behind():
            with suppress(ProcessLookupError):
                os.kill(pid, how)
        until = time.monotonic() + patience_s
        while left_behind() and time.monotonic() < until:
            time.sleep(0.05)


def _say(line: str) -> int:
    """Tell the user; the exit code of a refusal comes back."""
    print(f"openecg: {line}", file=sys.stderr, flush=True)
    return 1


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        _say("stopped by Ctrl-C")
        sys.exit(128 + signal.SIGINT)
