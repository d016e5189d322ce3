"""Text to expressions: a tokenizer, and one function a level of the grammar.

    conditional   a if c else b
    logic         or, and, not
    comparison    == != < <= > >=          (not chained)
    arithmetic    + -, then * / // %, then a sign
    atoms         3, 0.25, name, x.channels, f(a, key=b), [a, b], (a), none, true, false

A malformed text raises `SpecError` with its place; nothing is ever handed to `eval`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from archc.compiler.language import expressions as ex
from archc.compiler.language.expressions import (
    COMPARISONS,
    LARGEST,
    RANKS,
    Binary,
    Compare,
    Logic,
    Node,
    Word,
    text,
)
from archc.compiler.language.problems import Place, Problem, SpecError, quote

MAX_DEPTH = 32
MAX_LENGTH = 500

_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?)"
    r"|(?P<name>[^\W\d]\w*)"
    r"|(?P<operator>//|==|!=|<=|>=|[-+*/%<>()\[\],.=])|(?P<end>$))"
)
_WORD_OPERATORS = ("if", "else", "or", "and", "not")
_WORD = re.compile(r"\s*([^\W\d]\w*)\s*")


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    place: Place


def parse(text: str, place: Place) -> Node:
    """The tree of `text`, which stands at `place`. Raises `SpecError` (E020)."""
    if not text.strip():
        raise _fail("an empty text where a value belongs", place, "write `~` to give nothing")
    if len(text) > MAX_LENGTH:
        raise _fail(f"an expression of more than {MAX_LENGTH} characters", place)
    parser = _Parser(_tokens(text, place))
    node = parser.conditional()
    if parser.token.kind != "end":
        message = f"unexpected {quote(parser.token.text)} after the end of the expression"
        raise _fail(message, parser.token.place)
    return node


def word(text: str, place: Place) -> Word | None:
    """The name that `text`, which stands at `place`, is if it is nothing else."""
    match = _WORD.fullmatch(text)
    if match is None or match[1] in (*ex.WORDS, *_WORD_OPERATORS) or len(text) > MAX_LENGTH:
        return None
    return Word(match[1], _within(text, place, *match.span(1)))


def _within(text: str, place: Place, start: int, end: int) -> Place:
    """The place of a stretch of `text`; all of it where the file has line breaks or escapes."""
    quotes = place.length - len(text)
    return place.at(start + quotes // 2, max(1, end - start)) if quotes in (0, 2) else place


def _fail(message: str, place: Place, hint: str | None = None) -> SpecError:
    return SpecError([Problem("E020", message, place, hint)])


def _tokens(text: str, place: Place) -> list[_Token]:
    tokens, position = [], 0
    while True:
        match = _TOKEN.match(text, position)
        if match is None:
            start = len(text) - len(text[position:].lstrip())
            here = _within(text, place, start, start + 1)
            raise _fail(f"unexpected {quote(text[start])} in an expression", here)
        kind = match.lastgroup or "end"
        here = _within(text, place, *match.span(kind))
        tokens.append(_Token(kind, match[kind], here))
        if kind == "end":
            return tokens
        position = match.end()


class _Parser:
    """Recursive descent with one function a level of the grammar; depth is bounded."""

    def __init__(self, tokens: Sequence[_Token]) -> None:
        self.tokens = tokens
        self.position = 0
        self.depth = 0

    @property
    def token(self) -> _Token:
        return self.tokens[self.position]

    def take(self, *texts: str) -> _Token | None:
        token = self.token
        if token.text in texts and token.kind != "number":
            self.position += 1
            return token
        return None

    def expect(self, text: str) -> _Token:
        token = self.take(text)
        if token is None:
            raise self.unexpected(f"`{text}`")
        return token

    def unexpected(self, wanted: str) -> SpecError:
        if self.token.kind == "end":
            hint = "between braces or brackets, quote an expression with a comma"
            message = f"the expression ends where {wanted} is expected"
            return _fail(message, self.token.place, hint if wanted in ("`)`", "`]`") else None)
        return _fail(f"unexpected {quote(self.token.text)}; expected {wanted}", self.token.place)

    def span(self, first: _Token) -> Place:
        """From `first` to the token taken last."""
        last = self.tokens[self.position - 1].place
        return replace(first.place, length=last.column + last.length - first.place.column)

    def conditional(self) -> Node:
        return self.deeper(self.chosen)

    def chosen(self) -> Node:
        first = self.token
        node = self.ranked(0)
        if not self.take("if"):
            return node
        condition = self.ranked(0)
        self.expect("else")
        return ex.Conditional(condition, node, self.conditional(), self.span(first))

    def ranked(self, rank: int) -> Node:
        """A chain of binary operators of one precedence."""
        if rank == len(RANKS):
            return self.signed()
        if RANKS[rank] == ("not",):
            return self.negated(rank)
        first = self.token
        node = self.ranked(rank + 1)
        compared = False
        while token := self.take(*RANKS[rank]):
            if compared:
                raise _fail("comparisons cannot be chained", token.place, "join them with `and`")
            kind: type[Binary | Compare | Logic] = Compare if token.text in COMPARISONS else Binary
            kind = Logic if token.text in ("and", "or") else kind
            node = kind(token.text, node, self.ranked(rank + 1), self.span(first))
            compared = kind is Compare
        return node

    def negated(self, rank: int) -> Node:
        token = self.take("not")
        if token is None:
            return self.ranked(rank + 1)
        operand = self.deeper(lambda: self.negated(rank))
        return ex.Unary("not", operand, self.span(token))

    def signed(self) -> Node:
        token = self.take("-", "+")
        if token is None:
            return self.atom()
        operand = self.deeper(self.signed)
        if token.text == "+":
            return operand
        if isinstance(operand, ex.Literal) and isinstance(operand.value, int | float):
            return ex.Literal(-operand.value, self.span(token))
        return ex.Unary("-", operand, self.span(token))

    def deeper(self, parse: Callable[[], Node]) -> Node:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise _fail(f"an expression nested more than {MAX_DEPTH} deep", self.token.place)
        node = parse()
        self.depth -= 1
        return node

    def atom(self) -> Node:
        token = self.token
        if token.kind == "number":
            self.position += 1
            return ex.Literal(_read_number(token), token.place)
        if token.kind == "name" and token.text not in _WORD_OPERATORS:
            self.position += 1
            return self.named(token)
        if self.take("("):
            node = self.conditional()
            if self.take(","):
                raise self.in_parentheses(token, node)
            self.expect(")")
            return node
        if self.take("["):
            items = tuple(self.listed("]"))
            return ex.Items(items, self.span(token))
        raise self.unexpected("a value")

    def in_parentheses(self, first: _Token, node: Node) -> SpecError:
        """What is wrong with a list that Python would take for one, such as `(1, 7)`."""
        items = [text(item) for item in (node, *self.listed(")"))]
        said = f"[{', '.join(items)}]" if len(items) > 1 else items[0]
        message = "a list stands in brackets, not in parentheses"
        return _fail(message, self.span(first), f"write `{said}`")

    def named(self, token: _Token) -> Node:
        if token.text in ex.WORDS:
            return ex.Literal(ex.WORDS[token.text], token.place)
        if self.take("."):
            field_ = self.token
            if field_.kind != "name":
                raise self.unexpected("`channels` or `stride`")
            self.position += 1
            return ex.Attribute(token.text, field_.text, self.span(token))
        if self.take("("):
            return self.call(token)
        return ex.Name(token.text, token.place)

    def call(self, token: _Token) -> ex.Call:
        arguments: list[Node] = []
        keywords: list[tuple[str, Node]] = []
        while not self.take(")"):
            follower = self.tokens[min(self.position + 1, len(self.tokens) - 1)]
            if self.token.kind == "name" and follower.text == "=":
                keyword = self.token
                self.position += 2
                keywords.append((Word(keyword.text, keyword.place), self.conditional()))
            elif keywords:
                raise _fail("a plain argument after a named one", self.token.place)
            else:
                arguments.append(self.conditional())
            if not self.take(","):
                self.expect(")")
                break
        return ex.Call(token.text, tuple(arguments), tuple(keywords), token.place)

    def listed(self, closing: str) -> Iterator[Node]:
        while not self.take(closing):
            yield self.conditional()
            if not self.take(","):
                self.expect(closing)
                break


def _read_number(token: _Token) -> int | float:
    if len(token.text) > 24:
        raise _fail(f"the number {quote(token.text, 24)} is too long", token.place)
    value = int(token.text) if token.text.isdigit() else float(token.text)
    if value > LARGEST:
        raise _fail(f"the number {quote(token.text)} is too large", token.place)
    return value
