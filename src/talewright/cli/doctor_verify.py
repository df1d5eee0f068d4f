"""The command `doctor verify`."""

from pathlib import Path

from talewright.cli.common import Json, RunArgument, to_json
from talewright.cli.words import show
from talewright.errors import UserError


def doctor_verify(run: RunArgument, json: Json = False) -> None:
    """Check that a run has not changed: the hashes of its files and, unless it was imported, the stories that it was
    trained on and its score.

    Exits with 2 if something has.
    """
    from talewright.evaluate.evaluator import validation_loss
    from talewright.run.verify import verify

    findings = []
    for finding in verify(Path(run), validation_loss):
        findings.append(finding)
        if not json:
            show(f"{finding.what}: {'WRONG, ' + finding.fault if finding.fault else finding.detail}", flush=True)
    if json:
        show(to_json([finding._asdict() for finding in findings]))
    if faults := [finding.what for finding in findings if finding.fault]:
        raise UserError(f"{run} has changed: " + ", ".join(faults))
