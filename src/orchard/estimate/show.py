"""An estimate for readers: a table in the terminal, and JSON."""

import json

from orchard.estimate.estimate import Estimate, FamilyCost


def table(found: Estimate) -> str:
    """An estimate as text."""
    unit = "GPU h" if found.machine.device == "cuda" else "CPU h"
    head = f"{'family':10}{'stages':>8}{unit:>10}{'min a stage':>13}{'peak, GB':>10}{'disk, GB':>10}  how"
    lines = [_line(each) for each in [*found.families(), found.total()]]
    is_cpu = found.machine.device == "cpu"
    hours = found.total().seconds / 3600
    wall = [f"On {found.machine.cores} cores at least {hours / found.machine.cores:.2f} h."] if is_cpu else []
    failed = [f"not measured: {each}" for each in found.failed]
    scaled = [f"Hours are divided by {found.speed:g}, as --speed says."] if found.speed != 1 else []
    return "\n".join(
        [f"{found.study} on {found.machine.name}", "", head, *lines, "", *wall, *scaled, *found.notes, *failed]
    )


def _line(each: FamilyCost) -> str:
    known = each.stages - each.unknown
    hours = f"{each.seconds / 3600:.3f}" if known else "unknown"
    minutes = f"{each.seconds / 60 / known:.2f}" if known else ""
    memory, disk = (f"{value / 1e9:.2f}" if value else "" for value in (each.peak, each.disk))
    how = each.how if each.family != "in all" else f"{each.unknown} stages not counted" if each.unknown else ""
    return f"{each.family:10}{each.stages:8}{hours:>10}{minutes:>13}{memory:>10}{disk:>10}  {how}".rstrip()


def as_json(found: Estimate) -> str:
    """An estimate as JSON: seconds, bytes."""
    content = {
        "study": found.study,
        "machine": found.machine._asdict(),
        "speed": found.speed,
        "families": [each._asdict() for each in found.families()],
        "total": found.total()._asdict(),
        "stages": [each._asdict() | {"kind": each.kind._asdict()} for each in found.stages],
        "notes": found.notes,
        "failed": found.failed,
    }
    return json.dumps(content, indent=2)
