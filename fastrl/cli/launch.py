"""`fastrl launch`: the job that runs a command on a pod or a cluster, printed, and with --submit started."""

import dataclasses
import shlex
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from fastrl.benchmarks import compile as compilers
from fastrl.cli import train
from fastrl.cli.options import Parser
from fastrl.errors import Failure, UserError, unknown
from fastrl.jobs import accelerators, google, kubernetes, slurm
from fastrl.jobs import job as jobs
from fastrl.jobs.accelerators import Slice
from fastrl.jobs.job import Job, Rendered, Settings

Render = Callable[[Job, Slice, Settings], Rendered]
BY: dict[str, Render] = {
    "gcloud": google.queued_resource,
    "xpk": google.xpk,
    "skypilot": google.skypilot,
    "jobset": kubernetes.jobset,
}
NEEDS = {"xpk": ("cluster", "image"), "jobset": ("image",), "k8s": ("image",)}


def _parser() -> Parser:
    parser = Parser(
        prog="fastrl launch",
        description="Prints the job that runs a command on every host of a pod or a cluster, starts it again when it\n"
        "fails, and keeps what it saves where it outlives the machines. After -- comes the command:\n"
        "fastrl launch --on tpu-v5e-256 --store gs://BUCKET -- run wsrl --env hopper --seeds 1024 ...",
    )
    shown = Settings("", "")
    parser.add_argument("--on", metavar="WHERE", help="tpu-KIND-CHIPS, slurm or k8s (default: none, it must be named)")
    parser.add_argument("--by", default="gcloud", metavar="HOW", help=f"TPUs: {', '.join(BY)} (default: gcloud)")
    parser.add_argument(
        "--store", metavar="PLACE", help="gs://BUCKET, pvc:NAME for a JobSet, on Slurm a shared folder (default: none)"
    )
    parser.add_argument("--name", default="fastrl", help="name of the job and of its run folder (default: fastrl)")
    meaning = "slices of the pod, each a job of its own with its part of the seeds (default: 1)"
    parser.add_argument("--slices", type=int, default=1, metavar="N", help=meaning)
    for name, meaning in (
        ("retries", "times that a job is started again"),
        ("nodes", "nodes, on slurm and k8s"),
        ("gpus", "GPUs of a node, on slurm and k8s"),
    ):
        parser.add_argument(
            f"--{name}", type=int, default=getattr(shown, name), metavar="N", help=f"{meaning} (default: %(default)s)"
        )
    for name, meaning in (
        ("checkpoint-minutes", "minutes between checkpoints, of which three are kept"),
        ("hang-minutes", "minutes without an answer from a device after which a process ends"),
    ):
        default = getattr(shown, name.replace("-", "_"))
        parser.add_argument(
            f"--{name}", type=float, default=default, metavar="X", help=f"{meaning} (default: %(default)g)"
        )
    meaning = "what pip installs on the machines: a release, a file, git+https://... (default: %(default)s)"
    parser.add_argument("--package", default=shown.package, metavar="SPEC", help=meaning)
    parser.add_argument(
        "--image", default="", help="container image that has fastrl, for xpk and Kubernetes (default: none)"
    )
    parser.add_argument("--project", default="", help="Google Cloud project (default: gcloud's)")
    parser.add_argument("--zone", default="", help="zone of the TPUs (default: gcloud's)")
    parser.add_argument("--cluster", default="", help="cluster of GKE, for xpk (default: none)")
    parser.add_argument("--spot", action="store_true", help="machines that may be taken away (default: not)")
    parser.add_argument(
        "--out", default="runs/launch", metavar="DIR", help="folder for the job's files (default: runs/launch)"
    )
    meaning = "compile the run for these machines, here, and say whether it fits and what bounds it (default: not)"
    parser.add_argument("--check", action="store_true", help=meaning)
    parser.add_argument(
        "--submit", action="store_true", help="write the files and run the commands (default: print them)"
    )
    return parser


