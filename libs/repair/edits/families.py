"""Which function makes the edits of a kind. A new kind: its name and weight in `kinds`, a function, and a line here."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from libs.repair.edits import constants, operators
from libs.repair.edits.kinds import Kind
from libs.repair.edits.site import Edit, Site

#: Makes the edits of one kind at one statement.
Operator = Callable[[Site], Iterator[Edit]]

OPERATORS: dict[Kind, Operator] = {
    Kind.COMPARISON: operators.comparison,
    Kind.BOOLEAN: operators.boolean,
    Kind.NEGATION: operators.negation,
    Kind.ARITHMETIC: operators.arithmetic,
    Kind.SIGN: operators.signs,
    Kind.SWAP_OPERANDS: operators.swapped_operands,
    Kind.GROUPING: operators.grouping,
    Kind.CONSTANT: constants.constant,
    Kind.STRING: constants.string,
    Kind.BOUND: constants.bound,
    Kind.SLICE: constants.slice_bound,
}
