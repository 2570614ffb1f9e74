"""The policy file of a repository: what its maintainers let the machine do there.

It is read from the base commit, never from the change it judges; a key that is not known is refused.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta as Constraint

from contracts.task import ShellCommand

#: Where it lies in a repository.
POLICY_FILE = "autopilot-policy.toml"


class _Value(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class Agent(_Value, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The program of engine `command`."""

    #: Run with `sh -c` in a checkout, in the sandbox, with the task on its standard input. None: the installation's.
    command: ShellCommand | None = None
    #: Seconds after which it is stopped; the task's own limit holds as well.
    wall_s: Annotated[int, Constraint(ge=1, le=86_400)] = 900


class Change(_Value, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a change may be."""

    #: Paths, folders or glob patterns that a change stays within; `*` is everything. Tests, configuration and CI are
    #: protected beside this.
    within: Annotated[tuple[str, ...], Constraint(min_length=1)] = ("*",)


class Policy(_Value, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file."""

    #: The program of engine `command`.
    agent: Agent = msgspec.field(default_factory=Agent)
    #: What a change may be.
    change: Change = msgspec.field(default_factory=Change)
