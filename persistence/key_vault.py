"""Provider keys sealed under master keys, and opened again. Stores nothing, and shows neither kind of key."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from offbook.workflows.key_errors import KeyUnreadable, MasterKeyMissing, MasterKeyRefused

if TYPE_CHECKING:
    from cryptography.fernet import MultiFernet

MASTER_KEY = "OFFBOOK_MASTER_KEY"
MASTER_KEY_FILE = "OFFBOOK_MASTER_KEY_FILE"


class KeyVault:
    """Seals with the first of its master keys and opens with any of them; without one it does neither."""

    def __init__(self, masters: Sequence[tuple[str, str]] = ()) -> None:
        """Take (source, master key) pairs; MasterKeyRefused, which names the source, if one is no master key."""
        self._fernet = _fernet(masters) if masters else None

    @property
    def has_master(self) -> bool:
        return self._fernet is not None

    def seal(self, user_id: str, provider: str, key: str) -> bytes:
        """Seal the key of a user for a provider; MasterKeyMissing without a master key."""
        if self._fernet is None:
            raise MasterKeyMissing
        # Whose it is, is sealed with it: a row that is moved to another user opens for nobody.
        return self._fernet.encrypt(orjson.dumps([user_id, provider, key]))

    def open(self, user_id: str, provider: str, sealed: bytes) -> str:
        """Return the key; KeyUnreadable if no master key fits, or it was sealed for another place."""
        if self._fernet is not None:
            from cryptography.fernet import InvalidToken

            try:
                owner, of_provider, key = orjson.loads(self._fernet.decrypt(sealed))
            except (InvalidToken, ValueError, TypeError):
                pass
            else:
                if (owner, of_provider) == (user_id, provider):
                    return str(key)
        # Raised out here, so that no exception of the cipher hangs on to it.
        raise KeyUnreadable(user_id, provider)

    def reseal(self, user_id: str, provider: str, sealed: bytes) -> bytes:
        """Seal a stored key again, under the first master key."""
        return self.seal(user_id, provider, self.open(user_id, provider, sealed))


def read_masters(variable: str | None, file: Path | None) -> list[tuple[str, str]]:
    """Return the master keys of OFFBOOK_MASTER_KEY, commas between, then those of the file, one a line."""
    found = [(MASTER_KEY, each) for each in _words((variable or "").split(","))]
    if file is not None:
        try:
            lines = file.read_text(encoding="ascii").splitlines()
        except OSError as error:
            raise MasterKeyRefused(MASTER_KEY_FILE, f"{file} cannot be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise MasterKeyRefused(MASTER_KEY_FILE, f"{file} holds no master key") from None
        in_file = [(MASTER_KEY_FILE, each) for each in _words(lines)]
        if not in_file:
            raise MasterKeyRefused(MASTER_KEY_FILE, f"{file} is empty")
        found += in_file
    return found


def new_master_key() -> str:
    """Make a master key."""
    from cryptography.fernet import Fernet

    return Fernet.generate_key().decode()


def _words(texts: Sequence[str]) -> list[str]:
    return [text.strip() for text in texts if text.strip()]


def _fernet(masters: Sequence[tuple[str, str]]) -> MultiFernet:
    # It takes a while to import, and most workers store no keys.
    from cryptography.fernet import Fernet, MultiFernet

    fernets = []
    for place, (source, master) in enumerate(masters, start=1):
        try:
            fernets.append(Fernet(master))
        except ValueError:
            refused = MasterKeyRefused(source, f"master key {place} of {len(masters)} is none")
        else:
            continue
        # Raised out here: the decoder's own words may repeat it.
        raise refused
    return MultiFernet(fernets)
