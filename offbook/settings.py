"""Settings of an engine: from code, or from OFFBOOK_* variables. Reads nothing after it is built."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from offbook.workflows.errors import ConfigurationRefused
from offbook.workflows.values import JsonObject


class SettingRefused(ConfigurationRefused):
    """A setting has a value that it cannot have."""

    def __init__(self, name: str, value: str, expected: str) -> None:
        self.name = name
        super().__init__(f"{name}={value!r}: expected {expected}")


_PATHS = ("data_dir", "prices", "master_key_file", "limits")
_WORDS = {"on": True, "true": True, "yes": True, "1": True, "off": False, "false": False, "no": False, "0": False}


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """How an engine runs. Each field can be given as OFFBOOK_<FIELD>; paths also as text."""

    data_dir: Path = Path("offbook-data")
    """Folder that this process owns: database, journal, worker id."""
    database: str | None = None
    """URL of the database; None: SQLite in the data folder."""
    worker_id: str | None = None
    """Which worker this is, for one whose data folder does not survive it; None: what the data folder says."""
    journal_url: str | None = None
    """URL of the journal, for workers whose disk does not survive them; None: SQLite in the data folder."""
    journal_budget: int = 4 * 1024**3
    """Bytes of journal past which new executions are refused that would need it."""
    drain_grace: float = 10.0
    """Seconds that calls in flight have to finish when the worker is stopped."""
    max_live: int = 10_000
    """Executions that run at once; more wait in a queue."""
    max_queued: int = 10_000
    """Executions that wait; more are refused with over-capacity."""
    max_calls: int = 1000
    """Attempts at nodes that are under way at once."""
    retain_seconds: float = 60.0
    """How long an execution at rest is answered for from memory."""
    retain_count: int = 1000
    """How many executions at rest are kept in memory at most."""
    providers: JsonObject = field(default_factory=dict)
    """Model providers: {name: {base_url, ...}}; `scripted` is always there."""
    prices: Path | None = None
    """TOML file of what models cost; None: the one that comes with Offbook."""
    master_key: str | None = field(default=None, repr=False)
    """Master keys that keys of users are stored under, commas between; the first seals, all open."""
    master_key_file: Path | None = None
    """A file with master keys, one a line, after those of `master_key`."""
    shared_keys: bool = True
    """Whether users without a key of their own use the operator's (OFFBOOK_KEY_<PROVIDER>)."""
    limits: Path | JsonObject | None = None
    """How many calls may be made per provider, user and node type: a TOML file, or what would be in one."""
    imports: tuple[str, ...] = ()
    """Modules to import at start, which register functions and node types."""

    def __post_init__(self) -> None:
        for name in _PATHS:
            if isinstance(given := getattr(self, name), str):
                object.__setattr__(self, name, Path(given))

    @property
    def database_url(self) -> str:
        return self.database or f"sqlite:///{self.data_dir.resolve() / 'offbook.db'}"

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None, **given: Any) -> EngineSettings:
        """Read OFFBOOK_* variables; arguments that are not None win over them."""
        environment = os.environ if environment is None else environment
        values: dict[str, Any] = {}
        for each in fields(cls):
            variable = f"OFFBOOK_{each.name.upper()}"
            if given.get(each.name) is not None:
                values[each.name] = given[each.name]
            elif environment.get(variable):
                values[each.name] = _parse(each.name, variable, environment[variable])
        return cls(**values)


def _parse(name: str, variable: str, text: str) -> Any:
    try:
        match name:
            case "shared_keys":
                return _WORDS[text.strip().lower()]
            case "max_live" | "max_queued" | "journal_budget" | "max_calls" | "retain_count":
                return int(text)
            case "retain_seconds" | "drain_grace":
                return float(text)
            case "providers":
                return json.loads(text)
            case "worker_id" if not re.fullmatch(r"[\w.:-]{1,64}", text, re.ASCII):
                raise SettingRefused(variable, text, "at most 64 letters, digits, `_`, `.`, `:` and `-`")
            case "imports":
                return tuple(part.strip() for part in text.split(",") if part.strip())
            case _:
                return text
    except KeyError:
        raise SettingRefused(variable, text, "on or off") from None
    except ValueError:
        expected = "a JSON object" if name == "providers" else "a number"
        raise SettingRefused(variable, text, expected) from None
