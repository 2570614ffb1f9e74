"""Writes the README of an incident: what a person needs to see the failure and to go on."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from contracts.resolution import IncidentOpened
from contracts.task import Reproduction
from services.resolution.adapters.expectation import Check, Expectation
from services.resolution.adapters.script import one_line
from services.resolution.adapters.surroundings import Lock
from services.resolution.projections import Attempt, Events

#: What the script gave, in words.
GAVE = {
    "as_recorded": "it showed the failure as recorded",
    "does_not_show": "it did **not** show the failure: it may come and go (flaky tests, load, time of day)",
    "otherwise": "something failed, but **not** as recorded: it may be non-deterministic",
    "not_tried": "it could **not** be tried to its end, so nobody has seen yet that it reproduces",
}


class Story(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is known of an incident; the content of `incident.json`."""

    incident: IncidentOpened
    expected: Expectation
    attempts: tuple[Attempt, ...]
    events: Events
    environment: Lock
    #: Repositories from whose change something secret was taken out.
    redacted: tuple[str, ...] = ()
    reproduction: Reproduction


def readme(story: Story) -> str:
    """Write the text."""
    incident = story.incident
    return "\n".join(
        [
            f"# {one_line(incident.title)}",
            "",
            f"Task `{incident.task_id}` was given up at stage `{incident.stage}` (`{incident.label}`): "
            f"{one_line(incident.reason)}",
            "",
            "## Reproduce",
            "",
            *_reproduce(story),
            "",
            "## Findings",
            "",
            *(_items(f"`{found.code}`: {one_line(found.detail)}" for found in incident.findings)),
            "",
            "## Attempts that failed",
            "",
            *_items(_attempt(one) for one in story.attempts),
            "",
            "## Where it comes from",
            "",
            *_items(_origins(story)),
            "",
            "## Go on",
            "",
            f"`autopilot retry {incident.task_id}` goes on once the cause is gone; the next plan is thought over with "
            "what is told here.",
            "",
        ]
    )


def _reproduce(story: Story) -> Iterator[str]:
    incident, gave = story.incident, story.reproduction
    if story.expected.nothing:
        yield f"There is nothing to run: {story.expected.nothing}. `./reproduce` says so and exits 2."
    else:
        yield "```sh"
        yield f"git clone -b incident/{incident.task_id} FORGE incident && incident/reproduce"
        yield "```"
        yield ""
        yield f"where FORGE is the address that `autopilot task {incident.task_id}` names, or `./reproduce` in this"
        yield "directory. It needs git and the task's test tools, and compares:"
        yield ""
        yield from _items(sentence(check) for check in story.expected.checks)
        yield ""
        yield "Exit status: 1 the failure shows as recorded, 0 it does not show, 2 it could not be tried to its end,"
        yield "3 something fails, but not as recorded. It runs the repository's commands on the refused change: run it"
        yield "where you would run those."
    if story.expected.unseen:
        yield ""
        yield "What no script sees, only the verifier or a gate, and is therefore not checked by it:"
        yield ""
        yield from _items(
            f"`{code}`" for code in dict.fromkeys(found.code for found in story.expected.unseen)
        )
    yield ""
    yield f"When it was run in the sandbox, before this was filed, {GAVE[gave.gave]}."
    if gave.exit_code is not None:
        yield f"(Exit status {gave.exit_code} after {gave.duration_s:.1f} s; its output is in `reproduction.log`.)"
    elif gave.detail:
        yield f"({one_line(gave.detail)})"
    if story.redacted:
        yield ""
        yield f"Something that looks like a secret was taken out of the change of {', '.join(story.redacted)}."


def sentence(check: Check) -> str:
    """Say what is compared."""
    side = "the base" if check.side == "base" else "the change"
    command = f"{check.repo}: `{one_line(check.about)}` on {side}"
    match check.kind:
        case "exits":
            tests = (
                ", and the tests fail that `failing-*.txt` lists, if it does"
                if check.side == "change"
                else ""
            )
            return f"{command} ends with exit code {check.exit_code}{tests}"
        case "set_up_exits":
            return f"{command}, the set-up, ends with exit code {check.exit_code}"
        case "fails":
            return f"{command} does not pass"
        case "hangs":
            return f"{command} does not end within its limit"
        case "swells":
            return f"{command} takes more memory than its limit"
        case "touches":
            return f"{check.repo}: the change touches `{check.about}`"
        case "judged":
            return f"{check.repo}: the change gives the tree that was judged, `{check.about}`"
        case "does_not_apply":
            return f"{check.repo}: the patch does not apply"
        case "unreadable":
            return f"{check.repo}: git cannot read the patch"
        case "adds_submodule":
            return f"{check.repo}: the patch adds a submodule"
        case "changes_nothing":
            return f"{check.repo}: the change is empty"
        case "source_unreadable":
            return f"{check.repo}: git finds neither repository nor base (`{check.about}`)"


def _attempt(one: Attempt) -> str:
    gates = f", gates {', '.join(map(str, one.gates))}" if one.gates else ""
    made = "".join(
        f"; {made.repo}: patch `{made.patch[:12] or 'none'}`, tree `{made.tree[:12] or 'none'}`"
        for made in one.made
    )
    plan = f"; plan `{one.plan[:12]}`" if one.plan else ""
    return f"{one.stage} {one.attempt}{gates}: `{one.code}`: {one_line(one.detail)}{plan}{made}"


def _origins(story: Story) -> Iterator[str]:
    incident, events = story.incident, story.events
    for repo in incident.repos:
        base = incident.bases.get(repo.name)
        yield f"{repo.name}: `{repo.url}`, base `{repo.base}`" + (f" = `{base}`" if base else ", not found")
    if events.last_version:
        yield (
            f"events of `{events.stream}`, versions {events.first_version} to {events.last_version} "
            f"(positions {events.first_position} to {events.last_position}): `autopilot events --task "
            f"{incident.task_id}`"
        )
    for name, seen in story.environment.repositories.items():
        tools = ", ".join(filter(None, (seen.python, f"{len(seen.packages)} packages", seen.git)))
        yield f"environment of {name}: {tools}; all of it in `environment.json`"


def _items(texts: Iterator[str]) -> Iterator[str]:
    found = False
    for text in texts:
        found = True
        yield f"- {text}"
    if not found:
        yield "- none"
