"""A batch job of Slurm: one task a node, each with all of its GPUs."""

from fastrl.jobs.job import Job, Rendered, Settings


def sbatch(job: Job, settings: Settings) -> Rendered:
    """`sbatch`; Slurm warns two minutes before it takes the nodes, and the job puts itself back into the queue."""
    file = f"{job.name}.sbatch"
    text = f"""#!/bin/bash
#SBATCH --job-name={job.name}
#SBATCH --nodes={settings.nodes}
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node={settings.gpus}
#SBATCH --exclusive
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=TERM@120
#SBATCH --output={settings.store}/{job.name}.log
srun --kill-on-bad-exit=1 {job.command(f"{settings.store}/{job.name}")}
code=$?
if [ $code -ne 0 ] && [ $code -ne 2 ] && [ "${{SLURM_RESTART_COUNT:-0}}" -lt {settings.retries} ]; then
  scontrol requeue "$SLURM_JOB_ID"  # it goes on from the last checkpoint
fi
exit $code
"""
    log = ["tail", "-F", f"{settings.store}/{job.name}.log"]
    return Rendered({file: text}, [["sbatch", file]], [log, ["scancel", f"--name={job.name}"]])
