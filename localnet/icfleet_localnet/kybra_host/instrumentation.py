"""Instruments a module's syntax tree, so that running it counts approximated instructions.

What is added takes ticks (see ``metering``) and has no other effect: no variable, no frame, no
line. Each added node stands at the place of the one it belongs to, so that tracebacks, breakpoints
and stepping stay as they are.

- A function, lambda or module begins with ``True in <ticks>``, which takes a tick.
- ``for x in xs`` becomes ``for x in compress(xs, <ticks>)``, in comprehensions too: a tick an item.
- ``while test: ...`` becomes ``for () in <passes>: if not test: break; ...``: a tick a pass.
- A branch of some size takes a tick of its own; a small one is priced at half with what is
  around it.

Asynchronous loops stay as they are, since a canister has no event loop to run them.
"""

import ast
import sys
from collections.abc import Iterable, Sequence
from types import CodeType
from typing import TypeVar, cast

from icfleet_localnet.kybra_host.metering import EACH, PRICES, Source, weight_of

__all__ = ["compile_counted", "instrument"]

_RECURSION_LIMIT = 10_000
"""Enough frames to walk a syntax tree as deep as Python compiles, some 3,000 levels."""

_BRANCH_MIN = 12_000
"""Instructions from which a branch takes a tick of its own, which costs the machine some 20 ns."""

_TYPES = frozenset(
    {
        *("bool", "bytearray", "bytes", "complex", "dict", "enumerate", "filter", "float"),
        *("frozenset", "int", "list", "map", "range", "reversed", "set", "str", "tuple", "zip"),
    }
)
"""Builtins whose call makes an object."""

_LEAF_PRICES: dict[type[ast.AST], int] = {
    ast.Name: PRICES.name,
    ast.Constant: PRICES.name,
    **{
        kind: 0
        for base in (ast.expr_context, ast.operator, ast.boolop, ast.cmpop, ast.unaryop)
        for kind in base.__subclasses__()
    },
}
"""Nodes with nothing in them; an operator's price is that of the node that it belongs to."""

_EXPRESSION_PRICES: dict[type[ast.AST], int] = {
    ast.Attribute: PRICES.attribute,
    ast.BinOp: PRICES.operation,
    ast.UnaryOp: PRICES.operation,
    ast.BoolOp: PRICES.operation,
    ast.Compare: PRICES.operation,
    ast.IfExp: PRICES.operation,
    ast.JoinedStr: PRICES.display,
    ast.FormattedValue: PRICES.call_method,
    ast.List: PRICES.display,
    ast.Tuple: PRICES.display,
    ast.Set: PRICES.display,
    ast.Dict: PRICES.display,
    ast.Slice: PRICES.operation,
    ast.Yield: PRICES.yield_,
    ast.YieldFrom: PRICES.yield_,
    ast.Starred: PRICES.operation,
}

_STATEMENT_PRICES: dict[type[ast.AST], int] = {
    ast.FunctionDef: PRICES.define_function,
    ast.AsyncFunctionDef: PRICES.define_function,
    ast.ClassDef: PRICES.define_class,
    ast.AugAssign: PRICES.operation,
    ast.Raise: PRICES.raise_,
    ast.Import: PRICES.import_,
    ast.ImportFrom: PRICES.import_,
    ast.With: PRICES.enter_with,
    ast.Try: PRICES.enter_try,
    ast.Assert: PRICES.operation,
    ast.If: PRICES.operation,
}

_LEAVING = (ast.Return, ast.Raise, ast.Continue, ast.Break)

_Function = ast.FunctionDef | ast.AsyncFunctionDef
_Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp
_Placed = TypeVar("_Placed", bound=ast.AST)


def compile_counted(source: bytes, filename: str) -> tuple[CodeType, frozenset[Source]]:
    """Compile a file so that it counts, and return where it takes ticks.

    Raises:
        SyntaxError: As ``compile`` does.
    """
    tree = ast.parse(source, filename)  # At the usual limit, so it is not nested too deep below.
    recursion_limit = sys.getrecursionlimit()
    sys.setrecursionlimit(max(recursion_limit, _RECURSION_LIMIT))
    try:
        sources = instrument(tree)
        # Level 0 keeps asserts, which a compiled canister keeps too.
        return compile(tree, filename, "exec", dont_inherit=True, optimize=0), sources
    except SyntaxError:
        compile(source, filename, "exec", dont_inherit=True)  # To say it with the line's text.
        raise
    finally:
        sys.setrecursionlimit(recursion_limit)


def instrument(tree: ast.Module) -> frozenset[Source]:
    """Instrument a module in place, and return where it takes ticks."""
    instrumenter = _Instrumenter()
    instrumenter.enter(tree)
    return frozenset(instrumenter.sources)


