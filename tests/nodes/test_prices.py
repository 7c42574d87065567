"""The price table: what fits a model, exact amounts, and files that are refused with the line."""

from __future__ import annotations

from pathlib import Path

import pytest

from offbook.nodes.prices import Price, PricesRefused, PriceTable
from offbook.workflows.values import Usage

TABLE = """\
currency = "EUR"

[models."openai/gpt-4o"]
input = "2.50"
output = "10.00"

[models."local/*"]
input = "0"
output = "0"

[models."local/big*"]
input = "0.001"
output = "1"
"""


def test_cost_is_exact_in_billionths() -> None:
    usage = PriceTable.parse(TABLE).price(Usage(1_001, 3), "openai/gpt-4o")
    assert usage == Usage(1_001, 3, cost=1_001 * 2_500 + 3 * 10_000)


def test_a_fraction_of_a_billionth_is_rounded_to_the_nearest() -> None:
    assert [Price(600_000, 0).cost(tokens, 0) for tokens in (0, 1, 2, 10)] == [0, 1, 1, 6]


def test_longest_beginning_that_fits_counts_and_a_whole_name_before_it() -> None:
    table = PriceTable.parse(TABLE)
    assert table.find("local/small") == Price(0, 0)
    assert table.find("local/bigger") == Price(1_000_000, 1_000_000_000)
    assert table.find("openai/gpt-4o-mini") is None
    assert table.currency == "EUR"


@pytest.mark.parametrize("model", ["nobody/knows", None])
def test_tokens_without_a_price_are_marked_so(model: str | None) -> None:
    assert PriceTable.parse(TABLE).price(Usage(1, 1), model) == Usage(1, 1, unpriced=True)


def test_tokens_that_cost_more_than_books_can_keep_have_no_price() -> None:
    table = PriceTable({"a/*": Price(10**18, 10**18)})
    assert table.price(Usage(10**9, 1), "a/b") == Usage(10**9, 1, unpriced=True)


def test_free_tokens_are_priced_at_nothing() -> None:
    assert PriceTable.parse(TABLE).price(Usage(1, 1), "local/small") == Usage(1, 1)


def test_no_tokens_need_no_price() -> None:
    assert PriceTable.parse(TABLE).price(Usage(), None) == Usage()


def test_cost_that_the_node_knows_is_kept() -> None:
    assert PriceTable.parse(TABLE).price(Usage(5, cost=7), None) == Usage(5, cost=7)


def test_own_table_prices_known_models_and_leaves_scripted_ones_without() -> None:
    table = PriceTable.load()
    assert table.find("openai/gpt-4o-mini") == Price(150_000_000, 600_000_000)
    assert table.find("scripted/writer") is None


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ('currency = "USD"\n[models."a/b"]\ninput = "1"\noutput = \n', 4, "is no TOML"),
        ('currency = "dollars"\n', 1, "three capital letters"),
        ('[models."a/b"]\ninput = "1"\n', 1, 'a/b has no output: add output = "2.50"'),
        ('[models."a/b"]\ninput = "1"\noutput = "cheap"\n', 3, "output of a/b is 'cheap'"),
        ('[models."c/d"]\ninput = "1"\noutput = "1"\n[models."a/b"]\ninput = 1.5\noutput = "1"\n', 5, "must be text"),
        ('[models."a/b"]\ninput = "-1"\noutput = "1"\n', 2, "not negative"),
        ('[models."ab"]\ninput = "1"\noutput = "1"\n', 1, "'ab' is no model"),
        ('[models."a/b"]\ninput = "1"\noutput = "1"\ncached = "1"\n', 4, "'cached' is no word"),
        ('\nmodel = "a/b"\n', 2, "'model' is no word"),
        ('[models]\n"a/b" = "1.50"\n', 2, "must be a table"),
    ],
)
def test_bad_table_is_refused_with_its_line(text: str, line: int, said: str) -> None:
    with pytest.raises(PricesRefused) as refused:
        PriceTable.parse(text, "my.toml")
    assert f"my.toml, line {line}: " in str(refused.value)
    assert said in str(refused.value)


def test_file_that_is_not_there_is_refused_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(PricesRefused, match=r"gone\.toml: cannot be read: No such file"):
        PriceTable.load(tmp_path / "gone.toml")
