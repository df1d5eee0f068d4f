"""The command `studio`."""

from talewright.cli.common import Device, RunsArgument


def studio(runs: RunsArgument = (), host: str = "127.0.0.1", port: int | None = None, device: Device = None) -> None:
    """Open the story studio: a page in the browser that generates stories with your runs, compares them, looks inside
    them, and watches one train.

    Args:
        runs: Run folders. Default: the newest under runs/, and the included model.
        host: Address to listen at. Default: only this machine can connect (0.0.0.0: every machine that reaches it).
        port: Port to listen at. Default: the first free one from 7860 on.
    """
    from talewright.studio import find_runs, serve

    serve(find_runs(runs), host, port, device)
