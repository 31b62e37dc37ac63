"""Exact whole-number expressions of the variables in a normal form: sums of products of variables and roundings."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any, TypeAlias

from scaling_tasks.analysis.refusal import Refused
from scaling_tasks.shapes.expressions import Expression, as_text

__all__ = ["Length", "Rounding", "as_length", "product_of"]

_MOST_TERMS, _MOST_FACTORS, _LONGEST_KEY = 1 << 10, 1 << 6, 1 << 14
_ENDLESS = "how long an axis is takes more words than any model means"

Number: TypeAlias = "int | Fraction"


@dataclass(frozen=True)
class Rounding:
    """What a normal form takes as a unit besides variables: ``//``, ``min`` or ``max`` of two lengths."""

    operator: str
    left: Length
    right: Length

    @cached_property
    def key(self) -> str:
        """A text that sorts and tells apart."""
        return f"({self.operator} {self.left.key} {self.right.key})"


Atom: TypeAlias = "str | Rounding"
Product: TypeAlias = "tuple[Atom, ...]"


def _key(atom: Atom) -> str:
    return atom if isinstance(atom, str) else atom.key


@dataclass(frozen=True)
class Length:
    """A sum of products; two equal normal forms are equal numbers at all sizes, the converse need not hold.

    Attributes:
        terms: Products with their factors, in order; a product is a sorted tuple of atoms, empty for the constant.
    """

    terms: tuple[tuple[Product, Number], ...]

    @cached_property
    def key(self) -> str:
        """A text that sorts and tells apart."""
        return "+".join(f"{factor}*{'*'.join(map(_key, product))}" for product, factor in self.terms)

    @cached_property
    def constant(self) -> Number | None:
        """The number, None where the length depends on a variable."""
        if not self.terms:
            return 0
        return self.terms[0][1] if len(self.terms) == 1 and not self.terms[0][0] else None

    @cached_property
    def is_whole(self) -> bool:
        """Whether no factor is a fraction."""
        return self._denominator == 1

    @cached_property
    def variables(self) -> frozenset[str]:
        """Names of the variables it depends on."""
        found: set[str] = set()
        for product, _ in self.terms:
            for atom in product:
                found |= {atom} if isinstance(atom, str) else atom.left.variables | atom.right.variables
        return frozenset(found)

    def __add__(self, other: Length | int) -> Length:
        terms = dict(self.terms)
        for product, factor in as_length(other).terms:
            terms[product] = terms.get(product, 0) + factor
        return _normal(terms)

    def __neg__(self) -> Length:
        return Length(tuple((product, -factor) for product, factor in self.terms))

    def __sub__(self, other: Length | int) -> Length:
        return self + (-as_length(other))

    def __mul__(self, other: Length | Number) -> Length:
        terms: dict[Product, Number] = {}
        for left, one in self.terms:
            for right, two in as_length(other).terms:
                product = tuple(sorted((*left, *right), key=_key))
                terms[product] = terms.get(product, 0) + one * two
        return _normal(terms)

    def __floordiv__(self, other: Length | int) -> Length:
        divisor = as_length(other)
        if (number := divisor.constant) is not None:
            return _floor(self * Fraction(1, 1) if number == 1 else self * (Fraction(1) / Fraction(number)))
        exact = self.divided(divisor)
        return exact if exact is not None else _atom(Rounding("//", self, divisor))

    def __mod__(self, other: Length | int) -> Length:
        return self - (self // other) * as_length(other)

    def floor(self) -> Length:
        """Return the largest whole number that is not above it."""
        return _floor(self)

    def ceil(self) -> Length:
        """Return the least whole number that is not below it."""
        return -_floor(-self)

    def divided(self, other: Length) -> Length | None:
        """Return the quotient where division by a single product leaves no rest at any size, else None."""
        if self == other:
            return as_length(1)
        if len(other.terms) != 1:
            return self._divided_by_sum(other)
        (below, divisor), terms = other.terms[0], {}
        for product, factor in self.terms:
            rest = list(product)
            for atom in below:
                if atom not in rest:
                    return None
                rest.remove(atom)
            quotient = Fraction(factor) / Fraction(divisor)
            if quotient.denominator != 1:
                return None
            terms[tuple(rest)] = int(quotient)
        return _normal(terms)

    def shared(self, other: Length) -> Length:
        """Return the largest product that divides every term of both: ``4*n`` of ``4*n*t`` and ``8*n``."""
        terms = (*self.terms, *other.terms)
        if not terms:
            return as_length(1)
        atoms = Counter(terms[0][0])
        for product, _ in terms:
            atoms &= Counter(product)
        factor = math.gcd(*(int(factor) for _, factor in terms)) if self.is_whole and other.is_whole else 1
        return Length(((tuple(sorted(atoms.elements(), key=_key)), factor),))

    def _divided_by_sum(self, other: Length) -> Length | None:
        """Divide by a sum as one divides by hand, leading product first."""
        rest, quotient = self, as_length(0)
        for _ in range(8):
            if not rest.terms:
                return quotient
            lead = Length((rest.terms[-1],)).divided(Length((other.terms[-1],)))
            if lead is None:
                return None
            quotient, rest = quotient + lead, rest - lead * other
        return None

    def evaluate(self, values: Mapping[str, Any]) -> Any:
        """Return the value at whole numbers or arrays of them; ``//`` rounds down.

        Raises:
            KeyError: A variable has no value.
        """
        total: Any = 0
        scale = self._denominator
        for product, factor in self.terms:
            term: Any = int(factor * scale)
            for atom in product:
                term = term * (values[atom] if isinstance(atom, str) else _rounded(atom, values))
            total = total + term
        return total if scale == 1 else total // scale

    @cached_property
    def _denominator(self) -> int:
        return math.lcm(*(Fraction(factor).denominator for _, factor in self.terms))

    def expression(self) -> Expression:
        """Return the same as a tree that a document can hold.

        A fraction that is whole at all sizes is written with one division.
        """
        scale = self._denominator
        whole: Expression | None = None
        for product, factor in reversed(self.terms):
            term = _product(product, int(factor * scale))
            if whole is None:
                whole = term
            elif isinstance(term, int) and term < 0:
                whole = ("-", whole, -term)
            else:
                whole = ("+", whole, term)
        if whole is None:
            return 0
        return whole if scale == 1 else ("//", whole, scale)

    def __str__(self) -> str:
        return as_text(self.expression())

    __repr__ = __str__


def as_length(value: Length | Expression | Fraction | Any) -> Length:
    """Return a number, a variable's name or an expression tree as a length."""
    if isinstance(value, Length):
        return value
    if isinstance(value, str):
        return Length((((value,), 1),))
    if isinstance(value, (tuple, list)):
        operator, left, right = value[0], as_length(value[1]), as_length(value[2])
        return combine(operator, left, right)
    number = _whole(Fraction(value)) if isinstance(value, Fraction) else _number(value)
    return Length((((), number),)) if number else Length(())


def _number(value: Any) -> Number:
    whole = int(value)
    return whole if whole == value else Fraction(float(value))


def combine(operator: str, left: Length, right: Length) -> Length:
    """Return the length that an operator of the expression trees gives."""
    if operator == "+":
        return left + right
    if operator == "-":
        return left - right
    if operator == "*":
        return left * right
    if operator == "//":
        return left // right
    return smaller(left, right) if operator == "min" else larger(left, right)


def product_of(lengths: Iterable[Length]) -> Length:
    """Return the product of lengths, 1 of none."""
    return math.prod(lengths, start=as_length(1))


def smaller(left: Length, right: Length) -> Length:
    """Return the minimum."""
    return _extreme("min", left, right, min)


def larger(left: Length, right: Length) -> Length:
    """Return the maximum."""
    return _extreme("max", left, right, max)


def _extreme(operator: str, left: Length, right: Length, choose: Any) -> Length:
    if left == right:
        return left
    if (left - right).constant is not None:
        return left if choose((left - right).constant, 0) != 0 else right
    one, two = sorted((left, right), key=lambda length: length.key)
    return _atom(Rounding(operator, one, two))


def _atom(atom: Atom) -> Length:
    if len(_key(atom)) > _LONGEST_KEY:
        raise Refused(_ENDLESS)
    return Length((((atom,), 1),))


def _normal(terms: Mapping[Product, Number]) -> Length:
    """Return the sum of products, sorted.

    Raises:
        Refused: It is longer than any that a model means: one that doubles itself has no end.
    """
    if len(terms) > _MOST_TERMS or any(len(product) > _MOST_FACTORS for product in terms):
        raise Refused(_ENDLESS)
    kept = [(product, _whole(factor)) for product, factor in terms.items() if factor]
    return Length(tuple(sorted(kept, key=lambda term: (len(term[0]), [_key(atom) for atom in term[0]]))))


def _whole(number: Number) -> Number:
    return int(number) if isinstance(number, Fraction) and number.denominator == 1 else number


def _floor(length: Length) -> Length:
    """Round down: whole parts leave the rounding, common divisors cancel, a rounding of a rounding becomes one."""
    whole: dict[Product, Number] = {}
    rest: dict[Product, Fraction] = {}
    for product, factor in length.terms:
        part = math.floor(factor)
        whole[product] = part
        if factor != part:
            rest[product] = Fraction(factor) - part
    outside = _normal(whole)
    scale = math.lcm(*(factor.denominator for factor in rest.values()))
    numerator = {product: int(factor * scale) for product, factor in rest.items()}
    constant = numerator.pop((), 0)
    if not numerator:
        return outside
    divisor = math.gcd(scale, *numerator.values())
    numerator = {product: factor // divisor for product, factor in numerator.items()}
    constant, scale = constant // divisor, scale // divisor
    if scale == 1:
        return outside + _normal(numerator) + constant
    ((product, factor), *others) = numerator.items()
    if not others and factor == 1 and len(product) == 1 and isinstance(product[0], Rounding):
        inner = product[0]
        if inner.operator == "//" and inner.right.constant is not None:
            below = int(inner.right.constant)
            return outside + _floor((inner.left + constant * below) * Fraction(1, below * scale))
    return outside + _atom(Rounding("//", _normal({**numerator, (): constant}), as_length(scale)))


def _rounded(atom: Rounding, values: Mapping[str, Any]) -> Any:
    left, right = atom.left.evaluate(values), atom.right.evaluate(values)
    if atom.operator == "//":
        return left // right
    # Without numpy, and for whole numbers and arrays alike.
    gap = abs(left - right)
    return (left + right - gap) // 2 if atom.operator == "min" else (left + right + gap) // 2


def _product(product: Product, factor: int) -> Expression:
    whole: Expression | None = None
    for atom in product:
        part: Expression = (
            atom if isinstance(atom, str) else (atom.operator, atom.left.expression(), atom.right.expression())
        )
        whole = part if whole is None else ("*", whole, part)
    if whole is None:
        return factor
    return whole if factor == 1 else ("*", factor, whole)