def main(words: Sequence[str]) -> int:
    """Prints or submits."""
    place = list(words).index("--") if "--" in words else len(words)
    command, found = list(words[place + 1 :]), _parser().parse(words[:place])
    if found.on is None or (found.store is None and not found.check):
        raise UserError(
            "--on and --store are needed: where it runs and where what it saves is kept (--help shows both)"
        )
    if found.check:
        print(_check(found.on, found.nodes * found.gpus, jobs.by_slice(command, found.slices)[0]))
        return 0
    if command[:1] == ["run"]:
        train.asked(command[1:])  # an option that is not there is found here, not by a machine that costs money
    fields = {name: getattr(found, name) for name in Settings.__dataclass_fields__}
    settings = Settings(**fields)
    _checked(settings, found.on, found.by, found.slices)
    made = [render(found.on, found.by)(job, settings) for job in jobs.jobs(settings, command, found.slices)]
    if found.submit:
        return _submit(made, Path(found.out))
    print("\n".join(_shown(each) for each in made))
    return 0


def render(on: str, by: str) -> Callable[[Job, Settings], Rendered]:
    """What makes the files and commands of a job for a place."""
    if on == "slurm":
        return slurm.sbatch
    if on == "k8s":
        return lambda job, settings: kubernetes.jobset(job, None, settings)
    slice = accelerators.tpu(on)
    if by not in BY:
        raise unknown("way to get TPUs", by, BY)
    return lambda job, settings: BY[by](job, slice, settings)


def _checked(settings: Settings, on: str, by: str, slices: int) -> None:
    claimed = settings.store.startswith("pvc:") and (on == "k8s" or by == "jobset")
    if on != "slurm" and not settings.store.startswith("gs://") and not claimed:
        raise UserError(f"--store {settings.store} is no bucket; write gs://BUCKET, or pvc:NAME for a JobSet")
    if on == "slurm" and not settings.store.startswith("/"):
        raise UserError(f"--store {settings.store} is no folder that all nodes see; write its whole path")
    how = by if on.startswith("tpu") else on
    for name in NEEDS.get(how, ()):
        if not getattr(settings, name):
            raise UserError(f"--{name} is missing: {how} needs it")
    for name in ("retries", "nodes", "gpus", "checkpoint_minutes", "hang_minutes"):
        if getattr(settings, name) < (0 if name == "retries" else 1e-9):
            raise UserError(f"--{name.replace('_', '-')} must be above 0, not {getattr(settings, name):g}")
    if slices < 1:
        raise UserError(f"--slices must be above 0, not {slices}")


def _check(on: str, gpus: int, words: Sequence[str]) -> str:
    """What `fastrl.jobs.check` finds of the command; on GPUs, which share nothing, of the seeds of one of them."""
    if not words or words[0] != "run":
        raise UserError("--check compiles what comes after --, which must be run ...")
    slice = None if on in ("slurm", "k8s") else accelerators.tpu(on)
    target = "h100" if slice is None else f"{slice.kind}:{slice.topology}"
    compilers.prepare(target)  # before anything imports jax
    found, grid, task = train.asked(words[1:])
    task = train.configured(found, task)
    from fastrl.benchmarks import ahead
    from fastrl.jobs import check
    from fastrl.planning import asked as asking
    from fastrl.planning import plan as plans

    asked = {name: task.pop(name) for name in ("env", "dataset", "start", "env_options")}
    options = {name: value for name, value in task.items() if name not in ("out", "resume", "command")}
    devices = ahead.describe(target)
    with ahead.as_if("cuda" if slice is None else "tpu"):
        plan, _ = plans.make(asking.recipe(found.recipe, options=options, sweep=grid, **asked))
    if slice is None:
        chip, plan = accelerators.CHIPS["h100"], dataclasses.replace(plan, seeds=-(-plan.seeds // gpus))
        return check.said(check.measure(plan, devices, chip), chip, gpus)
    chip = accelerators.CHIPS[slice.kind]
    return check.said(check.measure(plan, devices, chip), chip, slice.chips)


def _shown(made: Rendered) -> str:
    files = [f"# {name}\n{text}" for name, text in made.files.items()]
    later = [f"# its log, its end: {shlex.join(command)}" for command in made.later]
    once = [f"# once, before the first job: {shlex.join(command)}" for command in made.once]
    return "\n".join([*files, *once, *(shlex.join(command) for command in made.commands), *later])


def _submit(made: Sequence[Rendered], folder: Path) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    for each in made:
        for name, text in each.files.items():
            (folder / name).write_text(text)
        for command in each.commands:
            print(shlex.join(command))
            try:
                ended = subprocess.run(command, cwd=folder)
            except FileNotFoundError as error:
                raise UserError(f"{command[0]} is not installed here; run this where it is, from {folder}") from error
            if ended.returncode:
                raise Failure(f"{command[0]} ended with code {ended.returncode}; nothing after it was submitted")
    return 0
