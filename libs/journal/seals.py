"""Reads checkpoints in their order, from their two places at once, and judges each before it is believed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

from libs.journal.checkpoint import Checkpoint, CheckpointError, Signed, fault_between, number_of, read
from libs.journal.source import Entry

_TABLE, _FILE = "the table", "the file"


class Seals:
    """The chain of checkpoints. `tell` hears what is wrong, with the first position that it concerns."""

    def __init__(
        self,
        table: AsyncIterator[Entry],
        file: AsyncIterator[str] | None,
        trusted: str | None,
        tell: Callable[[int, str], None],
    ) -> None:
        self._table, self._file, self._trusted, self._tell = table, file, trusted, tell
        self._of_table: Entry | None = None
        self._of_file: Entry | None = None
        self._begun = False
        #: The last one that was believed; what follows a hole has nothing to be compared with.
        self._before: Signed | None = None
        self._number = 0
        #: The first position whose checkpoint is not under the trusted key, nor before one that is.
        self._untrusted: int | None = None
        self.count = self.upto = 0
        self.last_hash = self.key = ""

    async def next(self) -> Checkpoint | None:
        """Return the next checkpoint that can be believed; None after the last one."""
        if not self._begun:
            self._begun = True
            self._of_table, self._of_file = await anext(self._table, None), await self._next_line()
        while (number := self._lowest()) is not None:
            if number != self._number + 1:
                missing = f"checkpoint {self._number + 1}"
                if number > self._number + 2:
                    missing = f"checkpoints {self._number + 1} to {number - 1}"
                self._tell(self.upto + 1, f"{missing} removed")
                self._break()
            of_table, of_file = await self._take(number)
            chosen = self._judge(number, of_table, of_file, whole=number == self._number + 1)
            self._number = number
            if chosen is None:
                self._break()
                continue
            self.count += 1
            return self._believe(chosen)
        self._judge_key()
        return None

    def _believe(self, chosen: Signed) -> Checkpoint:
        checkpoint = chosen.checkpoint
        if self._trusted is None or checkpoint.key == self._trusted:
            self._untrusted = None
        elif self._untrusted is None:
            self._untrusted = checkpoint.after + 1
        self._before, self.upto = chosen, checkpoint.upto
        self.last_hash, self.key = chosen.hash, checkpoint.key
        return checkpoint

    def _break(self) -> None:
        """Begin a new chain: nothing that comes vouches for what was before."""
        self._judge_key()
        self._before = None

    def _judge_key(self) -> None:
        if self._untrusted is not None:
            self._tell(self._untrusted, f"signed with key {self.key}, not with {self._trusted}")
            self._untrusted = None

    def _judge(self, number: int, of_table: list[str], of_file: list[str], *, whole: bool) -> Signed | None:
        """Choose among the lines of one number and tell what is wrong with the others."""
        sides = [(_TABLE, of_table)]
        if self._file is not None:
            sides.append((_FILE, of_file))
        chosen: Signed | None = None
        for where, lines in sides:
            if not lines:
                self._tell(self.upto + 1, f"checkpoint {number} removed from {where}")
            for line in lines:
                found = self._read(number, line, whole=whole)
                if isinstance(found, str):
                    self._tell(self.upto + 1, f"checkpoint {number} in {where}: {found}")
                elif chosen is None:
                    chosen = found
                elif chosen.line != found.line:
                    # Both rightly signed, by whatever key: the trusted one counts.
                    self._tell(self.upto + 1, f"checkpoint {number} differs between its places")
                    chosen = found if found.checkpoint.key == self._trusted else chosen
                elif where == _TABLE or len(lines) > 1:
                    self._tell(self.upto + 1, f"checkpoint {number} is there twice")
        return chosen

    def _read(self, number: int, line: str, *, whole: bool) -> Signed | str:
        try:
            found = read(line)
        except CheckpointError as error:
            return str(error)
        if found.checkpoint.number != number:
            return f"it says that it is number {found.checkpoint.number}"
        if whole and (number == 1 or self._before is not None):
            if fault := fault_between(self._before, found):
                return fault
        elif found.checkpoint.after < self.upto:
            return (
                f"it begins behind position {found.checkpoint.after}, the one before it ends at {self.upto}"
            )
        return found

    def _lowest(self) -> int | None:
        return min((entry[0] for entry in (self._of_table, self._of_file) if entry), default=None)

    async def _take(self, number: int) -> tuple[list[str], list[str]]:
        """Take the lines of a number, of each place usually one; what comes out of order goes with it."""
        of_table: list[str] = []
        while self._of_table is not None and self._of_table[0] <= number:
            of_table.append(self._of_table[1])
            self._of_table = await anext(self._table, None)
        of_file: list[str] = []
        while self._of_file is not None and self._of_file[0] <= number:
            of_file.append(self._of_file[1])
            self._of_file = await self._next_line()
        return of_table, of_file

    async def _next_line(self) -> Entry | None:
        if self._file is None or (line := await anext(self._file, None)) is None:
            return None
        # One that cannot be read counts where it stands: in the place of the one after the last.
        number = number_of(line)
        return (number if number is not None else (self._of_file[0] if self._of_file else 0) + 1), line