class _Instrumenter:
    """Prices a tree from the leaves up; what cannot be priced once is given ticks on the way."""

    def __init__(self) -> None:
        self.sources: set[Source] = set()

    def enter(self, owner: _Function | ast.Module) -> None:
        """Let a function's or module's body begin with a tick."""
        place = None if isinstance(owner, ast.Module) else owner
        self._begin(owner.body, PRICES.entry + self._block(owner.body), place)

    def _block(self, body: list[ast.stmt]) -> int:
        """Price a block up to where it may be left; what follows is a branch."""
        price = 0
        for index, statement in enumerate(body):
            following = body[index + 1 :]
            price += PRICES.statement + self._statement(body, index)
            if following and _may_leave(statement):
                price += self._branch(following)
                body[index + 1 :] = following
                break
        return price

    def _branch(self, body: list[ast.stmt]) -> int:
        """Price code that may or may not be run, for whoever decides that."""
        price = self._block(body)
        if price < _BRANCH_MIN:
            return price // 2
        self._begin(body, price)
        return 0

    def _statement(self, body: list[ast.stmt], index: int) -> int:
        """Price one statement of a block, which may be replaced there."""
        statement = body[index]
        match statement:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                inner = self._function(statement)
            case ast.ClassDef():
                outer = (*statement.decorator_list, *statement.bases, *statement.keywords)
                inner = self._all(outer) + self._block(statement.body)
            case ast.For():
                inner = self._for(statement)
            case ast.While():
                inner = self._while(body, index, statement)
            case ast.AsyncFor():
                inner = self._expression(statement.iter) + self._block(statement.body)
            case ast.If():
                branches = self._branch(statement.body) + self._branch(statement.orelse)
                inner = self._expression(statement.test) + branches
            case ast.Match():
                inner = self._match(statement)
            case ast.With() | ast.AsyncWith():
                items = self._all(item.context_expr for item in statement.items)
                inner = items + self._block(statement.body)
            case ast.AnnAssign():
                # Not its annotation, which nobody evaluates in a function.
                inner = self._all(one for one in (statement.target, statement.value) if one)
            case _:
                inner = self._other(statement)
        return _STATEMENT_PRICES.get(type(statement), 0) + inner

    def _match(self, statement: ast.Match) -> int:
        branches = sum(self._branch(case.body) for case in statement.cases)
        guards = self._all(case.guard for case in statement.cases if case.guard)
        tests = PRICES.operation * len(statement.cases)
        return self._expression(statement.subject) + branches + guards + tests

    def _other(self, statement: ast.stmt) -> int:
        if isinstance(statement, ast.Try) or type(statement).__name__ == "TryStar":
            return self._try(cast("ast.Try", statement))
        return self._all(ast.iter_child_nodes(statement))

    def _try(self, statement: ast.Try) -> int:
        handlers = sum(self._branch(handler.body) for handler in statement.handlers)
        straight = sum(
            self._block(body) for body in (statement.body, statement.orelse, statement.finalbody)
        )
        return straight + handlers

    def _function(self, function: _Function) -> int:
        self.enter(function)
        arguments = function.args
        defaults = (*arguments.defaults, *(one for one in arguments.kw_defaults if one))
        return self._all((*function.decorator_list, *defaults))

    def _for(self, loop: ast.For) -> int:
        price = PRICES.start_loop + self._expression(loop.iter)
        each = PRICES.loop_pass + self._expression(loop.target) + self._block(loop.body)
        loop.iter = self._counted(loop.iter, each)
        return price + self._block(loop.orelse)

    def _while(self, body: list[ast.stmt], index: int, loop: ast.While) -> int:
        each = PRICES.loop_pass + self._expression(loop.test) + self._block(loop.body)
        if loop.orelse:
            # ``break`` and ``else`` of the two kinds of loop do not map onto each other.
            self._begin(loop.body, each)
            return PRICES.start_loop + self._block(loop.orelse)
        passes = self._source(loop, each, is_pass=True)
        if not (isinstance(loop.test, ast.Constant) and loop.test.value):
            test = loop.test
            is_over = _at(test, ast.UnaryOp(_at(test, ast.Not()), test))
            loop.body.insert(0, _at(test, ast.If(is_over, [_at(test, ast.Break())], [])))
        nothing = _at(loop, ast.Tuple([], ast.Store()))
        body[index] = _at(loop, ast.For(nothing, passes, loop.body, []))
        return PRICES.start_loop

    def _all(self, nodes: Iterable[ast.AST]) -> int:
        price = 0
        for node in nodes:
            price += self._expression(node)
        return price

    def _expression(self, node: ast.AST) -> int:
        """Price an expression, or part of one, with all that is in it."""
        price = _LEAF_PRICES.get(type(node))
        if price is not None:
            return price
        match node:
            case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
                return self._comprehension(node)
            case ast.Lambda():
                return self._lambda(node)
            case ast.Call():
                own = _call_price(node)
            case ast.Subscript():
                is_load = isinstance(node.ctx, ast.Load)
                own = PRICES.subscript if is_load else PRICES.store_subscript
            case _:
                own = _EXPRESSION_PRICES.get(type(node), 0)
                if isinstance(node, ast.List | ast.Tuple | ast.Set):
                    own += PRICES.item * len(node.elts)
                elif isinstance(node, ast.Dict):
                    own += 2 * PRICES.item * len(node.values)
        return own + self._all(ast.iter_child_nodes(node))

    def _comprehension(self, node: _Comprehension) -> int:
        made = (node.key, node.value) if isinstance(node, ast.DictComp) else (node.elt,)
        each = PRICES.loop_pass + PRICES.item + self._all(made)
        price = PRICES.define_function + PRICES.entry
        for generator in reversed(node.generators):
            each += self._expression(generator.target) + self._all(generator.ifs)
            start = PRICES.start_loop + self._expression(generator.iter)
            if not generator.is_async:
                generator.iter = self._counted(generator.iter, each)
            each = PRICES.loop_pass + start
        return price + each

    def _lambda(self, node: ast.Lambda) -> int:
        price = PRICES.entry + self._expression(node.body)
        tick = self._tick(node.body, price)
        node.body = _at(node.body, ast.BoolOp(_at(node.body, ast.And()), [tick, node.body]))
        defaults = (*node.args.defaults, *(one for one in node.args.kw_defaults if one))
        return PRICES.define_function + self._all(defaults)

    def _counted(self, iterable: ast.expr, price: int) -> ast.expr:
        """Let an iterable take a tick for each item."""
        each = _at(iterable, ast.Name(EACH, ast.Load()))
        ticks = self._source(iterable, price)
        return _at(iterable, ast.Call(each, [iterable, ticks], []))

    def _begin(self, body: list[ast.stmt], price: int, owner: _Function | None = None) -> None:
        """Let a block begin with a tick, after what must come first in it."""
        if not body:
            return
        start = _prologue_size(body)
        place = _first_place(body[start:]) or owner or body[0]
        body.insert(start, _at(place, ast.Expr(self._tick(place, price))))

    def _tick(self, place: ast.AST, price: int) -> ast.expr:
        ticks = self._source(place, price)
        true = _at(place, ast.Constant(value=True))
        return _at(place, ast.Compare(true, [_at(place, ast.In())], [ticks]))

    def _source(self, place: ast.AST, price: int, *, is_pass: bool = False) -> ast.expr:
        source = Source(weight_of(price), is_pass)
        self.sources.add(source)
        return _at(place, ast.Name(source.name, ast.Load()))


