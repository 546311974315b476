"""Which code makes a number: a digest of the definitions that a function reaches inside its package.

Two checkouts give a cell the same fingerprint when everything that can take part in computing it reads the same,
however it is commented, documented or laid out, and in whichever module it stands.
"""

import ast
import hashlib
import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from .errors import InputError

READ = ("tutorial_lib.data", "_read")
"""The function that reads data. A run knows them by their checksum: it does not matter which code has read them."""


def fingerprint(function: Callable) -> str:
    """A digest (16 hexadecimal digits) of `function` and of all that it reaches; see `reached`.

    >>> fingerprint(fingerprint) == fingerprint(fingerprint), fingerprint(fingerprint) == fingerprint(reached)
    (True, False)
    """
    shapes = sorted({(name, repr(_shape(node))) for name, node in reached(function)})
    return hashlib.sha256(repr([function.__qualname__, shapes]).encode()).hexdigest()[:16]


def reached(function: Callable) -> list[tuple[str, ast.AST]]:
    """The definitions, by name, that `function` can reach inside its own package and this one, itself among them.

    A definition is a statement at the top level of a module: a function, a class, an assignment. It reaches whatever
    its names stand for, through imports too; a module that it hands on as a whole counts with all that it defines.
    Statements that only act, such as a call, count wherever their module does. What reads data, `READ`, does not count.
    """
    home, own = function.__module__ or "builtins", getattr(function, "__qualname__", repr(function))
    packages = {home.partition(".")[0], __name__.partition(".")[0]}
    modules: dict[str, _Module] = {}
    found: dict[tuple[str, str], list[ast.AST]] = {}
    todo = [(home, own)]
    while todo:
        place = name, wanted = todo.pop()
        if place in found or place == READ:
            continue
        if name not in modules:
            modules[name] = _Module(name, packages)
            todo.append((name, ""))
        module = modules[name]
        if wanted not in module.definitions and wanted in module.imports:
            found[place] = []
            todo.append(module.imports[wanted])
            continue
        found[place] = module.definitions.get(wanted, [])
        for node in found[place]:
            todo += module.mentions(node)
    if not found[home, own]:
        raise InputError(
            f"{own} of {home} is not defined at the top level of a module, as what computes a cell must be"
        )
    return [(name, node) for (_, name), nodes in found.items() for node in nodes]


class _Module:
    """A module's source: the statements that define each name ("": those that only act); imports from `packages`."""

    def __init__(self, name: str, packages: set[str]):
        self.name, self.packages, path = name, packages, _file(name)
        self.package = getattr(sys.modules.get(name), "__package__", None)
        if self.package is None:
            self.package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        tree = ast.parse(path.read_text(encoding="utf-8"))
        self.imports = dict(self._imported(tree.body))
        self.definitions: dict[str, list[ast.AST]] = {"": []}
        for statement in tree.body:
            names = _defined(statement)
            if not names and isinstance(statement, ast.Expr) and not isinstance(statement.value, ast.Constant):
                names = {""}
            for defined in names:
                self.definitions.setdefault(defined, []).append(statement)

    def _imported(self, statements) -> Iterator[tuple[str, tuple[str, str]]]:
        """Imported names anywhere in the statements, but for those inside functions: (module, name in it or "*")."""
        for node in statements:
            if isinstance(node, ast.ImportFrom):
                origin = importlib.util.resolve_name("." * node.level + (node.module or ""), self.package)
                for alias in node.names if origin.partition(".")[0] in self.packages else ():
                    inside = f"{origin}.{alias.name}", "*"
                    yield alias.asname or alias.name, inside if _holds(origin, alias.name) else (origin, alias.name)
            elif isinstance(node, ast.Import):
                for alias in node.names:
                    name = alias.name if alias.asname else alias.name.partition(".")[0]
                    if name.partition(".")[0] in self.packages:
                        yield alias.asname or name, (name, "*")
            elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                yield from self._imported(ast.iter_child_nodes(node))

    def mentions(self, node: ast.AST) -> Iterator[tuple[str, str]]:
        """What the names in a definition stand for, as (module, name)."""
        inner = [n for n in ast.walk(node) if isinstance(n, ast.Import | ast.ImportFrom)]
        known = self.imports | dict(self._imported(inner))
        for first, *rest in _chains(node):
            if first in self.definitions:
                yield self.name, first
            if first in known:
                module, name = known[first]
                if name != "*":
                    yield module, name
                    continue
                while rest and _holds(module, rest[0]):
                    module = f"{module}.{rest.pop(0)}"
                yield from [(module, rest[0])] if rest else _every(module)


