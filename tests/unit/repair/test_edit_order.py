"""Properties of the candidates of any small program."""

from __future__ import annotations

import ast
import difflib
import itertools

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from libs.repair.edits import acceptance, candidates
from libs.repair.edits.module import Module
from libs.repair.edits.site import sites

NAMES = st.sampled_from(["a", "b", "xs", "n"])
ATOMS = st.one_of(
    NAMES,
    st.sampled_from(
        [
            "0",
            "1",
            "'s'",
            "[]",
            "None",
            "True",
            "xs[0]",
            "len(xs)",
            "a.b",
            "f(a, b)",
            "r'a+\\d'",
            "f'{a}'",
            "xs[1:]",
        ]
    ),
)
EXPRESSIONS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.builds("{} {} {}".format, inner, st.sampled_from(["+", "-", "*", "%", "<", "==", "in", "is not", "and", "or"]), inner),
        st.builds("({})".format, inner),
        st.builds("not {}".format, inner),
        st.builds("g({}, k={})".format, inner, inner),
        st.builds("[{} for n in {} if {}]".format, inner, inner, inner),
        st.builds("({}, {})".format, inner, inner),
    ),
    max_leaves=4,
)  # fmt: skip
SIMPLE = st.one_of(
    st.builds("n = {}".format, EXPRESSIONS),
    st.builds("n += {}".format, EXPRESSIONS),
    st.builds("return {}".format, EXPRESSIONS),
    st.builds("xs.append({})  # why".format, EXPRESSIONS),
    st.builds("a, b = {}".format, EXPRESSIONS),
)


def _block(head: str, body: list[str]) -> str:
    return "\n".join([f"{head}:", *(f"    {line}" for part in body for line in part.split("\n"))])


STATEMENTS = st.one_of(
    SIMPLE,
    st.builds(
        lambda test, body: _block(f"if {test}", body), EXPRESSIONS, st.lists(SIMPLE, min_size=1, max_size=2)
    ),
    st.builds(
        lambda test, body: _block(f"while {test}", body),
        EXPRESSIONS,
        st.lists(SIMPLE, min_size=1, max_size=2),
    ),
    st.builds(
        lambda it, body: _block(f"for n in ({it})", [*body, "break"]),
        EXPRESSIONS,
        st.lists(SIMPLE, max_size=1),
    ),
    st.builds(
        lambda body: _block("try", body) + "\nexcept KeyError:\n    pass",
        st.lists(SIMPLE, min_size=1, max_size=1),
    ),
)


def _compiles(source: str) -> bool:
    return acceptance.fingerprint(source) is not None


PROGRAMS = (
    st.lists(STATEMENTS, min_size=1, max_size=3)
    .map(lambda body: "import re\n\n\n" + _block("def f(a, b, xs=[])", body) + "\n\n\nclass A:\n    def g(self):\n        return self.n  # end\n")
    .filter(_compiles)
)  # fmt: skip
FEW = settings(max_examples=4, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


def _suspicion(source: str) -> dict[tuple[str, int], float]:
    return {("m.py", line): 1.0 / (1 + line % 3) for line in range(1, source.count("\n") + 2)}


@FEW
@given(PROGRAMS, st.integers(0, 3))
def test_every_candidate_compiles_differs_is_new_and_no_cheaper_than_the_one_before(
    source: str, seed: int
) -> None:
    trees = {ast.dump(ast.parse(source))}
    cost = 0.0
    for each in itertools.islice(candidates({"m.py": source}, _suspicion(source), seed=seed), 120):
        compile(each.source, "m.py", "exec", dont_inherit=True)
        tree = ast.dump(ast.parse(each.source))
        assert tree not in trees
        trees.add(tree)
        assert each.cost >= cost
        cost = each.cost


@FEW
@given(PROGRAMS)
def test_equal_seeds_give_equal_candidates(source: str) -> None:
    one, other = (
        [*itertools.islice(candidates({"m.py": source}, _suspicion(source), seed=1), 60)] for _ in range(2)
    )
    assert one == other


@settings(FEW, max_examples=2)
@given(PROGRAMS)
def test_a_seed_decides_between_equal_costs_only(source: str) -> None:
    one, other = ([*candidates({"m.py": source}, {("m.py", 5): 1.0}, seed=seed)] for seed in (1, 2))
    assert {each.source for each in one} == {each.source for each in other}


@FEW
@given(PROGRAMS)
def test_an_edit_touches_its_own_statement_only(source: str) -> None:
    for each in itertools.islice(candidates({"m.py": source}, {("m.py", 5): 1.0}), 80):
        assert each.source.startswith("import re\n\n\n")
        assert each.source.endswith("class A:\n    def g(self):\n        return self.n  # end\n")
        matcher = difflib.SequenceMatcher(None, source.splitlines(), each.source.splitlines(), autojunk=False)
        touched = [code for code in matcher.get_opcodes() if code[0] != "equal"]
        assert touched
        assert min(code[1] for code in touched) + 1 <= max(each.line, 5) + 1


def test_a_file_of_five_thousand_lines_is_examined_only_where_candidates_are_wanted(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    one = "def f{0}(a, b):\n    n = a + b\n    if n < {0}:\n        return [n, a]\n    return g(n, a)\n\n\n"
    source = "".join(one.format(number) for number in range(720))
    assert source.count("\n") > 5000
    examined: list[int] = []
    real = acceptance.fingerprint

    def counted(text: str, **options: object) -> bytes | None:
        examined.append(len(text))
        return real(text, **options)  # type: ignore[arg-type]

    monkeypatch.setattr("libs.repair.edits.ranking.fingerprint", counted)
    scores = {("big.py", line): 0.5 for line in range(1, 5001)} | {
        ("big.py", line): 1.0 for line in range(1205, 1230)
    }
    first = [*itertools.islice(candidates({"big.py": source}, scores), 100)]
    assert len(first) == 100
    assert len(examined) < 500
    assert max(examined) < 200  # a function, never the file


def test_every_statement_of_a_file_is_a_site_once() -> None:
    source = "class A:\n    x = 1\n    def f(self):\n        try:\n            pass\n        except E:\n            y = 1\n        else:\n            z = 1\n"
    statements = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.stmt)]
    assert len([*sites(Module("m.py", source))]) == len(statements)


def test_a_long_chain_of_branches_has_edits_in_proportion() -> None:
    # Each branch once looked at all that follow it, and again at all that follow those: 2 to the power of 40.
    chain = "".join(
        f"    {'elif' if number else 'if'} x == {number}:\n        y = {number}\n" for number in range(40)
    )
    text = f"def f(x, y):\n{chain}    y = x\n    return y\n"
    last = text.count("\n") - 1
    assert 0 < len(list(candidates({"m.py": text}, {("m.py", last): 1.0}))) < 5_000
