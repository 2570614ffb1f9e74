"""Users as nats-server's configuration wants them: all of one account, but those who must reach nothing.

Within an account the server sends the answer to a request wherever the request says, without asking who may publish there.
An answer to a user *apart* stays in an account of its own, whatever it says: what is asked there is carried over, what is
told here is, and nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

#: The account that holds the streams, and that of users apart.
ACCOUNT, APART = "AUTOPILOT", "OBSERVERS"
#: What users apart take JetStream for: a domain, `nats --js-domain autopilot`.
DOMAIN = "autopilot"
ASKED_APART, ASKED = f"$JS.{DOMAIN}.API.", "$JS.API."
#: Where users apart get their answers: the default of every client.
INBOX = "_INBOX.>"


class Login(Protocol):
    """A user with its password."""

    @property
    def name(self) -> str:
        """Its name."""
        ...

    @property
    def password(self) -> str:
        """Its password."""
        ...

    @property
    def publish(self) -> tuple[str, ...]:
        """What it may publish; nothing else."""
        ...

    @property
    def subscribe(self) -> tuple[str, ...]:
        """What it may subscribe; nothing else."""
        ...

    @property
    def apart(self) -> bool:
        """Whether it is apart."""
        ...


def accounts(logins: Sequence[Login]) -> dict[str, Any]:
    """Write the section `accounts`."""
    apart = [login for login in logins if login.apart]
    asked = sorted({subject for login in apart for subject in login.publish})
    told = sorted({subject for login in apart for subject in login.subscribe} - {INBOX})
    services = {subject: ASKED + subject.removeprefix(ASKED_APART) for subject in asked}
    return {
        ACCOUNT: {
            "jetstream": "enabled",
            "users": [_user(login) for login in logins if not login.apart],
            "exports": [
                *({"stream": subject, "accounts": [APART]} for subject in told),
                *({"service": subject, "accounts": [APART]} for subject in services.values()),
            ],
        },
        APART: {
            "users": [_user(login) for login in apart],
            "imports": [
                *({"stream": {"account": ACCOUNT, "subject": subject}} for subject in told),
                *(
                    {"service": {"account": ACCOUNT, "subject": theirs}, "to": ours}
                    for ours, theirs in services.items()
                ),
            ],
        },
    }


def _user(login: Login) -> dict[str, Any]:
    return {
        "user": login.name,
        "password": login.password,
        "permissions": {
            "publish": _permission(login.publish),
            "subscribe": _permission(login.subscribe),
        },
    }


def _permission(subjects: Sequence[str]) -> dict[str, list[str]]:
    # An empty allow list would mean no restriction at all.
    return {"allow": list(subjects)} if subjects else {"deny": [">"]}
