"""Experiment trackers beside `log.jsonl`: TensorBoard, Weights & Biases, Trackio and MLflow.

`train.loggers` names them, and only those are imported. Server, project and offline mode are set as each tool
documents it, by variables such as WANDB_MODE, WANDB_PROJECT, TRACKIO_SPACE_ID and MLFLOW_TRACKING_URI. They are called
directly: Lightning's loggers would bring all of Lightning, and it has none for Trackio.
"""

from __future__ import annotations

import html
import importlib
import logging
import os
import sys
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from talewright.config import flat
from talewright.errors import UserError
from talewright.files import read_json, write_json

logger = logging.getLogger(__name__)

IDS = "trackers.json"
"""In the run folder: by tracker, the id of the remote run, which a resumed run continues."""
PROJECT = "talewright"
"""Project (MLflow: experiment) of the runs where no variable names another."""
MLFLOW_SECONDS = 5.0
"""Metrics are sent to MLflow in batches, since each call waits for its server."""


class Tracker:
    """What every tracker does. Any method may raise any error."""

    def log_metrics(self, values: Mapping[str, float], step: int) -> None:
        raise NotImplementedError

    def log_text(self, text: str, step: int) -> None:
        raise NotImplementedError

    def flush(self) -> None:
        """Send what is kept back."""

    def close(self) -> None:
        raise NotImplementedError


class TensorBoard(Tracker):
    def __init__(self, run: Path, after: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.writer = SummaryWriter(str(run / "tensorboard"), purge_step=after + 1 if after else None)

    def log_metrics(self, values: Mapping[str, float], step: int) -> None:
        for name, value in values.items():
            self.writer.add_scalar(name, value, step)

    def log_text(self, text: str, step: int) -> None:
        self.writer.add_text("sample", text, step)

    def flush(self) -> None:
        self.writer.flush()

    def close(self) -> None:
        self.writer.close()


class WeightsAndBiases(Tracker):
    """The x axis of all charts is `training_step`: W&B's own step counts up, and a resumed run logs steps again."""

    def __init__(self, run: Path, config: dict[str, Any], run_id: str) -> None:
        wandb = self.module = importlib.import_module("wandb")
        self.run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            name=run.name,
            id=run_id,
            resume="allow",
            dir=str(run),
            config=config,
            settings=wandb.Settings(console="off", silent=True, init_timeout=30),
        )
        self.run.define_metric("*", step_metric="training_step")
        upload = f"not uploaded; `wandb sync {self.run.sync_dir}` does it"
        logger.info("Weights & Biases: %s", upload if self.run.offline else self.run.url)

    def log_metrics(self, values: Mapping[str, float], step: int) -> None:
        self.run.log({**values, "training_step": step})

    def log_text(self, text: str, step: int) -> None:
        self.run.log(
            {"sample": self.module.Html(f"<pre>{html.escape(text)}</pre>", inject=False), "training_step": step}
        )

    def close(self) -> None:
        self.run.finish()


class Trackio(Tracker):
    def __init__(self, run: Path, config: dict[str, Any], resumed: bool) -> None:
        self.module = importlib.import_module("trackio")
        project = os.environ.get("TRACKIO_PROJECT", PROJECT)
        resume = "allow" if resumed else "never"
        self.run = self.module.init(project, name=run.name, config=config, resume=resume, embed=False)

    def log_metrics(self, values: Mapping[str, float], step: int) -> None:
        self.run.log(dict(values), step=step)

    def log_text(self, text: str, step: int) -> None:
        self.run.log({"sample": self.module.Markdown(text)}, step=step)

    def close(self) -> None:
        self.run.finish()


