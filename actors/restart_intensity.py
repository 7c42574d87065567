"""How often something may crash, and how long to wait before it is started again: OTP's restart intensity."""

from __future__ import annotations

FIRST_DELAY = 0.05
MAX_DELAY = 5.0


def recent_crashes(crashes: tuple[float, ...], now: float, within: float) -> tuple[float, ...]:
    """Return the crashes of the last so many seconds, and one now."""
    return (*(at for at in crashes if now - at < within), now)


def restart_delay(crashes: tuple[float, ...]) -> float:
    """Return the backoff, in seconds, after so many recent crashes."""
    return min(MAX_DELAY, FIRST_DELAY * 2.0 ** (len(crashes) - 1))
