"""What tokens cost: a table of prices per model, read from TOML once. Keeps no accounts and knows no provider."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Self

from offbook.workflows.errors import ConfigurationRefused
from offbook.workflows.money import CURRENCY, MOST_COST, parse_amount
from offbook.workflows.values import Usage

PER_TOKENS = 1_000_000
"""Prices are for so many tokens."""
MODELS_REMEMBERED = 10_000
"""Names of models that were looked up before; a workflow may make up any number of them."""

_CURRENCY = re.compile("[A-Z]{3}")
_WORDS = ("input", "output")


class PricesRefused(ConfigurationRefused):
    """A price table cannot be used; says where, and what is expected there."""

    def __init__(self, source: str, line: int | None, detail: str) -> None:
        self.line = line
        where = f"{source}, line {line}" if line is not None else source
        super().__init__(f"price table {where}: {detail}")


@dataclass(frozen=True, slots=True)
class Price:
    """Billionths of the currency unit for a million tokens."""

    input: int
    output: int

    def cost(self, input_tokens: int, output_tokens: int) -> int:
        """Return what tokens cost, to the nearest billionth."""
        return (self.input * input_tokens + self.output * output_tokens + PER_TOKENS // 2) // PER_TOKENS


class PriceTable:
    """Prices by model: `provider/name`, or the beginning of names and `*`; the longest that fits counts."""

    def __init__(self, prices: Mapping[str, Price], currency: str = CURRENCY) -> None:
        self.currency = currency
        self._exact = {name: price for name, price in prices.items() if not name.endswith("*")}
        beginnings = ((name.removesuffix("*"), price) for name, price in prices.items() if name.endswith("*"))
        self._beginnings = sorted(beginnings, key=lambda each: len(each[0]), reverse=True)
        self._known: dict[str, Price | None] = {}

    @classmethod
    def load(cls, path: Path | None = None) -> Self:
        """Read a file, or the one that comes with Offbook; PricesRefused with the line if it is wrong."""
        if path is None:
            default = files("offbook.nodes").joinpath("prices.toml")
            return cls.parse(default.read_text(encoding="utf-8"), "prices.toml")
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not UTF-8"
            raise PricesRefused(str(path), None, f"cannot be read: {reason}; OFFBOOK_PRICES names it") from None
        return cls.parse(text, str(path))

    @classmethod
    def parse(cls, text: str, source: str = "prices") -> Self:
        """Read a table from TOML: `currency`, and `[models."provider/name"]` with `input` and `output`."""
        try:
            document = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            found = re.search(r"\(at line (\d+), column \d+\)$", str(error))
            detail = str(error)[: found.start()].strip() if found else str(error)
            line = int(found[1]) if found else len(text.splitlines()) or 1
            raise PricesRefused(source, line, f"is no TOML: {detail}") from None
        return cls(**_Reader(text, source).read(document))

    def find(self, model: str) -> Price | None:
        """Return the price of a model; None if the table has none."""
        known = self._known
        if model not in known:
            if len(known) >= MODELS_REMEMBERED:
                known.clear()
            known[model] = self._exact.get(model) or next(
                (price for beginning, price in self._beginnings if model.startswith(beginning)), None
            )
        return known[model]

    def price(self, usage: Usage, model: str | None) -> Usage:
        """Return usage with its cost; `unpriced` without a price, or if no books could keep the cost.

        A cost that whoever reported the usage knows already is kept.
        """
        asked, answered, estimated, cost, unpriced = usage
        if cost or not (asked or answered):
            return usage
        price = self._known.get(model or "")
        if price is None and model is not None:
            price = self.find(model)
        if price is None:
            return Usage(asked, answered, estimated, 0, True)
        cost = price.cost(asked, answered)
        if cost > MOST_COST:
            return Usage(asked, answered, estimated, 0, True)
        # What Usage(...) does, in half the time: every report of a paid attempt comes here.
        return tuple.__new__(Usage, (asked, answered, estimated, cost, unpriced))


class _Reader:
    """Turns a parsed table into prices, and knows the lines of its text."""

    def __init__(self, text: str, source: str) -> None:
        self._lines = text.splitlines()
        self._source = source

    def read(self, document: dict[str, Any]) -> dict[str, Any]:
        for word in document:
            if word not in ("currency", "models"):
                raise self._refused(word, f"{word!r} is no word that is known here; known are currency, models")
        currency = document.get("currency", CURRENCY)
        if not isinstance(currency, str) or not _CURRENCY.fullmatch(currency):
            raise self._refused("currency", 'the currency must be three capital letters: currency = "USD"')
        models = document.get("models", {})
        if not isinstance(models, dict):
            raise self._refused("models", '`models` must be tables: [models."provider/name"]')
        return {"prices": {name: self._price(name, entry) for name, entry in models.items()}, "currency": currency}

    def _price(self, name: str, entry: Any) -> Price:
        if "/" not in name or "*" in name[:-1]:
            detail = f"{name!r} is no model: write provider/name, or a beginning and * (provider/*)"
            raise self._refused(name, detail)
        if not isinstance(entry, dict):
            raise self._refused(name, f'{name!r} must be a table with input and output: [models."{name}"]')
        for word in entry:
            if word not in _WORDS:
                detail = f"{word!r} is no word that is known for {name}; known are input, output"
                raise self._refused(word, detail, after=name)
        return Price(*(self._amount(name, word, entry) for word in _WORDS))

    def _amount(self, name: str, word: str, entry: dict[str, Any]) -> int:
        if word not in entry:
            raise self._refused(name, f'{name} has no {word}: add {word} = "2.50" (for a million tokens)')
        value = entry[word]
        if not isinstance(value, str):
            detail = f'{word} of {name} must be text, so that it is exact: {word} = "{value}"'
            raise self._refused(word, detail, after=name)
        try:
            return parse_amount(value)
        except ValueError as error:
            raise self._refused(word, f"{word} of {name} is {value!r}: {error}", after=name) from None

    def _refused(self, word: str, detail: str, after: str = "") -> PricesRefused:
        start = self._line_of(after, 0) if after else 0
        line = self._line_of(word, start or 0)
        return PricesRefused(self._source, (line if line is not None else start or 0) + 1, detail)

    def _line_of(self, word: str, start: int) -> int | None:
        lines = enumerate(self._lines[start:], start)
        return next((number for number, text in lines if word in text.partition("#")[0]), None)
