"""Weights & Biases: one of its runs for each of ours, with the curves of every seed in it.

It is written offline, into the run's folder, unless somebody is logged in and the server answers; `wandb sync` uploads
it later. A run that is continued keeps its id, and every row is logged under its number, so that none is there twice.
"""

from typing import Any

import wandb
from wandb.errors import AuthenticationError

from fastrl.errors import told
from fastrl.loggers import curves
from fastrl.loggers.continued import Continued
from fastrl.loggers.logger import About, Place

CONNECTING, FINISHING = 30.0, 15.0  # seconds


class WeightsAndBiases(Continued):
    """The run there: a step of their history for a row, whose steps are a metric of its own."""

    FILE = "wandb.json"

    def _begun(self, about: About, place: Place) -> Any:
        run = _begun(about, place.id)
        if run.resumed:  # the server may know more, where our folder was restored from a copy
            place.rows = max(place.rows, run.starting_step)
        return run

    def _send(self, number: int, step: int, found: dict[str, Any]) -> None:
        self._run.log(found, step=number, commit=True)

    def finish(self, summary: dict[str, float], complete: bool) -> None:
        """Adds the last and the best evaluation, as columns; a run that was interrupted counts as failed."""
        if self._run is not None:
            self._run.summary.update(summary)
            self._run.finish(exit_code=0 if complete else 1)


def _begun(about: About, identifier: str) -> Any:
    """Their run with our id, new or continued. WANDB_PROJECT and the other variables of theirs come first."""
    theirs = wandb.setup().settings
    settings = wandb.Settings(
        mode=_mode(theirs.mode, about),
        silent=True,
        console="off",  # our progress bar is not theirs to rewrite
        init_timeout=CONNECTING,
        finish_timeout=FINISHING,
        finish_timeout_raises=True,
        x_transaction_log_flush_interval=0.2,
    )
    run = wandb.init(
        project=theirs.project or "fastrl",
        id=identifier,
        resume="allow",
        name=theirs.run_name or about.name,
        group=theirs.run_group or about.group,
        tags=[*(theirs.run_tags or ()), *about.tags],
        config=about.config,
        dir=wandb.env.get_dir(str(about.folder)),
        settings=settings,
    )
    for axis in (curves.ENVIRONMENT, curves.GRADIENT):
        run.define_metric(axis, hidden=True)
    for names, axis in curves.globs(about).items():
        run.define_metric(names, step_metric=axis)
    if run.settings.mode == "online":
        about.tell(f"wandb: {run.url}")
    return run


def _mode(asked: str, about: About) -> Any:
    """WANDB_MODE, but offline where nobody is logged in or the server does not answer; nobody is asked."""
    if asked != "online":
        return asked
    offline = f"this run is written offline; wandb sync {about.folder}/wandb/offline-run-* uploads it"
    try:
        if wandb.login(prompt=False, verify=True):
            return asked
        about.tell(f"wandb: nobody is logged in (wandb login, or WANDB_API_KEY), so {offline}")
    except AuthenticationError as error:
        about.tell(f"wandb: {told(error).rstrip('.')}; {offline}")
    return "offline"
