"""What `fastrl launch` prints, as files beside this one: read them when they change."""

import shlex
import subprocess
from pathlib import Path

import pytest
import yaml

from fastrl.cli import launch
from fastrl.errors import Failure, UserError
from fastrl.jobs import accelerators, job

GOLDEN = Path(__file__).parent / "golden"
RUN = ["--", "run", "wsrl", "--env", "hopper", "--seeds", "1024"]
CASES = {
    "gcloud": "--on tpu-v5e-256 --store gs://runs --name wsrl --zone us-west4-a --project mine --spot --slices 2",
    "xpk": "--on tpu-v6e-16 --by xpk --store gs://runs --name wsrl --cluster pods --image wsrl:1 --retries 3",
    "skypilot": "--on tpu-v5e-8 --by skypilot --store gs://runs --name wsrl --zone us-west4-a",
    "jobset": "--on tpu-v5p-64 --by jobset --store gs://runs --name wsrl --image wsrl:1",
    "k8s": "--on k8s --store pvc:runs --name wsrl --image wsrl:1 --nodes 2 --gpus 4",
    "slurm": "--on slurm --store /shared/runs --name wsrl --nodes 2 --checkpoint-minutes 5 --hang-minutes 60",
}


def printed(capsys, words):
    assert launch.main(words) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("name", CASES)
def test_the_job_is_the_golden_one(name, capsys):
    assert printed(capsys, [*CASES[name].split(), *RUN]) == (GOLDEN / f"{name}.txt").read_text()


@pytest.mark.parametrize("name", ["gcloud", "slurm"])
def test_the_script_is_one_for_a_shell(name):
    lines = (GOLDEN / f"{name}.txt").read_text().splitlines()
    script = "\n".join(lines[1 : next(n for n, line in enumerate(lines) if line.startswith(("gcloud ", "sbatch ")))])
    assert subprocess.run(["bash", "-n"], input=script, text=True).returncode == 0


@pytest.mark.parametrize("name", ["jobset", "k8s", "skypilot"])
def test_the_file_is_yaml_that_runs_the_command(name):
    text = (GOLDEN / f"{name}.txt").read_text()
    starts = [text.find(f"\n{command}") for command in ("# once", "kubectl ", "sky ")]
    found = yaml.safe_load(text[: min(start for start in starts if start > 0)])
    text = str(found)
    assert "fastrl run wsrl --env hopper --seeds 1024 --devices all" in text and "--resume auto" in text


def test_every_job_saves_where_it_lasts_and_has_its_limits():
    for name in CASES:
        text = (GOLDEN / f"{name}.txt").read_text()
        place = "/shared/runs/wsrl" if name == "slurm" else "/mnt/fastrl/wsrl"
        assert f"--out {place}" in text and "--distributed on" in text
        minutes = ("5", "60") if name == "slurm" else ("3", "30")
        assert f"--checkpoint-minutes={minutes[0]} --hang-minutes={minutes[1]}" in text


def test_slices_share_the_seeds():
    settings = job.Settings("x", "gs://b")
    first, second = job.jobs(settings, ["run", "sac", "--seeds=6", "--env", "hopper"], slices=2)
    assert first.name == "x-0" and first.words[:8] == (
        "run",
        "sac",
        "--env",
        "hopper",
        "--seeds",
        "3",
        "--first-seed",
        "0",
    )
    assert second.name == "x-1" and second.words[4:8] == ("--seeds", "3", "--first-seed", "3")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("--on tpu-v5e-7 --store gs://b", "no slice of 7 chips"),
        ("--on tpu-v9-8 --store gs://b", "unknown kind of TPU 'v9'"),
        ("--on mars --store gs://b", "is no TPU; write tpu-KIND-CHIPS"),
        ("--on tpu-v5e-8 --store /x", "is no bucket"),
        ("--on tpu-v5e-8 --store pvc:x", "is no bucket"),
        ("--on slurm --store gs://b", "is no folder that all nodes see"),
        ("--on tpu-v5e-8 --by boat --store gs://b", "unknown way to get TPUs"),
        ("--on tpu-v5e-8 --by xpk --store gs://b", "--cluster is missing: xpk needs it"),
        ("--on k8s --store gs://b", "--image is missing: k8s needs it"),
        ("--on slurm --store /b --nodes 0", "--nodes must be above 0"),
        ("--on slurm --store /b --slices 0", "--slices must be above 0"),
        ("--on slurm --store /b --slices 3", "do not divide among --slices 3"),
        ("--store gs://b", "--on and --store are needed"),
    ],
)
def test_what_cannot_be_is_one_line(words, line):
    with pytest.raises(UserError, match=line):
        launch.main([*words.split(), *RUN])


