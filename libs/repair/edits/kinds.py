"""The closed vocabulary of edits, each with how often a small fix is of its kind.

The weights are reasoned, not measured: their order follows what studies of one-statement fixes in Python report (wrong
name or attribute, call wrapped around an expression, condition made wider or narrower, changed literal, changed
operator), corrected by how many places of a line an edit of the kind could touch: an operator has one or two
neighbours, a name has dozens, so one comparison operator is a far better bet than one name.
A weight is compared with the others only; they need not add up to one.
"""

from __future__ import annotations

import math
from enum import StrEnum


class Kind(StrEnum):
    """What an edit does; the value is the public name."""

    COMPARISON = "comparison operator"
    NOTHING = "true or not None"
    BOOLEAN = "boolean operator"
    NEGATION = "negation"
    ARITHMETIC = "arithmetic operator"
    SIGN = "sign"
    CONSTANT = "constant"
    STRING = "string constant"
    BOUND = "off by one"
    SLICE = "slice bound"
    NAME = "name"
    ATTRIBUTE = "attribute"
    CALLEE = "function or method"
    SWAP_ARGUMENTS = "swapped arguments"
    SWAP_OPERANDS = "swapped operands"
    ARGUMENT = "argument"
    ARGUMENT_ADDED = "added argument"
    ARGUMENT_DROPPED = "dropped argument"
    WRAP = "wrapped in a call"
    UNWRAP = "call taken off"
    CALL_STATEMENT = "added call"
    WIDEN = "condition widened"
    NARROW = "condition narrowed"
    CONDITION = "condition replaced"
    GUARD = "added guard"
    WRAP_IF = "statement made conditional"
    UNWRAP_IF = "condition removed"
    LOOP = "loop or branch"
    LOOP_CONDITION = "loop condition"
    ELSE = "added else branch"
    DELETE = "deleted statement"
    MOVE = "moved statement"
    NEST = "statement moved into or out of a block"
    COPY = "copied statement"
    RETURN = "returned value"
    RETURN_ADDED = "added return"
    RETURN_EXTENDED = "returned value extended"
    YIELD = "return or yield"
    JUMP = "break or continue"
    INITIAL = "initial value"
    OPERAND_DROPPED = "dropped operand"
    OPERAND_ADDED = "added operand"
    FILTER = "filter of a comprehension"
    EXPRESSION = "expression from elsewhere in the function"
    GROUPING = "grouping of operators"
    ACCUMULATE = "accumulated instead of assigned"
    DEFAULT = "default argument"
    EXCEPTION = "exception type"
    PATTERN = "regular expression"
    FORMAT = "format of a string"


WEIGHT: dict[Kind, float] = {
    Kind.COMPARISON: 0.10,
    Kind.NOTHING: 0.04,
    Kind.BOOLEAN: 0.05,
    Kind.NEGATION: 0.05,
    Kind.ARITHMETIC: 0.07,
    Kind.SIGN: 0.01,
    Kind.CONSTANT: 0.06,
    Kind.STRING: 0.015,
    Kind.BOUND: 0.06,
    Kind.SLICE: 0.03,
    Kind.NAME: 0.07,
    Kind.ATTRIBUTE: 0.03,
    Kind.CALLEE: 0.05,
    Kind.SWAP_ARGUMENTS: 0.03,
    Kind.SWAP_OPERANDS: 0.02,
    Kind.ARGUMENT: 0.025,
    Kind.ARGUMENT_ADDED: 0.03,
    Kind.ARGUMENT_DROPPED: 0.015,
    Kind.WRAP: 0.03,
    Kind.UNWRAP: 0.02,
    Kind.CALL_STATEMENT: 0.012,
    Kind.WIDEN: 0.02,
    Kind.NARROW: 0.025,
    Kind.CONDITION: 0.008,
    Kind.GUARD: 0.012,
    Kind.WRAP_IF: 0.008,
    Kind.UNWRAP_IF: 0.012,
    Kind.LOOP: 0.01,
    Kind.LOOP_CONDITION: 0.02,
    Kind.ELSE: 0.004,
    Kind.DELETE: 0.015,
    Kind.MOVE: 0.015,
    Kind.NEST: 0.015,
    Kind.COPY: 0.008,
    Kind.RETURN: 0.025,
    Kind.RETURN_ADDED: 0.01,
    Kind.RETURN_EXTENDED: 0.012,
    Kind.YIELD: 0.02,
    Kind.JUMP: 0.02,
    Kind.INITIAL: 0.025,
    Kind.OPERAND_DROPPED: 0.02,
    Kind.OPERAND_ADDED: 0.02,
    Kind.FILTER: 0.008,
    Kind.EXPRESSION: 0.015,
    Kind.GROUPING: 0.02,
    Kind.ACCUMULATE: 0.02,
    Kind.DEFAULT: 0.03,
    Kind.EXCEPTION: 0.02,
    Kind.PATTERN: 0.06,
    Kind.FORMAT: 0.02,
}

#: What a kind costs before anything is known of the edit.
COST: dict[Kind, float] = {kind: -math.log(weight) for kind, weight in WEIGHT.items()}
