"""What a new run does about one that was killed; tests/workflow/test_faults.py does it for real."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from snakemake.scheduling.job_scheduler import JobScheduler

from openecg import head


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(head, "_held", None)
    (tmp_path / ".snakemake" / "log").mkdir(parents=True)
    return tmp_path


def sleeper(folder: Path, code: str = "pass") -> subprocess.Popen[str]:
    program = f"import signal, time; {code}; print('here', flush=True); time.sleep(60)"
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        env={**os.environ, head.MARK: str(folder)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    process.stdout.readline()
    return process


def test_the_jobs_of_this_folder_are_ended_and_no_others(folder: Path) -> None:
    own, other = sleeper(folder), sleeper(folder / "elsewhere")
    assert head.left_behind() == [own.pid]
    head.end_processes()
    assert own.wait(5) == -signal.SIGTERM
    assert other.poll() is None
    other.kill()
    other.wait()


def test_a_lock_is_held_until_its_process_ends(folder: Path) -> None:
    code = "from openecg import head; assert head.hold()"
    process = sleeper(folder / "elsewhere", code)
    assert not head.hold()
    assert str(process.pid) in head.LOCK.read_text()
    process.kill()
    process.wait()
    assert head.hold()


def test_locks_and_half_written_files_of_a_killed_run_go(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lock = folder / ".snakemake" / "locks" / "0.input.lock"
    half = folder / "results" / "shards" / ".part-000.parquet.abc.part"
    whole = folder / "results" / "shards" / "part-000.parquet"
    for path in (lock, half, whole):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    head.clear_up()
    assert not lock.exists()
    assert not half.exists()
    assert whole.exists()
    assert "was killed" in capsys.readouterr().err


Script = Callable[[str, str], None]


@pytest.fixture
def slurm(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Script:
    """A run that gave jobs to SLURM; call it with a command of SLURM and what that does."""
    (folder / ".snakemake" / "log" / "1.snakemake.log").write_text("SLURM run ID: mine\nmore\n")
    bin_ = folder / "bin"
    bin_.mkdir()
    monkeypatch.setenv("PATH", f"{bin_}:{os.environ['PATH']}")
    monkeypatch.setattr(time, "sleep", lambda _: None)

    def script(name: str, body: str) -> None:
        (bin_ / name).write_text(f"#!/bin/sh\n{body}\n")
        (bin_ / name).chmod(0o755)

    return script


def test_jobs_of_slurm_are_found_by_the_names_in_the_logs(folder: Path, slurm: Script) -> None:
    queue = folder / "queue"
    queue.write_text("7 mine\n8 theirs\n9 mine\n")
    slurm("squeue", f"cat {queue}")
    slurm("scancel", f"echo $@ > {folder}/cancelled; : > {queue}")
    head.end_slurm_jobs(head.run_ids(), killed=False)
    assert (folder / "cancelled").read_text() == "7 9\n"


def test_a_run_on_slurm_from_another_machine_is_not_taken_for_killed(
    folder: Path,
    slurm: Script,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    slurm("squeue", "true")
    started: list[tuple[str, list[str]]] = []
    monkeypatch.setattr(os, "execvp", lambda *command: started.append(command))
    lock = folder / ".snakemake" / "locks" / "0.input.lock"
    lock.parent.mkdir()
    lock.touch()
    note = "process 7 on elsewhere since yesterday\n"
    head.LOCK.write_text(note)
    assert head.main(["true"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert note.strip() in line
    assert lock.exists()
    assert head.LOCK.read_text() == note
    assert not started
    head.LOCK.unlink()  # as the line says
    head.main(["true"])
    assert started
    assert not lock.exists()


def test_a_run_from_another_machine_that_ended_is_in_no_ones_way(
    folder: Path, slurm: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    slurm("squeue", "true")
    started: list[tuple[str, list[str]]] = []
    monkeypatch.setattr(os, "execvp", lambda *command: started.append(command))
    head.LOCK.write_text("process 7 on elsewhere since yesterday\n")
    head.main(["true"])
    assert started


def test_a_slurm_that_does_not_answer_is_no_empty_queue(
    slurm: Script, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    slurm("squeue", "echo slurm_load_jobs error: no contact >&2; exit 1")
    lock = head.STATE / "locks" / "0.input.lock"
    lock.parent.mkdir()
    lock.touch()
    monkeypatch.setattr(head, "PATIENCE_S", 0)
    monkeypatch.setattr(os, "execvp", lambda *command: pytest.fail("went on"))
    assert head.main(["true"]) == 1
    *_, line = capsys.readouterr().err.splitlines()
    assert "squeue: cannot tell whether jobs of the killed run still run" in line
    assert "no contact" in line
    assert lock.exists()


def test_after_a_run_that_ended_a_silent_slurm_is_in_no_ones_way(
    slurm: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    slurm("squeue", "echo slurm_load_jobs error: no contact >&2; exit 1")
    started: list[tuple[str, list[str]]] = []
    monkeypatch.setattr(os, "execvp", lambda *command: started.append(command))
    head.main(["snakemake", "--cores", "2"])
    assert started


def test_a_run_on_a_silent_slurm_is_refused_at_once(
    slurm: Script, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    slurm("squeue", "echo slurm_load_jobs error: no contact >&2; exit 1")
    monkeypatch.setattr(os, "execvp", lambda *command: pytest.fail("went on"))
    assert head.main(["snakemake", "--workflow-profile", "profiles/slurm"]) == 1
    assert "SLURM does not answer: slurm_load_jobs error" in capsys.readouterr().err


def test_a_full_disk_is_refused_before_anything_starts(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(head, "LEAST_BYTES", 10**18)
    assert head.main(["true"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "the disk is full" in line
    assert str(folder) in line


LOOKS = ("-n", "-np", "--dryrun", "--dag=dot", "-D", "--detailed-summary", "--lt", "--list-rules")


@pytest.mark.parametrize("option", LOOKS)
def test_a_look_at_the_plan_needs_no_lock(
    folder: Path, monkeypatch: pytest.MonkeyPatch, option: str
) -> None:
    became = []
    monkeypatch.setattr(os, "execvp", lambda *command: became.append(command))
    head.main(["snakemake", option])
    assert became == [("snakemake", ["snakemake", option])]
    assert not head.LOCK.exists()


@pytest.mark.parametrize("option", ["--unlock", "--touch", "--notemp", "--delete-all-output"])
def test_what_changes_the_folder_needs_the_lock(
    folder: Path, monkeypatch: pytest.MonkeyPatch, option: str
) -> None:
    monkeypatch.setattr(os, "execvp", lambda *command: None)
    head.main(["snakemake", option])
    assert head.LOCK.exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "x.yaml: No such file or directory"),
        (b"# a: 1\n", "x.yaml: no keys at top level"),
        (b"[1]", "x.yaml: no keys at top level"),
        (b'a: !!int ""\n', "x.yaml: not readable as YAML: "),
        (b"a: !!bool x\n", "x.yaml: not readable as YAML: "),
        (b"a: !!timestamp x\n", "x.yaml: not readable as YAML: "),
        (b'a: "\\UFFFFFFFF"\n', "x.yaml: not readable as YAML: "),
        (b"datasets:\n  ludb: [\n", "x.yaml, line 3: not YAML: "),
        (b"a: b\n\tc: d\n", "x.yaml, line 2: not YAML: "),
        (b"a: \xff\n", "x.yaml: not a text file"),
        (b"a: 1\nb: {c: 1,\n  c: 2}\n", "x.yaml, line 3: not YAML: key 'c' again, first in line 2"),
        (b'{\n\t"a": 1, "a": 2}', "x.yaml: not readable as YAML: key 'a' is there twice"),
        (b"a: \x07\n", "x.yaml: not readable as YAML: "),
        (b"a: 2024-13-45\n", "x.yaml: not readable as YAML: month must be in 1..12"),
        (b"[" * 100_000, "x.yaml: not readable as YAML: "),
    ],
)
@pytest.mark.parametrize("option", [["--configfile", "y.yaml", "x.yaml"], ["--configfile=x.yaml"]])
def test_a_config_file_that_cannot_be_read_is_named(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    content: bytes | None,
    said: str,
    option: list[str],
) -> None:
    (folder / "y.yaml").write_text("a: 1\n")
    if content is not None:
        (folder / "x.yaml").write_bytes(content)
    assert head.main(["snakemake", "-n", *option, "--cores", "1"]) == 1
    line = capsys.readouterr().err
    assert line.startswith(f"openecg: {said}")
    assert line.count("\n") == 1


@pytest.mark.parametrize(
    "options",
    [["--configfile", "y.yaml", "-n", "nothing"], ["-n", "--configfile=y.yaml", "nothing"]],
)
def test_config_files_end_where_snakemake_says(
    folder: Path, monkeypatch: pytest.MonkeyPatch, options: list[str]
) -> None:
    became = []
    monkeypatch.setattr(os, "execvp", lambda *command: became.append(command))
    (folder / "y.yaml").write_text('{\n\t"a": 1\n}\n')  # JSON, with a tab
    head.main(["snakemake", "shards", *options])
    assert len(became) == 1


def test_the_config_file_of_the_workflow_is_looked_at_as_well(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    head.BASE_CONFIG.write_text("datasets: [ludb]\ncells: {}\ndatasets: [qtdb]\n")
    assert head.main(["snakemake", "-n"]) == 1
    said = capsys.readouterr().err
    assert said == (
        "openecg: workflow_config.yaml, line 3: not YAML: key 'datasets' again, first in line 1\n"
    )


def test_keys_that_are_not_the_same_key_are_taken(folder: Path) -> None:
    text = "a: &a {x: 1, y: 2}\nb: &b {<<: *a, x: 3}\nc: {<<: *b, <<: *a, x: 4}\n1: d\n'1': e\n"
    (folder / "x.yaml").write_text(text)
    assert head.config_fault(["--configfile", "x.yaml"]) == ""


def test_a_pipe_is_left_to_snakemake(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    assert head.config_fault(["--configfile", str(folder / "pipe")]) == ""


def test_looks_for_jobs_set_one_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(JobScheduler, head.SET_TIMER, getattr(JobScheduler, head.SET_TIMER))
    started: list[threading.Timer] = []
    monkeypatch.setattr(threading.Timer, "start", lambda timer: started.append(timer))
    head.look_once_a_second()
    scheduler = SimpleNamespace(_open_jobs=threading.Semaphore(0))
    for number in (1, 2):
        for _ in range(5):
            getattr(JobScheduler, head.SET_TIMER)(scheduler, 1.0)
        assert len(started) == number
        timer = started[-1]
        assert timer.daemon
        timer.function(*timer.args)
        assert scheduler._open_jobs.acquire(blocking=False)
        assert not scheduler._open_jobs.acquire(blocking=False)