@pytest.mark.parametrize(
    ("command", "line"),
    [
        ("", "after -- comes a command of fastrl"),
        ("train sac", "after -- comes a command of fastrl"),
        ("run sac --env hopper --out x", "--out is set by fastrl launch"),
        ("run sac --env hopper --devices=4", "--devices=4 is set by fastrl launch"),
        ("run sac --env hopper --sedes 4", "unknown option --sedes"),
    ],
)
def test_the_command_is_looked_at_before_anyone_pays(command, line):
    with pytest.raises(UserError, match=line):
        launch.main(["--on", "slurm", "--store", "/b", "--", *command.split()])


def test_topologies_have_as_many_chips_as_they_say():
    for kind, shapes in accelerators.SHAPES.items():
        for chips, shape in shapes.items():
            product = 1
            for size in shape.split("x"):
                product *= int(size)
            assert product == chips
            slice = accelerators.Slice(kind, chips)
            assert slice.hosts * slice.chips_per_host == chips
    assert accelerators.tpu("tpu-v5e-256").accelerator_type == "v5litepod-256"
    assert accelerators.tpu("tpu-v5p-8").accelerator_type == "v5p-16"


@pytest.mark.parametrize(("codes", "runs", "end"), [("1 1 0", 3, 0), ("2", 1, 2), ("1 1 1 1", 3, 1)])
def test_a_failed_run_starts_again_and_a_wrong_one_does_not(tmp_path, codes, runs, end):
    """The shell's lines with a fastrl that ends with one code after another."""
    (tmp_path / "codes").write_text("\n".join(codes.split()) + "\n")
    fake = "code=$(head -n 1 codes); sed -i 1d codes; echo run >> runs; (exit $code)"
    script = f"fastrl() {{ {fake}; }}\nsleep() {{ :; }}\n{job.again('fastrl run sac', 2)}"
    ended = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert ended.returncode == end and (tmp_path / "runs").read_text().count("run") == runs
    assert ended.stderr.count("goes on from the last checkpoint") == (2 if end == 0 else 0 if end == 2 else 3)


def test_submit_writes_the_files_and_runs_the_commands(tmp_path, monkeypatch, capsys):
    ran = []

    def run(command, cwd):
        ran.append((command, cwd))
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(subprocess, "run", run)
    words = ["--submit", "--out", str(tmp_path / "jobs"), *CASES["slurm"].split(), *RUN]
    assert launch.main(words) == 0
    assert ran == [(["sbatch", "wsrl.sbatch"], tmp_path / "jobs")]
    assert (tmp_path / "jobs" / "wsrl.sbatch").read_text() in (GOLDEN / "slurm.txt").read_text()
    monkeypatch.setattr(subprocess, "run", lambda command, cwd: subprocess.CompletedProcess(command, 3))
    with pytest.raises(Failure, match="sbatch ended with code 3"):
        launch.main(words)
    assert shlex.join(["sbatch", "wsrl.sbatch"]) in capsys.readouterr().out


def test_a_launcher_that_is_not_there_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="sbatch is not installed here"):
        launch.main(["--submit", "--out", str(tmp_path / "jobs"), *CASES["slurm"].split(), *RUN])
