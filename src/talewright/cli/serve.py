"""The command `serve`."""

import os

from talewright.cli.common import Device, RunsArgument


def serve(
    runs: RunsArgument = (),
    host: str = "127.0.0.1",
    port: int = 8000,
    api_key: str | None = None,
    max_tokens: int = 2048,
    max_running: int = 64,
    max_waiting: int = 100,
    device: Device = None,
) -> None:
    """Serve runs to OpenAI's clients: /v1/completions and /v1/models, /health, and /metrics for Prometheus.

    Args:
        runs: Run folders. Default: the newest under runs/, and the included model.
        host: Address to listen at. Default: only this machine can connect (0.0.0.0: every machine that reaches it).
        port: Port to listen at.
        api_key: Key that clients must send. Default: the environment variable TALEWRIGHT_API_KEY; none if it is unset.
        max_tokens: Tokens that a text may have.
        max_running: Texts that are generated at once.
        max_waiting: Texts that may wait; more are refused with status 429.
    """
    from talewright.server.run import serve as run_server
    from talewright.studio import find_runs

    key = os.environ.get("TALEWRIGHT_API_KEY") if api_key is None else api_key
    run_server(
        find_runs(runs),
        host=host,
        port=port,
        api_key=key,
        max_tokens=max_tokens,
        max_running=max_running,
        max_waiting=max_waiting,
        device=device,
    )
