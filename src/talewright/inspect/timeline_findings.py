"""What the series of a timeline show, in sentences: each says only what was measured at the points."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import groupby

from talewright.inspect.heads import ROLES
from talewright.inspect.timeline import TimelinePoint


def timeline_findings(points: Sequence[TimelinePoint], baselines: Mapping[str, float]) -> list[str]:
    """The sentences about the loss, the n-gram models, the heads and the questions, in this order."""
    return [
        *loss_findings(points),
        *baseline_findings(points, baselines),
        *role_findings(points),
        *question_findings(points),
    ]


def loss_findings(points: Sequence[TimelinePoint]) -> list[str]:
    """When half of the loss's fall was over."""
    first, lowest, last = points[0], min(points, key=lambda point: point.loss), points[-1]
    if lowest.loss >= first.loss:
        return [f"The loss never fell below its first value, {first.loss:.2f}."]
    half = next(point for point in points if point.loss <= (first.loss + lowest.loss) / 2)
    return [
        f"The loss fell from {first.loss:.2f} to {lowest.loss:.2f}, half of that by {moment(half)}; "
        f"the last point is {moment(last)}."
    ]


def baseline_findings(points: Sequence[TimelinePoint], baselines: Mapping[str, float]) -> list[str]:
    """When the model's loss passed each n-gram model's; those that it passed between the same points together."""

    def passed(name: str) -> int | None:
        return next((i for i, point in enumerate(points) if point.loss < baselines[name]), None)

    findings = []
    for index, some in groupby(sorted(baselines, key=baselines.__getitem__, reverse=True), key=passed):
        names = list(some)
        models = f"the {_listed(names)} model{'s' if len(names) > 1 else ''}"
        losses = f"loss {_listed([f'{baselines[name]:.2f}' for name in names])}"
        if index is None:
            lowest = min(points, key=lambda point: point.loss)
            findings.append(f"Never passed {models} ({losses}): its lowest loss is {lowest.loss:.2f}.")
        elif index == 0:
            findings.append(f"Was better than {models} ({losses}) from the first point, {moment(points[0])}, on.")
        else:
            findings.append(
                f"Passed {models} ({losses}) by {moment(points[index])}; not yet at step {points[index - 1].step:,}."
            )
        lost = [name for name in names if index is not None and points[-1].loss >= baselines[name]]
        if lost:
            findings.append(f"At the end it is no better than the {_listed(lost)} model{'s' if len(lost) > 1 else ''}.")
    return findings


def role_findings(points: Sequence[TimelinePoint]) -> list[str]:
    """For each role, the head that has had it for longest at the end, and how many have it."""
    measured = [role for role in ROLES if any(role in head.roles for head in points[-1].heads)]
    findings, missing = [], []
    for role in measured:
        since = {
            number: _since(points, lambda point, n=number, r=role: point.heads[n].role == r)
            for number, head in enumerate(points[-1].heads)
            if head.role == role
        }
        if not since:
            missing.append(role)
            continue
        number, index = min(since.items(), key=lambda item: item[1] or 0)
        name = points[-1].heads[number].name
        others = len(since) - 1
        more = f"; at the end, {others} more {'is one' if others == 1 else 'are'}" if others else ""
        if not index:
            findings.append(f"Head {name} was {_article(role)} from the first point on{more}.")
        else:
            findings.append(f"Head {name} became {_article(role)} {between(points, index)}{more}.")
    if missing:
        findings.append(f"At the end, no head has the role {_listed(missing, 'or')}.")
    return findings


def question_findings(points: Sequence[TimelinePoint]) -> list[str]:
    """From which point on the model was better than chance at each kind of question, by the 95% intervals, and what it
    has right at the end. The last point alone is not enough: of several kinds, one may be lucky there.
    """
    better, guessing = [], []
    for kind, figures in points[-1].kinds.items():
        right = f"{100 * figures['accuracy']:.0f} % of {figures['questions']} right"
        index = _since(points, lambda point, k=kind: point.kinds[k]["low"] > point.kinds[k]["chance"])
        if index is None or index == len(points) - 1:
            guessing.append(f"{kind} ({right})")
        else:
            since = f"{moment(points[index])}" if index else "the first point"
            better.append(f"Better than chance at questions on {kind} from {since} on ({right} at the end).")
    if guessing:
        better.append(f"Not clearly better than chance at questions on {_listed(guessing)}, at the end.")
    return better


def moment(point: TimelinePoint) -> str:
    """A step and its time: "step 210 (40 s)"."""
    return f"step {point.step:,}" + (f" ({duration(point.seconds)})" if point.seconds is not None else "")


def between(points: Sequence[TimelinePoint], index: int) -> str:
    """The steps before and at that point: "between steps 100 and 200 (19 to 40 s)"."""
    before, after = points[index - 1], points[index]
    text = f"between steps {before.step:,} and {after.step:,}"
    if before.seconds is None or after.seconds is None:
        return text
    first, second = duration(before.seconds), duration(after.seconds)
    unit = second.split()[1]
    first = first.removesuffix(f" {unit}")
    return f"{text} ({first} to {second})"


def duration(seconds: float) -> str:
    """A training time for a reader: "0.4 s", "40 s", "3.2 min", "5.1 h"."""
    if seconds < 120:
        return f"{seconds:.1f} s" if 0 < seconds < 9.95 else f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _since(points: Sequence[TimelinePoint], holds: Callable[[TimelinePoint], bool]) -> int | None:
    """The first point from which on something holds at every point; None if it does not at the last."""
    index = None
    for number in reversed(range(len(points))):
        if not holds(points[number]):
            break
        index = number
    return index


def _article(role: str) -> str:
    """The role as one speaks of a head: "an induction head"."""
    return f"{'an' if role[0] in 'aeiou' else 'a'} {role.replace(' ', '-')} head"


def _listed(names: Sequence[str], word: str = "and") -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} {word} {names[-1]}"
