"""A TPU slice from Google: as a queued resource, by XPK, by SkyPilot."""

import textwrap

from fastrl.jobs.accelerators import RUNTIMES, Slice
from fastrl.jobs.job import Job, Rendered, Settings, again, install

MOUNTED = "/mnt/fastrl"  # where the bucket is seen as a folder


FUSE = """command -v gcsfuse > /dev/null || {
  curl -fsSLo /usr/share/keyrings/cloud.google.asc https://packages.cloud.google.com/apt/doc/apt-key.gpg
  packages="https://packages.cloud.google.com/apt gcsfuse-$(lsb_release -cs) main"
  echo "deb [signed-by=/usr/share/keyrings/cloud.google.asc] $packages" > /etc/apt/sources.list.d/gcsfuse.list
  apt-get update -q && apt-get install -qy gcsfuse
}"""


def queued_resource(job: Job, slice: Slice, settings: Settings) -> Rendered:
    """`gcloud compute tpus queued-resources create`, with what every host does when it starts, or starts again."""
    script, resource, bucket = f"{job.name}.sh", ["gcloud", "compute", "tpus"], settings.store.removeprefix("gs://")
    text = f"""#!/bin/bash
# Every host of {job.name} runs this when it starts.
export HOME=/root
{install(settings.package)}
{FUSE}
mkdir -p {MOUNTED}
mountpoint -q {MOUNTED} || gcsfuse --implicit-dirs {bucket} {MOUNTED} || exit 1
{again(job.command(f"{MOUNTED}/{job.name}"), settings.retries)}"""
    create = [*resource, "queued-resources", "create", job.name, f"--node-id={job.name}"]
    create += [f"--accelerator-type={slice.accelerator_type}", f"--runtime-version={RUNTIMES[slice.kind]}"]
    create += [f"--metadata-from-file=startup-script={script}", "--scopes=cloud-platform"]
    follow = "--command=sudo journalctl -fu google-startup-scripts"
    log = [*resource, "tpu-vm", "ssh", job.name, "--worker=0", follow, *_place(settings)]
    end = [*resource, "queued-resources", "delete", job.name, "--force", *_place(settings)]
    spot = ["--spot"] if settings.spot else []
    return Rendered({script: text}, [[*create, *_place(settings), *spot]], [log, end])


def xpk(job: Job, slice: Slice, settings: Settings) -> Rendered:
    """`xpk workload create`; the bucket is attached to the cluster once, for all jobs."""
    where, bucket = [f"--cluster={settings.cluster}", *_place(settings)], settings.store.removeprefix("gs://")
    attach = ["xpk", "storage", "attach", "fastrl", "--type=gcsfuse", f"--bucket={bucket}"]
    attach += [f"--mount-point={MOUNTED}", "--readonly=false", "--auto-mount=true", *where]
    create = ["xpk", "workload", "create", f"--workload={job.name}", f"--tpu-type={slice.accelerator_type}"]
    create += ["--num-slices=1", f"--docker-image={settings.image}", f"--max-restarts={settings.retries}", *where]
    log = ["kubectl", "logs", "--follow", f"--selector=jobset.sigs.k8s.io/jobset-name={job.name}"]
    end = ["xpk", "workload", "delete", f"--workload={job.name}", *where]
    command = f"--command={job.command(f'{MOUNTED}/{job.name}')}"
    return Rendered({}, [[*create, command]], [log, end], once=[attach])


def skypilot(job: Job, slice: Slice, settings: Settings) -> Rendered:
    """`sky jobs launch`, which finds another zone when a spot machine is taken away."""
    file = f"{job.name}.yaml"
    zone = f"/{settings.zone.rpartition('-')[0]}/{settings.zone}" if settings.zone else ""
    text = f"""name: {job.name}
resources:
  infra: gcp{zone}
  accelerators: tpu-{slice.accelerator_type}
  accelerator_args:
    runtime_version: {RUNTIMES[slice.kind]}
  use_spot: {str(settings.spot).lower()}
  job_recovery:
    max_restarts_on_errors: {settings.retries}
file_mounts:
  {MOUNTED}:
    source: {settings.store}
    mode: MOUNT
setup: |
{textwrap.indent(install(settings.package), "  ")}
run: |
  export PATH=~/fastrl-env/bin:$PATH
  {job.command(f"{MOUNTED}/{job.name}")}
"""
    launch = ["sky", "jobs", "launch", "--yes", "--detach-run", file]
    return Rendered(
        {file: text},
        [launch],
        [["sky", "jobs", "logs", "--name", job.name], ["sky", "jobs", "cancel", "--name", job.name]],
    )


def _place(settings: Settings) -> list[str]:
    named = {"project": settings.project, "zone": settings.zone}
    return [f"--{name}={value}" for name, value in named.items() if value]
