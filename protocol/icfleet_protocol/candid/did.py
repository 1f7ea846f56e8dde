"""The parser of interfaces (.did files), and their writer.

Source: https://github.com/dfinity/candid/blob/master/spec/Candid.md#core-grammar
"""

from icfleet_protocol.candid.graph import build_graph, resolve
from icfleet_protocol.candid.interface import Method, ServiceInterface
from icfleet_protocol.candid.names import KEYWORDS
from icfleet_protocol.candid.tokens import Kind, Token, TokenStream
from icfleet_protocol.candid.type_text import TypeParser
from icfleet_protocol.candid.types import (
    CandidType,
    FuncType,
    NamedType,
    RecordType,
    ServiceType,
    VariantType,
    format_method,
)
from icfleet_protocol.errors import CandidError

__all__ = ["format_did", "parse_did"]


def parse_did(text: str) -> ServiceInterface:
    """Parse an interface: type definitions, and a service if there is one.

    Names of arguments and of the service itself are dropped: they mean nothing to callers.

    Raises:
        CandidError: If the text is not an interface, a name is undefined or defined twice, or
            the text imports another file. ``path`` is the line and column.
    """
    return _InterfaceParser(text).read()


def format_did(interface: ServiceInterface) -> str:
    """Write an interface as .did text: plain forms only, no names of arguments.

    Every reader of .did files takes this text, and ``parse_did`` gives the same interface again.
    """
    types = [
        f"type {name} = {_fold(content, len(name))};\n"
        for name, content in interface.environment.items()
    ]
    init = ", ".join(str(one) for one in interface.init_args)
    head = f"service : ({init}) -> {{\n" if interface.init_args else "service : {\n"
    methods = [f"  {format_method(name, method)};\n" for name, method in interface.methods.items()]
    return "".join([*types, head, *methods, "}\n"])


_LINE_LENGTH_MAX = 100


def _fold(content: CandidType, name_length: int) -> str:
    """Write a type on one line, or its parts on a line each."""
    line = str(content)
    is_short = len(line) + name_length + len("type  = ;") <= _LINE_LENGTH_MAX
    if is_short or not isinstance(content, RecordType | VariantType):
        return line
    keyword = "record" if isinstance(content, RecordType) else "variant"
    return "\n".join([f"{keyword} {{", *(f"  {part};" for part in content.parts), "}"])


class _InterfaceParser:
    def __init__(self, text: str) -> None:
        self._stream = TokenStream(text)
        self._types = TypeParser(self._stream)
        self._environment: dict[str, CandidType] = {}

    def read(self) -> ServiceInterface:
        while self._stream.head.text in {"type", "import"}:
            self._read_definition()
            if self._stream.head.kind is not Kind.END:
                self._stream.expect(";")
        token = self._stream.head
        init_args: tuple[CandidType, ...] = ()
        service: CandidType = ServiceType(())
        if self._stream.accept("service"):
            init_args, service = self._read_service()
        self._stream.expect_end()
        try:
            return self._finish(init_args, service)
        except CandidError as error:
            raise self._stream.fail(error.reason, token) from error

    def _read_definition(self) -> None:
        token = self._stream.next()
        if token.text == "import":
            reason = "import is not supported: put the definitions of both files into one"
            raise self._stream.fail(reason, token)
        name = self._read_identifier()
        if name.text in self._environment:
            reason = f"type {name.text} is defined twice"
            raise self._stream.fail(reason, name)
        self._stream.expect("=")
        self._environment[name.text] = self._types.read_type()

    def _read_identifier(self) -> Token:
        token = self._stream.next()
        if token.kind is not Kind.IDENTIFIER or token.text in KEYWORDS:
            reason = f"expected a type's name, found {token}"
            raise self._stream.fail(reason, token)
        return token

    def _read_service(self) -> tuple[tuple[CandidType, ...], CandidType]:
        stream = self._stream
        if not stream.accept(":"):
            stream.name()
            stream.expect(":")
        init_args: tuple[CandidType, ...] = ()
        if stream.head.text == "(":
            init_args = self._types.read_tuple()
            stream.expect("->")
        if stream.head.text == "{":
            service: CandidType = self._types.read_service()
        else:
            service = NamedType(self._read_identifier().text)
        stream.accept(";")
        return init_args, service

    def _finish(self, init_args: tuple[CandidType, ...], service: CandidType) -> ServiceInterface:
        """Check that every name leads somewhere, and look up the methods."""
        build_graph([*self._environment.values(), *init_args, service], self._environment)
        actor = resolve(service, self._environment)
        if not isinstance(actor, ServiceType):
            reason = f"type {service} is not a service"
            raise CandidError(reason)
        methods: dict[str, Method] = {}
        for name, signature in actor.methods:
            method = resolve(signature, self._environment)
            assert isinstance(method, FuncType), "the graph was built, so it is a function"
            methods[name] = method
        return ServiceInterface(environment=self._environment, init_args=init_args, methods=methods)
