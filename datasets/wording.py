"""The texts of the example's data set: lines of receipts, pages and labels, drawn from a seeded generator."""

from __future__ import annotations

from random import Random
from typing import Literal, NamedTuple

__all__ = ["Align", "Cell", "label_rows", "page_rows", "receipt_rows"]

Align = Literal["left", "centre", "right"]


class Cell(NamedTuple):
    """One text line: what it says and where it stands in its row."""

    text: str
    align: Align


Row = tuple[Cell, ...]

_SHOPS = ("GREEN CORNER MARKET", "HARBOUR BOOKS", "NORTH STREET BAKERY", "SUNRISE HARDWARE", "THE OLD TEA HOUSE")
_STREETS = ("Market Street", "Harbour Road", "Station Avenue", "Garden Lane", "Mill Square", "Queens Parade")
_TOWNS = ("Norwich", "Hamburg", "Porto", "Utrecht", "Bergen", "Toronto", "Dunedin")
_GOODS = (
    "Apples", "Brown bread", "Butter", "Candles", "Cheddar cheese", "Coffee beans", "Copper wire", "Dark chocolate",
    "Eggs", "Envelopes", "Extension cord 3 m", "Flour", "Garden gloves", "Green tea", "Hand soap", "Honey", "Lamp",
    "Lemon cake", "Matches", "Notebook", "Olive oil", "Orange juice", "Paper towels", "Paint brush", "Pencil set",
    "Potatoes", "Rice", "Screws and washers", "Shampoo", "Sugar", "Tea", "Tomatoes", "Water", "Yoghurt",
)  # fmt: skip
_WORDS = (
    "the", "a", "of", "and", "to", "in", "for", "with", "from", "after", "before", "between", "under", "network",
    "model", "shape", "width", "height", "batch", "image", "device", "memory", "answer", "request", "every", "small",
    "large", "cheap", "measured", "compiled", "padded", "reader", "morning", "river", "station", "garden", "letter",
    "number", "people", "question", "weather", "harbour", "bridge", "simple", "together", "language", "experiment",
    "summer", "winter", "because", "through", "another", "without", "quick", "careful", "written", "machine",
)  # fmt: skip
_LABELS = ("SALE", "NEW", "FRAGILE", "THIS SIDE UP", "EXIT", "Platform", "Fresh today", "Room", "Handle with care")


def receipt_rows(rng: Random, count: int) -> list[Row]:
    """Return ``count`` rows of a receipt: a head, articles with their prices, and totals."""
    head: list[Row] = [_centred(rng.choice(_SHOPS)), _centred(f"{rng.randint(1, 240)} {rng.choice(_STREETS)}")]
    head += [_centred(rng.choice(_TOWNS)), _pair(f"Date: {_date(rng)}", f"{rng.randint(8, 21)}:{rng.randint(10, 59)}")]
    head.append(_left(f"Invoice No: {rng.randint(10_000, 99_999_999)}"))
    totals = [_pair(name, _amount(rng, 300)) for name in ("Subtotal", "Tax 7%", "TOTAL", "CASH", "CHANGE")]
    totals.append(_centred(rng.choice(("Thank you", "Please come again", "Goods sold are not returnable"))))
    articles = [_article(rng) for _ in range(max(1, count - len(head) - len(totals)))]
    return (head + articles + totals)[:count]


def page_rows(rng: Random, count: int, characters: int) -> list[Row]:
    """Return ``count`` rows of running text, at most ``characters`` long, in paragraphs under a heading."""
    rows = [_centred(_sentence(rng, characters // 2).rstrip(".").title())]
    while len(rows) < count:
        rows += [_left(_words(rng, characters)) for _ in range(rng.randint(2, 6))]
        rows.append(_left(_sentence(rng, rng.randint(characters // 4, characters))))
        if rng.random() < 0.3:
            rows.append((Cell(f"Page {rng.randint(1, 400)}", "right"),))
    return rows[:count]


def label_rows(rng: Random, count: int) -> list[Row]:
    """Return ``count`` rows of a label or sign: few words and prices."""
    makers = (lambda: rng.choice(_LABELS), lambda: _amount(rng, 99), lambda: rng.choice(_GOODS), lambda: _date(rng))
    return [_centred(rng.choice(makers)()) for _ in range(count)]


def _article(rng: Random) -> Row:
    goods = rng.choice(_GOODS)
    if rng.random() < 0.4:
        goods = f"{rng.randint(2, 12)} pcs {goods}"
    return _pair(goods, _amount(rng, 80))


def _words(rng: Random, characters: int) -> str:
    text = rng.choice(_WORDS)
    while len(longer := f"{text} {rng.choice(_WORDS)}") <= characters:
        text = longer
    return text


def _sentence(rng: Random, characters: int) -> str:
    return _words(rng, max(8, characters - 1)).capitalize() + "."


def _amount(rng: Random, most: int) -> str:
    return f"{rng.randint(0, most)}.{rng.randint(0, 99):02d}"


def _date(rng: Random) -> str:
    return f"{rng.randint(1, 28):02d}/{rng.randint(1, 12):02d}/20{rng.randint(15, 29)}"


def _left(text: str) -> Row:
    return (Cell(text, "left"),)


def _centred(text: str) -> Row:
    return (Cell(text, "centre"),)


def _pair(left: str, right: str) -> Row:
    return (Cell(left, "left"), Cell(right, "right"))
