"""What can go wrong around a sandboxed command (never: what the command itself did).

SandboxError
└── SandboxUnavailableError
"""


class SandboxError(Exception):
    """The sandbox could not be set up or supervised, or had no room to work in."""

    def __init__(self, stage: str, cause: str) -> None:
        #: the step that failed, for example "user namespace" or "mount /work"
        self.stage = stage
        #: what the kernel or the program said
        self.cause = cause
        super().__init__(f"{self.__class__.__doc__} {stage}: {cause}")


class SandboxUnavailableError(SandboxError):
    """This machine offers no way to isolate a command, so none is run."""
