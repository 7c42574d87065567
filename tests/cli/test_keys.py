"""Keys from the terminal, in real processes: read from standard input, never shown, sealed under a new master."""

from __future__ import annotations

import asyncio
import json
import os
import pty
from contextlib import suppress
from pathlib import Path

from offbook.persistence.key_vault import new_master_key
from tests.cli.conftest import LIMIT_SECONDS, Ended, Run, Spawn, ended
from tests.web.dummy_service import DummyService

KEY = "sk-typed-and-never-shown"
PROVIDERS = '{"fake": {"base_url": "http://127.0.0.1:9/v1", "requires_key": true}}'
HERE = ("--user", "ada", "--data-dir", "data")


async def typed(spawn: Spawn, text: str, *arguments: str, **variables: str) -> Ended:
    """Run `offbook ...` with a text on its standard input."""
    ours, theirs = os.pipe()
    process = await spawn(*arguments, stdin=ours, **variables)
    os.close(ours)
    os.write(theirs, text.encode())
    os.close(theirs)
    return await ended(process)


async def test_key_is_stored_listed_and_deleted(offbook: Run, spawn: Spawn, tmp_path: Path) -> None:
    os.mkdir(tmp_path / "data")
    settings = {"OFFBOOK_PROVIDERS": PROVIDERS, "OFFBOOK_MASTER_KEY": new_master_key()}
    stored = await typed(spawn, f"{KEY}\n", "keys", "set", "fake", *HERE, **settings)
    assert (stored.code, stored.out, stored.err) == (0, "stored a key of ada for fake\n", "")
    listed = await offbook("keys", "list", *HERE, "--json", **settings)
    assert [each["provider"] for each in json.loads(listed.out)["keys"]] == ["fake"]
    assert KEY not in listed.out + listed.err
    assert b"".join(path.read_bytes() for path in (tmp_path / "data").iterdir()).count(KEY.encode()) == 0
    assert (await offbook("keys", "delete", "fake", *HERE, **settings)).code == 0
    again = await offbook("keys", "delete", "fake", *HERE, **settings)
    assert again.code == 3
    assert "no key" in again.err


async def test_key_is_typed_at_a_prompt_that_does_not_show_it(
    spawn: Spawn, server: str, service: DummyService
) -> None:
    ours, theirs = pty.openpty()
    process = await spawn("keys", "set", "fake", "--user", "ada", "--server", server, stdin=theirs)
    os.close(theirs)
    assert process.stderr is not None
    async with asyncio.timeout(LIMIT_SECONDS):
        # The end of the prompt: by then the terminal shows nothing of what is typed.
        assert await process.stderr.readexactly(1) == b" "
    os.write(ours, f"{KEY}\n".encode())
    done = await ended(process)
    shown = b""
    with suppress(OSError):
        # Nobody holds the other end any more: what was echoed is there, or the read fails.
        os.set_blocking(ours, False)
        shown = os.read(ours, 1000)
    os.close(ours)
    assert KEY.encode() not in shown
    assert done.code == 0
    assert service.keys.kept == {("ada", "fake"): KEY}
    assert KEY not in done.out + done.err


async def test_keys_are_sealed_anew_under_a_new_master_key(offbook: Run, spawn: Spawn, tmp_path: Path) -> None:
    os.mkdir(tmp_path / "data")
    made = [(await offbook("keys", "master")).out.strip() for _ in range(2)]
    old, new = made
    assert len({*made, ""}) == 3
    (tmp_path / "masters").write_text(f"{new}\n{old}\n")
    first = {"OFFBOOK_PROVIDERS": PROVIDERS, "OFFBOOK_MASTER_KEY": old}
    both = {"OFFBOOK_PROVIDERS": PROVIDERS, "OFFBOOK_MASTER_KEY_FILE": "masters"}
    assert (await typed(spawn, KEY, "keys", "set", "fake", *HERE, **first)).code == 0
    unopened = await offbook("keys", "rotate", "--data-dir", "data", OFFBOOK_MASTER_KEY=new)
    assert (unopened.code, unopened.out) == (1, "sealed 0 keys under the first master key\n")
    assert "that of ada for fake" in unopened.err
    done = await offbook("keys", "rotate", "--data-dir", "data", **both)
    assert (done.code, done.out) == (0, "sealed 1 keys under the first master key\n")
    alone = await offbook("keys", "rotate", "--data-dir", "data", OFFBOOK_MASTER_KEY=new)
    assert alone.code == 0
    for each in (unopened, done, alone):
        assert not any(secret in each.out + each.err for secret in (KEY, old, new))


async def test_what_is_missing_is_said(offbook: Run, spawn: Spawn, tmp_path: Path) -> None:
    os.mkdir(tmp_path / "data")
    nobody = await typed(spawn, KEY, "keys", "set", "fake", "--data-dir", "data")
    assert (nobody.code, "--user" in nobody.err) == (2, True)
    no_key = await typed(spawn, "\n", "keys", "set", "fake", *HERE)
    assert (no_key.code, "standard input" in no_key.err) == (2, True)
    no_master = await typed(spawn, KEY, "keys", "set", "fake", *HERE, OFFBOOK_PROVIDERS=PROVIDERS)
    assert (no_master.code, "offbook keys master" in no_master.err) == (1, True)
    wrong = await offbook("keys", "list", *HERE, OFFBOOK_MASTER_KEY="a-passphrase-of-mine")
    assert (wrong.code, "a-passphrase-of-mine" in wrong.err) == (2, False)
    settings = {"OFFBOOK_PROVIDERS": PROVIDERS, "OFFBOOK_MASTER_KEY": new_master_key()}
    unknown = await typed(spawn, KEY, "keys", "set", "fakr", *HERE, **settings)
    assert (unknown.code, "fake" in unknown.err) == (1, True)
    for each in (nobody, no_key, no_master, wrong, unknown):
        assert KEY not in each.out + each.err
        assert "Traceback" not in each.err


async def test_commands_run_side_by_side_with_a_server(
    offbook: Run, spawn: Spawn, server: str, service: DummyService
) -> None:
    service.keys.kept["ada", "fake"] = KEY
    listed, sealed = await asyncio.gather(
        offbook("keys", "list", "--user", "ada", "--server", server), offbook("keys", "rotate", "--server", server)
    )
    assert listed.out.split() == ["provider", "since", "fake", "2026-11-23T16:32:05.123Z"]
    assert sealed.out == "sealed 1 keys under the first master key\n"


async def test_execution_goes_on_as_another_user_if_that_is_meant(
    offbook: Run, server: str, service: DummyService
) -> None:
    execution = service.add("ada", status="failed")
    here = ("resume", execution.execution_id, "--detach", "--server", server)
    refused = await offbook(*here, "--user", "eve")
    assert (refused.code, execution.user.id) == (1, "ada")
    nobody = await offbook(*here, "--as-other-user")
    assert (nobody.code, "--user" in nobody.err) == (2, True)
    done = await offbook(*here, "--user", "eve", "--role", "editor", "--tier", "gold", "--as-other-user")
    assert done.code == 0
    assert execution.user.to_json() == {"id": "eve", "role": "editor", "tier": "gold"}
