"""Every tuning constant in the code is in the tables of docs/tuning.md, with its value, and nothing else is.

A tuning constant is assigned at the top level of a module, has a name in capitals, and a value that is made of numbers,
names, arithmetic, `max`, `min` and conditions, with at least one number in it.
"""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
MODULES = [
    path
    for folder in ("kernels/fastlstm_kernels", "fastlstm")
    for path in sorted((ROOT / folder).rglob("*.py"))
    if not {"demo", "oracle"} & set(path.parts)
]
ARITHMETIC = (
    ast.Constant, ast.Name, ast.Attribute, ast.BinOp, ast.UnaryOp, ast.IfExp, ast.operator, ast.unaryop, ast.Load
)


def is_figure(value):
    """Whether an expression is made of numbers."""
    nodes = [node for node in ast.walk(value) if not is_choice(node)]
    numbers = [node.value for node in nodes if isinstance(node, ast.Constant)]
    return (
        all(isinstance(node, ARITHMETIC) for node in nodes)
        and bool(numbers) and all(type(number) in (int, float) for number in numbers)
    )


def is_choice(node):
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("max", "min")


def assigned(statement):
    """Names and values of an assignment, those of tuples one by one."""
    if isinstance(statement, ast.AnnAssign) and statement.value is not None:
        targets, value = [statement.target], statement.value
    elif isinstance(statement, ast.Assign):
        targets, value = statement.targets, statement.value
    else:
        return
    for target in targets:
        if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
            yield from zip(target.elts, value.elts, strict=True)
        else:
            yield target, value


def constants(text):
    """Names and values, in the code's spelling, of a module's tuning constants."""
    for statement in ast.parse(text).body:
        for target, value in assigned(statement):
            if isinstance(target, ast.Name) and target.id.isupper() and is_figure(value):
                yield target.id, ast.unparse(value)


def estimates(text):
    """What a module's calls of `useful`, and of what calls it, take for their work, where that has a number in it."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in ("useful", "_chosen"):
            work = node.args[1]
            if any(isinstance(part, ast.Constant) for part in ast.walk(work)):
                yield ast.unparse(work)


def in_code(find):
    return {(str(path.relative_to(ROOT)), *found) for path in MODULES for found in find(path.read_text("utf-8"))}


def in_document(heading):
    """The first three columns of the tables whose second heading is given, without the marks of code."""
    found, within = [], False
    for line in (ROOT / "docs" / "tuning.md").read_text("utf-8").splitlines():
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        within = bool(cells) and (within or cells[1] == heading)
        if within and cells[0].startswith("`"):
            found.append(tuple(cell.strip("`") for cell in cells[:3]))
    assert len(found) == len(set(found))
    return found


def named(entries):
    return "; ".join(f"{' = '.join(rest)} of {file}" for file, *rest in sorted(entries))


def test_every_tuning_constant_is_in_the_table_with_its_value():
    code = in_code(constants)
    table = {(file, name, ast.unparse(ast.parse(value))) for file, name, value in in_document("Name")}
    assert code - table == set(), f"docs/tuning.md lacks, or has another value for: {named(code - table)}"
    assert table - code == set(), f"docs/tuning.md has, and the code has not: {named(table - code)}"


def test_every_estimate_of_work_with_a_number_is_in_the_table():
    code = in_code(lambda text: ((each,) for each in estimates(text)))
    table = {(file, ast.unparse(ast.parse(work))) for file, work, _ in in_document("Estimate")}
    assert code - table == set(), f"docs/tuning.md lacks the estimate {named(code - table)}"
    assert table - code == set(), f"docs/tuning.md has, and the code has not, the estimate {named(table - code)}"


def test_what_counts_as_a_constant():
    text = """
A = 1
_B: int = 8 * A
C, D = 2.0**-6, max(A, 3)
E = 0 if A else -4
F, G = range(2)
H = "a string"
I = {"a": 1}
J = A
K = f(2)
L = True
lower = 5
def function():
    M = 6
"""
    assert list(constants(text)) == [
        ("A", "1"), ("_B", "8 * A"), ("C", "2.0 ** (-6)"), ("D", "max(A, 3)"), ("E", "0 if A else -4")
    ]
    text = "useful(1, 10 * x.size)\ncores.useful(None, flops)\nuseful(n, WORK * n)"
    assert list(estimates(text)) == ["10 * x.size"]