def _every(module: str) -> Iterator[tuple[str, str]]:
    for node in ast.parse(_file(module).read_text(encoding="utf-8")).body:
        yield from ((module, name) for name in _defined(node))


def _file(module: str) -> Path:
    """The source file of a module; `InputError` if there is none."""
    loaded = sys.modules.get(module)  # so too for __main__
    file = getattr(loaded, "__file__", None) or getattr(importlib.util.find_spec(module), "origin", None)
    if not (file or "").endswith(".py"):
        raise InputError(f"the code of {module} is in no .py file: put what computes a cell into a module")
    return Path(file)


def _holds(package: str, name: str) -> bool:
    """Whether `name` of a package is a module inside it, and nothing that it defines itself."""
    file = _file(package)
    inside = file.parent / name
    if file.name != "__init__.py" or not (inside.with_suffix(".py").exists() or (inside / "__init__.py").exists()):
        return False
    return not any(name in _defined(node) for node in ast.parse(file.read_text(encoding="utf-8")).body)


def _defined(statement: ast.stmt) -> set[str]:
    """The names that a statement at the top level binds or, by an item or attribute, changes."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {statement.name}
    parts = [
        getattr(statement, part, [])
        for part in ("targets", "target", "body", "orelse", "handlers", "finalbody", "cases")
    ]
    parts = [node for part in parts for node in (part if isinstance(part, list) else [part])]
    return set().union(
        *(
            _defined(node) if isinstance(node, ast.stmt | ast.ExceptHandler | ast.match_case) else _bound(node)
            for node in parts
        )
    )


def _bound(target: ast.expr) -> set[str]:
    """The names in the target of an assignment; the first name of a.b or a[b]."""
    if isinstance(target, ast.Tuple | ast.List):
        return set().union(*map(_bound, target.elts))
    while isinstance(target, ast.Attribute | ast.Subscript | ast.Starred):
        target = target.value
    return {target.id} if isinstance(target, ast.Name) else set()


def _chains(node: ast.AST, local: frozenset[str] = frozenset()) -> Iterator[list[str]]:
    """The names in a tree that are not local to a function, each with its attributes: a.b.c as ["a", "b", "c"]."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
        for part in (*getattr(node, "decorator_list", []), *node.args.defaults, *filter(None, node.args.kw_defaults)):
            yield from _chains(part, local)
        local = local | {a.arg for a in ast.walk(node.args) if isinstance(a, ast.arg)}
        body = node.body if isinstance(node.body, list) else [node.body]
        local |= {n.id for n in _own(body) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
        local -= {name for n in _own(body) if isinstance(n, ast.Global) for name in n.names}
        for part in body:
            yield from _chains(part, local)
        return
    rest, chain = node, []
    while isinstance(rest, ast.Attribute):
        rest, chain = rest.value, [rest.attr, *chain]
    if isinstance(rest, ast.Name):
        if rest.id not in local:
            yield [rest.id, *chain]
        return
    for child in ast.iter_child_nodes(rest):
        yield from _chains(child, local)


def _own(body: list[ast.AST]) -> Iterator[ast.AST]:
    """The nodes of a function's body that belong to its own scope."""
    inner = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef
    scopes = inner | ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp
    for node in body:
        if not isinstance(node, scopes):
            yield node
            yield from _own(ast.iter_child_nodes(node))


def _shape(node):
    """A syntax tree as nested tuples, without what does not run (docstrings) and what depends on Python's version."""
    if isinstance(node, list):
        return [_shape(n) for n in node if not (isinstance(n, ast.Expr) and isinstance(n.value, ast.Constant))]
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = [
        (f, v) for f, v in ast.iter_fields(node) if f not in ("ctx", "kind", "type_comment") and v not in (None, [])
    ]
    return (type(node).__name__, *((f, _shape(v)) for f, v in fields))