def _call_price(call: ast.Call) -> int:
    items = PRICES.item * (len(call.args) + len(call.keywords))
    match call.func:
        case ast.Attribute():
            return PRICES.call_method + items
        case ast.Name(id=name) if name in _TYPES:
            return PRICES.call_type + items
        case _:
            return PRICES.call_function + items


def _may_leave(statement: ast.stmt) -> bool:
    """Whether what follows in the block may be passed over."""
    if not isinstance(statement, ast.If):
        return False
    return any(
        body and isinstance(body[-1], _LEAVING) for body in (statement.body, statement.orelse)
    )


def _prologue_size(body: Sequence[ast.stmt]) -> int:
    """Count the docstring and the ``__future__`` imports, which must stay first."""
    size = 0
    for index, statement in enumerate(body):
        is_docstring = (
            index == 0
            and isinstance(statement, ast.Expr)
            and isinstance(statement.value, ast.Constant)
            and isinstance(statement.value.value, str)
        )
        is_future = isinstance(statement, ast.ImportFrom) and statement.module == "__future__"
        if not (is_docstring or is_future):
            break
        size += 1
    return size


def _first_place(body: Sequence[ast.stmt]) -> ast.AST | None:
    """Return where the code of a block begins, at a decorator if that is first."""
    running = [one for one in body if not isinstance(one, ast.Global | ast.Nonlocal)]
    if not running:
        return None
    decorators: list[ast.expr] = getattr(running[0], "decorator_list", [])
    return decorators[0] if decorators else running[0]


def _at(place: ast.AST, node: _Placed) -> _Placed:
    """Put a new node where another one is."""
    return ast.copy_location(node, place)
