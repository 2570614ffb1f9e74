"""Names everything that can go wrong with evidence.

EvidenceError
├── InvalidDigestError     not a SHA-256 in lower-case hexadecimal: it never becomes a path
├── EvidenceMissingError   nothing is stored under the digest
├── EvidenceCorruptError   what is stored is not what the digest names
└── EvidenceSourceError    a file that cannot be taken in: a symlink, a pipe, a folder
"""

from __future__ import annotations

from pathlib import Path


class EvidenceError(Exception):
    """Evidence could not be stored or read."""


class InvalidDigestError(EvidenceError, ValueError):
    """A digest is 64 lower-case hexadecimal digits."""

    def __init__(self, digest: str) -> None:
        super().__init__(f"{digest[:80]!r} is not a SHA-256 in lower-case hexadecimal")
        self.digest = digest


class EvidenceMissingError(EvidenceError):
    """Nothing is stored under this digest."""

    def __init__(self, digest: str) -> None:
        super().__init__(f"no evidence is stored under {digest}")
        self.digest = digest


class EvidenceCorruptError(EvidenceError):
    """The stored bytes are not those that the digest names."""

    def __init__(self, digest: str, reason: str) -> None:
        super().__init__(f"evidence {digest} is damaged: {reason}")
        self.digest, self.reason = digest, reason


class EvidenceSourceError(EvidenceError):
    """The file cannot be taken in as evidence."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path} cannot be stored as evidence: {reason}")
        self.path, self.reason = path, reason
