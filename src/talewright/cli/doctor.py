"""The command `doctor`."""

from talewright.cli.common import Json, to_json
from talewright.cli.words import show


def doctor(json: Json = False) -> None:
    """Show what this machine has, and what a run will use of it."""
    from talewright.machine.facts import machine_facts

    facts = machine_facts()
    if json:
        show(to_json(facts))
        return
    peaks = ", ".join(f"{name} {rate / 1e9:,.0f} GFLOP/s" for name, rate in facts["peaks"].items())
    installed = [name for name, present in facts["extras"].items() if present]
    missing = [name for name, present in facts["extras"].items() if not present]
    memory, free = (_gibibytes(facts[name]) for name in ("memory_bytes", "available_memory_bytes"))
    lines = {
        "versions": f"talewright {facts['talewright']}, torch {facts['torch']}, Python {facts['python']}",
        "system": facts["system"],
        "trains on": f"{facts['device']}, in {facts['precision']}",
        "matrix products": peaks,
        "memory": f"{memory}, of which a run may use {free} now",
        "free disk here": f"{facts['free_disk_bytes'] / 2**30:.1f} GiB",
        "C++ compiler": facts["compiler"] or "none, so torch.compile is not used on the CPU",
        "extras": ", ".join(installed) + (f" (missing: {', '.join(missing)})" if missing else ""),
    }
    show("\n".join(f"{name:17}{text}" for name, text in lines.items()))


def _gibibytes(size: int | None) -> str:
    return "unknown" if size is None else f"{size / 2**30:.1f} GiB"
