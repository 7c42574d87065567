"""What can be wrong with provider keys and with the master keys that seal them. No class holds or shows a key."""

from __future__ import annotations

from offbook.workflows.errors import OffbookError


class MasterKeyMissing(OffbookError):
    """A key is to be stored, and there is no master key to seal it with."""

    def __init__(self) -> None:
        super().__init__(
            "keys are stored only under a master key, and this worker has none: set OFFBOOK_MASTER_KEY to what "
            "`offbook keys master` prints, or OFFBOOK_MASTER_KEY_FILE to a file with it, and start the worker again"
        )


class MasterKeyRefused(OffbookError):
    """A master key cannot be read, or is none."""

    def __init__(self, source: str, detail: str) -> None:
        self.source = source
        """The variable or file that it came from."""
        super().__init__(f"{source}: {detail}; `offbook keys master` makes one")


class KeyUnreadable(OffbookError):
    """A stored key was sealed with a master key that this worker does not have, or is damaged."""

    def __init__(self, user_id: str, provider: str) -> None:
        self.user_id = user_id
        self.provider = provider
        super().__init__(
            f"the stored key of the user {user_id} for the provider {provider} cannot be read with any master key"
        )


class KeyNotFound(OffbookError):
    """A user has no key for a provider."""

    def __init__(self, user_id: str, provider: str) -> None:
        self.user_id = user_id
        self.provider = provider
        super().__init__(f"the user {user_id} has no key for the provider {provider!r}: ask for their list")


class KeysKeptElsewhere(OffbookError):
    """This worker asks a resolver of its application for keys, and so stores none."""

    def __init__(self) -> None:
        super().__init__("this worker gets its keys from the application that runs it: store them there")


class UserNotFound(OffbookError):
    """There is nothing of this user for the caller."""

    def __init__(self, user_id: str) -> None:
        self.user_id = user_id
        super().__init__(f"there is nothing of the user {user_id!r} here: users see and change only what is theirs")
