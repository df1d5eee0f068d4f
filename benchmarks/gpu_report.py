"""What was measured on a GPU, as JSON and as a Markdown table, with the machine that it was measured on."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from talewright.machine import device_name, versions


def machine(device: torch.device) -> dict[str, Any]:
    """The device's name and memory, its driver, and the versions of the software."""
    facts: dict[str, Any] = {"device": device_name(device), **versions(), "cuda": torch.version.cuda}
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        capability = f"{properties.major}.{properties.minor}"
        facts |= {"memory_gib": round(properties.total_memory / 2**30, 1), "capability": capability}
        facts["driver"] = _driver()
    return facts | {"date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())}


def write_report(path: Path, title: str, facts: dict[str, Any], rows: Sequence[dict[str, Any]]) -> None:
    """Write `path`.json, and `path`.md with a column for each key that any row has."""
    path.parent.mkdir(parents=True, exist_ok=True)
    report = {"machine": facts, "rows": list(rows)}
    path.with_suffix(".json").write_text(json.dumps(report, indent=1, default=str) + "\n", encoding="utf-8")
    lines = [f"# {title}", "", " · ".join(f"{name} {value}" for name, value in facts.items()), "", *table(rows)]
    path.with_suffix(".md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def table(rows: Sequence[dict[str, Any]]) -> list[str]:
    """The lines of a Markdown table."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    cells = [[cell(row.get(column)) for column in columns] for row in rows]
    return ["| " + " | ".join(line) + " |" for line in (columns, ["---"] * len(columns), *cells)]


def cell(value: Any) -> str:
    """A value as a table shows it."""
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    if isinstance(value, dict):
        return ", ".join(f"{key} {cell(each)}" for key, each in value.items())
    return "" if value is None else " ".join(str(value).replace("|", "\\|").split())


def _driver() -> str | None:
    """The version of NVIDIA's driver, or None where nvidia-smi does not say."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    command = [program, "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.split("\n")[0].strip() or None
