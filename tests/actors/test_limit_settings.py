"""Files of limits: read whole, and refused with everything that is wrong, each with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from offbook.actors.limit_settings import NO_LIMITS, Limit, LimitsRefused, read_limits
from offbook.settings import EngineSettings

GOOD = """
[provider.openai]
concurrency = 4
per_minute = 60
tokens_per_minute = 90_000

[provider."my-own"]
each_key = true
per_minute = 5
longest_hold = 20

[user]
concurrency = 10

[user.tier.free]
concurrency = 2

[node_type.llm]
concurrency = 50
"""

BAD = """
[provider.openai]
concurrency = 0
per_minut = 60

[provider.local]
per_minute = "many"
each_key = 1

[user]
concurrency = true
tokens_per_minute = 5

[user.tier]
free = 3

[node_type.lm]
concurrency = 5

[providers.x]
concurrency = 1
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "limits.toml"
    path.write_text(text, "utf-8")
    return path


def test_file_is_read(tmp_path: Path) -> None:
    limits = read_limits(written(tmp_path, GOOD), ("llm", "python"))
    assert limits.providers == {
        "openai": Limit(4, 60, 90_000),
        "my-own": Limit(per_minute=5, each_key=True, longest_hold=20),
    }
    assert limits.node_types == {"llm": Limit(50)}
    assert (limits.of_user("gold"), limits.of_user("free")) == (Limit(10), Limit(2))


def test_everything_that_is_wrong_is_said_at_once_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(LimitsRefused) as refused:
        read_limits(written(tmp_path, BAD), ("llm", "python"))
    assert list(refused.value.problems) == [
        "line 20, providers: there is no table 'providers': did you mean 'provider'?",
        "line 3, provider.openai.concurrency: must be a whole number, 1 or more",
        "line 4, provider.openai.per_minut: is no limit: did you mean 'per_minute'?",
        "line 7, provider.local.per_minute: must be a whole number, 1 or more",
        "line 8, provider.local.each_key: must be true or false",
        "line 17, node_type.lm: there is no node type 'lm': did you mean 'llm'?",
        "line 15, user.tier.free: must be a table",
        "line 11, user.concurrency: must be a whole number, 1 or more",
        "line 12, user.tokens_per_minute: is no limit: did you mean 'per_minute'?",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[provider.openai\n", "is no TOML: "),
        ("user = 3\n", "line 1, user: must be a table"),
        ("[provider]\nopenai = 4\n", "line 2, provider.openai: must be a table"),
        ("user.concurrency = -1\n", "line 1, user.concurrency: must be a whole number, 1 or more"),
        ("[provider.a]\nlongest_hold = -1\n", "line 2, provider.a.longest_hold: must be a number of seconds"),
    ],
)
def test_other_mistakes_are_told(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(LimitsRefused, match=r"limits \(.*limits\.toml\): ") as refused:
        read_limits(written(tmp_path, text))
    assert said in str(refused.value)


def test_file_that_is_not_there_or_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LimitsRefused, match="cannot be read: No such file"):
        read_limits(tmp_path / "none.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(LimitsRefused, match="is no text in UTF-8"):
        read_limits(tmp_path / "binary.toml")


def test_program_may_give_what_would_be_in_a_file() -> None:
    assert read_limits({"user": {"concurrency": 3}}).user == Limit(3)
    with pytest.raises(LimitsRefused, match=r"given to the engine\): user.concurrency: must be"):
        read_limits({"user": {"concurrency": 0}})


def test_nothing_limits_nothing() -> None:
    assert read_limits(None) is NO_LIMITS
    assert read_limits({}) == NO_LIMITS
    assert NO_LIMITS.of_user("any") is None


def test_variable_names_the_file() -> None:
    assert EngineSettings.from_environment({"OFFBOOK_LIMITS": "/etc/limits.toml"}).limits == Path("/etc/limits.toml")
