"""A JobSet of Kubernetes: a slice of TPUs on GKE, or nodes with GPUs anywhere."""

import json

from fastrl.jobs.accelerators import NODE_LABELS, Slice
from fastrl.jobs.google import MOUNTED
from fastrl.jobs.job import Job, Rendered, Settings

PORT = 8476  # where the first process waits for the others


def jobset(job: Job, slice: Slice | None, settings: Settings) -> Rendered:
    """One pod a host; if one fails all start again, from what is saved, `retries` times."""
    file = f"{job.name}.yaml"
    hosts = settings.nodes if slice is None else slice.hosts
    text = f"""apiVersion: jobset.x-k8s.io/v1alpha2
kind: JobSet
metadata:
  name: {job.name}
spec:
  failurePolicy:
    maxRestarts: {settings.retries}
  replicatedJobs:
  - name: hosts
    replicas: 1
    template:
      spec:
        parallelism: {hosts}
        completions: {hosts}
        backoffLimit: 0
        template:
          metadata:
            annotations:
              gke-gcsfuse/volumes: "true"
          spec:
            restartPolicy: Never
            serviceAccountName: fastrl
{_selector(slice)}            containers:
            - name: fastrl
              image: {settings.image}
              command: ["bash", "-c", {json.dumps(job.command(f"{MOUNTED}/{job.name}"))}]
              env:
{_environment(job.name, hosts)}              resources:
                limits:
                  {"nvidia.com/gpu" if slice is None else "google.com/tpu"}: {_devices(slice, settings)}
              volumeMounts:
              - name: store
                mountPath: {MOUNTED}
            volumes:
            - name: store
{_volume(settings.store)}"""
    log = ["kubectl", "logs", "--follow", f"--selector=jobset.sigs.k8s.io/jobset-name={job.name}"]
    account = ["kubectl", "create", "serviceaccount", "fastrl"]
    return Rendered(
        {file: text}, [["kubectl", "apply", "-f", file]], [log, ["kubectl", "delete", "-f", file]], [account]
    )


def _volume(store: str) -> str:
    """A bucket of Google's, or the claim of a volume that all pods can write to (`pvc:NAME`)."""
    if store.startswith("pvc:"):
        return f"""              persistentVolumeClaim:
                claimName: {store.removeprefix("pvc:")}
"""
    return f"""              csi:
                driver: gcsfuse.csi.storage.gke.io
                volumeAttributes:
                  bucketName: {store.removeprefix("gs://")}
                  mountOptions: implicit-dirs
"""


def _devices(slice: Slice | None, settings: Settings) -> int:
    return settings.gpus if slice is None else slice.chips_per_host


def _selector(slice: Slice | None) -> str:
    if slice is None:
        return ""
    return f"""            nodeSelector:
              cloud.google.com/gke-tpu-accelerator: {NODE_LABELS[slice.kind]}
              cloud.google.com/gke-tpu-topology: {slice.topology}
"""


def _environment(name: str, hosts: int) -> str:
    """How the processes find each other: by the name that a JobSet gives its first pod."""
    return f"""              - name: JAX_COORDINATOR_ADDRESS
                value: {name}-hosts-0-0.{name}:{PORT}
              - name: JAX_NUM_PROCESSES
                value: "{hosts}"
              - name: JAX_PROCESS_ID
                valueFrom:
                  fieldRef:
                    fieldPath: metadata.annotations['batch.kubernetes.io/job-completion-index']
"""
