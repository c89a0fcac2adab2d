"""The SQL subset of the catalogue and the model, evaluated over one row.

    or         = and { OR and }
    and        = not { AND not }
    not        = NOT not | predicate
    predicate  = sum [ comparison sum | IS [NOT] NULL | [NOT] IN (or, ...) | [NOT] BETWEEN sum AND sum ]
    sum        = product { (+ | -) product }
    product    = unary { (* | /) unary | % number }
    unary      = - unary | primary
    primary    = number | 'text' | TRUE | FALSE | NULL | CASE ... END | FUNCTION(or, ...) | name | ( or )

NULL is `None` and spreads as in SQL: a comparison or a sum with it is NULL, `NULL AND FALSE` is FALSE, `NULL OR TRUE` is
TRUE. `LEAST` and `GREATEST` of something unknown are unknown (docs/analyst.md, "What holds of every feature").
"""

import operator
import re

TOKEN = re.compile(
    r"\s*(?:(?P<number>\d+\.\d+(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+|\d+)|'(?P<text>(?:[^']|'')*)'"
    r"|(?P<name>[A-Za-z_][A-Za-z_0-9]*)|(?P<sign><>|!=|<=|>=|[-+*/%=<>(),]))"
)
COMPARISONS = {
    "=": operator.eq,
    "<>": operator.ne,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
SUMS = {"+": operator.add, "-": operator.sub}
WORDS = {"AND", "OR", "NOT", "IS", "IN", "BETWEEN", "NULL", "TRUE", "FALSE", "CASE", "WHEN", "THEN", "ELSE", "END"}


def parse(source):
    """The expression as a function from a row (a mapping of names to values) to a value."""
    parser = _Parser(_tokens(source), source)
    evaluate = parser.disjunction()
    if parser.token() is not None:
        raise SyntaxError(f"{parser.token()[1]!r} is left over in {source!r}")
    return evaluate


def _tokens(source):
    """Pairs of kind and value; words of the language are of the kind `word`."""
    found, at, source = [], 0, source.rstrip()
    while at < len(source):
        match = TOKEN.match(source, at)
        if match is None:
            raise SyntaxError(f"cannot read {source[at:]!r} in {source!r}")
        at = match.end()
        kind, value = match.lastgroup, match.group(match.lastgroup)
        if kind == "name" and value.upper() in WORDS:
            kind, value = "word", value.upper()
        found.append((kind, value))
    return found


def negation(value):
    """NOT of three-valued logic."""
    return None if value is None else not value


def conjunction(left, right):
    """AND of three-valued logic."""
    if left is False or right is False:
        return False
    return None if left is None or right is None else True


def disjunction(left, right):
    """OR of three-valued logic."""
    return negation(conjunction(negation(left), negation(right)))


def _strict(function):
    """A function that is NULL where any argument is."""
    return lambda *values: None if None in values else function(*values)


def _divide(left, right):
    """Division of doubles; by zero it is NULL (`NULLIF(x, 0.0)`)."""
    return None if right == 0 else float(left) / float(right)


def _left_over(number, divisor):
    """What truncating division leaves, with the sign of the number."""
    rest = abs(number) % divisor
    return -rest if number < 0 else rest


PRODUCTS = {"*": operator.mul, "/": _divide, "%": _left_over}
FUNCTIONS = {
    "LEAST": _strict(min),
    "GREATEST": _strict(max),
    "ABS": _strict(abs),
    "COALESCE": lambda *values: next((value for value in values if value is not None), None),
    "NULLIF": lambda left, right: None if left is not None and left == right else left,
}


class _Parser:
    """Recursive descent over the grammar above; every method gives a function from a row to a value."""

    def __init__(self, tokens, source):
        self.tokens, self.at, self.source = tokens, 0, source

    def token(self):
        return self.tokens[self.at] if self.at < len(self.tokens) else None

    def take(self, *wanted):
        """The next token if it is one of these words or signs."""
        token = self.token()
        if token is not None and token[0] in ("word", "sign") and token[1] in wanted:
            self.at += 1
            return token[1]
        return None

    def expect(self, wanted):
        if self.take(wanted) is None:
            raise SyntaxError(f"expected {wanted} at {self.token()} in {self.source!r}")

    def disjunction(self):
        left = self.conjunction()
        while self.take("OR"):
            left = _both(disjunction, left, self.conjunction())
        return left

    def conjunction(self):
        left = self.negation()
        while self.take("AND"):
            left = _both(conjunction, left, self.negation())
        return left

    def negation(self):
        if self.take("NOT"):
            return _apply(negation, [self.negation()])
        return self.predicate()

    def predicate(self):
        left = self.sum()
        comparison = self.take(*COMPARISONS)
        if comparison:
            return _both(_strict(COMPARISONS[comparison]), left, self.sum())
        if self.take("IS"):
            negated = self.take("NOT")
            self.expect("NULL")
            return (lambda row: left(row) is not None) if negated else (lambda row: left(row) is None)
        negated = self.take("NOT")
        if self.take("IN"):
            test = self.membership(left)
        elif self.take("BETWEEN"):
            test = self.between(left)
        elif negated:
            raise SyntaxError(f"NOT without IN or BETWEEN in {self.source!r}")
        else:
            return left
        return _apply(negation, [test]) if negated else test

    def membership(self, left):
        """`x IN (a, b)` is `x = a OR x = b`."""
        choices = self.arguments()
        equal = _strict(operator.eq)

        def test(row):
            value, found = left(row), False
            for choice in choices:
                found = disjunction(found, equal(value, choice(row)))
            return found

        return test

    def between(self, left):
        low = self.sum()
        self.expect("AND")
        high = self.sum()
        at_least, at_most = _strict(operator.ge), _strict(operator.le)
        return lambda row: conjunction(at_least(left(row), low(row)), at_most(left(row), high(row)))

    def sum(self):
        left = self.product()
        while sign := self.take("+", "-"):
            left = _both(_strict(SUMS[sign]), left, self.product())
        return left

    def product(self):
        left = self.unary()
        while sign := self.take("*", "/", "%"):
            right = self.divisor() if sign == "%" else self.unary()
            left = _both(_strict(PRODUCTS[sign]), left, right)
        return left

    def divisor(self):
        """A positive whole number that is written out."""
        kind, value = self.token() or ("end", "the end")
        if kind != "number" or not value.isdigit() or int(value) == 0:
            raise SyntaxError(f"% of {value!r} in {self.source!r}")
        return self.literal_or_name()

    def unary(self):
        if self.take("-"):
            return _apply(_strict(operator.neg), [self.unary()])
        return self.primary()

    def primary(self):
        if self.take("("):
            inner = self.disjunction()
            self.expect(")")
            return inner
        if self.take("CASE"):
            return self.case()
        word = self.take("NULL", "TRUE", "FALSE")
        if word:
            constant = {"NULL": None, "TRUE": True, "FALSE": False}[word]
            return lambda row: constant
        return self.literal_or_name()

    def literal_or_name(self):
        kind, value = self.token() or ("end", "the end")
        self.at += 1
        if kind == "number":
            number = int(value) if value.isdigit() else float(value)
            return lambda row: number
        if kind == "text":
            text = value.replace("''", "'")
            return lambda row: text
        if kind != "name":
            raise SyntaxError(f"unexpected {value!r} in {self.source!r}")
        if self.token() == ("sign", "("):
            return _apply(FUNCTIONS[value.upper()], self.arguments())
        return lambda row: row[value]

    def arguments(self):
        self.expect("(")
        found = [self.disjunction()]
        while self.take(","):
            found.append(self.disjunction())
        self.expect(")")
        return found

    def case(self):
        """`CASE WHEN a THEN b ... ELSE c END`; the first condition that is TRUE decides."""
        branches, otherwise = [], lambda row: None
        while self.take("WHEN"):
            condition = self.disjunction()
            self.expect("THEN")
            branches.append((condition, self.disjunction()))
        if self.take("ELSE"):
            otherwise = self.disjunction()
        self.expect("END")
        return lambda row: next((value(row) for condition, value in branches if condition(row) is True), otherwise(row))


def _both(function, left, right):
    return lambda row: function(left(row), right(row))


def _apply(function, arguments):
    return lambda row: function(*(argument(row) for argument in arguments))