class MLflow(Tracker):
    def __init__(self, run: Path, config: dict[str, Any], run_id: str | None) -> None:
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")  # else training waits minutes for a lost server
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
        mlflow = importlib.import_module("mlflow")
        self.entities, self.client = importlib.import_module("mlflow.entities"), mlflow.MlflowClient()
        self.waiting, self.sent = list[Any](), time.monotonic()
        if run_id is not None:
            self.run_id = run_id
            self.client.update_run(run_id, status="RUNNING")
            return
        experiment = mlflow.set_experiment(os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT))
        self.run_id = self.client.create_run(experiment.experiment_id, run_name=run.name).info.run_id
        params = [self.entities.Param(name, str(value)[:500]) for name, value in flat(config)]
        for first in range(0, len(params), 100):  # the most of one call
            self.client.log_batch(self.run_id, params=params[first : first + 100])

    def log_metrics(self, values: Mapping[str, float], step: int) -> None:
        now = int(time.time() * 1000)
        self.waiting += [self.entities.Metric(name, value, now, step) for name, value in values.items()]
        if time.monotonic() - self.sent > MLFLOW_SECONDS:
            self.flush()

    def log_text(self, text: str, step: int) -> None:
        self.client.log_text(self.run_id, text, f"samples/step-{step}.txt")

    def flush(self) -> None:
        waiting, self.waiting, self.sent = self.waiting, [], time.monotonic()
        for first in range(0, len(waiting), 1000):  # the most of one call
            self.client.log_batch(self.run_id, metrics=waiting[first : first + 1000])

    def close(self) -> None:
        self.flush()
        self.client.set_terminated(self.run_id)


class Trackers:
    """The trackers of a run. One that fails is left out from then on, with a warning: it never ends a training."""

    def __init__(self, names: Sequence[str] = (), run: Path = Path(), config: Any = None, after: int = 0) -> None:
        """Open them for the run in that folder. config: nested plain values, shown beside the metrics. after: the step
        that a resumed run continues from.
        """
        self.open: dict[str, Tracker] = {}
        ids = read_json(run / IDS) if names else {}
        ids = ids if isinstance(ids, dict) else {}
        for name in names:
            self._attempt(name, lambda name=name: self._open(name, run, config or {}, ids, after))
        if ids and self.open:
            self._attempt(next(iter(self.open)), lambda: write_json(run / IDS, ids))

    def _open(self, name: str, run: Path, config: dict[str, Any], ids: dict[str, Any], after: int) -> None:
        """Open a tracker, and note its id in `ids`."""
        if name == "tensorboard":
            self.open[name] = TensorBoard(run, after)
        elif name == "wandb":
            self.open[name] = WeightsAndBiases(run, config, ids.setdefault(name, uuid.uuid4().hex[:8]))
        elif name == "trackio":
            self.open[name] = Trackio(run, config, resumed=name in ids)
            ids[name] = run.name
        else:
            mlflow = self.open[name] = MLflow(run, config, ids.get(name))
            ids[name] = mlflow.run_id

    def log_metrics(self, values: Mapping[str, float], step: int) -> None:
        self._each(lambda tracker: tracker.log_metrics(values, step))

    def log_text(self, text: str, step: int) -> None:
        self._each(lambda tracker: tracker.log_text(text, step))

    def flush(self) -> None:
        self._each(lambda tracker: tracker.flush())

    def close(self) -> None:
        self._each(lambda tracker: tracker.close())

    def _each(self, action: Callable[[Tracker], None]) -> None:
        for name, tracker in list(self.open.items()):
            self._attempt(name, lambda tracker=tracker: action(tracker))

    def _attempt(self, name: str, action: Callable[[], object]) -> None:
        try:
            with redirect_stdout(sys.stderr):  # what a command prints there is read by other programs
                action()
        except Exception as error:  # whatever a tracker raises
            self.open.pop(name, None)
            reason = " ".join(str(error).split())[:300] or type(error).__name__
            logger.warning(f"{name} gets no more metrics: {reason}. Training continues")


def check_trackers(names: Sequence[str]) -> None:
    """Raise UserError, naming the extra, if one is not installed."""
    if missing := [name for name in names if find_spec(name) is None]:
        extras = ",".join(missing)
        raise UserError(f'train.loggers needs {", ".join(missing)}: pip install "talewright[{extras}]"')
