"""Which function makes the edits of a kind. A new kind: its name and weight in `kinds`, a function, and a line here."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from libs.repair.edits import (
    arguments,
    bounds,
    branches,
    calls,
    conditions,
    constants,
    expressions,
    names,
    operators,
    patterns,
    results,
    statements,
)
from libs.repair.edits.kinds import Kind
from libs.repair.edits.site import Edit, Site

#: Makes the edits of one kind at one statement.
Operator = Callable[[Site], Iterator[Edit]]

OPERATORS: dict[Kind, Operator] = {
    Kind.COMPARISON: operators.comparison,
    Kind.NOTHING: operators.nothing,
    Kind.BOOLEAN: operators.boolean,
    Kind.NEGATION: operators.negation,
    Kind.ARITHMETIC: operators.arithmetic,
    Kind.SIGN: operators.signs,
    Kind.SWAP_OPERANDS: operators.swapped_operands,
    Kind.GROUPING: operators.grouping,
    Kind.CONSTANT: constants.constant,
    Kind.STRING: constants.string,
    Kind.BOUND: bounds.bound,
    Kind.SLICE: bounds.slice_bound,
    Kind.NAME: names.name,
    Kind.ATTRIBUTE: names.attribute,
    Kind.CALLEE: names.callee,
    Kind.SWAP_ARGUMENTS: arguments.swapped_arguments,
    Kind.ARGUMENT: arguments.argument,
    Kind.ARGUMENT_ADDED: arguments.argument_added,
    Kind.ARGUMENT_DROPPED: arguments.argument_dropped,
    Kind.WRAP: calls.wrap,
    Kind.UNWRAP: calls.unwrap,
    Kind.CALL_STATEMENT: calls.call_statement,
    Kind.WIDEN: conditions.widen,
    Kind.NARROW: conditions.narrow,
    Kind.CONDITION: conditions.condition,
    Kind.LOOP_CONDITION: conditions.loop_condition,
    Kind.FILTER: conditions.filters,
    Kind.GUARD: branches.guard,
    Kind.WRAP_IF: branches.wrap_if,
    Kind.UNWRAP_IF: branches.unwrap_if,
    Kind.LOOP: statements.loop,
    Kind.ELSE: branches.otherwise,
    Kind.DELETE: statements.delete,
    Kind.MOVE: statements.move,
    Kind.NEST: statements.nest,
    Kind.COPY: statements.copy,
    Kind.JUMP: statements.jump,
    Kind.RETURN: results.returned,
    Kind.RETURN_ADDED: results.return_added,
    Kind.RETURN_EXTENDED: results.return_extended,
    Kind.YIELD: results.yielded,
    Kind.INITIAL: results.initial,
    Kind.ACCUMULATE: results.accumulate,
    Kind.DEFAULT: results.default,
    Kind.OPERAND_DROPPED: expressions.operand_dropped,
    Kind.OPERAND_ADDED: expressions.operand_added,
    Kind.EXPRESSION: expressions.expression,
    Kind.EXCEPTION: expressions.exception,
    Kind.PATTERN: patterns.pattern,
    Kind.FORMAT: patterns.format_of,
}
