"""OTP's restart intensity: so many crashes in so many seconds, and a backoff that grows with them."""

from __future__ import annotations

from offbook.actors.restart_intensity import FIRST_DELAY, MAX_DELAY, recent_crashes, restart_delay


def test_only_crashes_within_the_period_count() -> None:
    crashes: tuple[float, ...] = ()
    for now in (0.0, 10.0, 50.0, 61.0):
        crashes = recent_crashes(crashes, now, 60.0)
    assert crashes == (10.0, 50.0, 61.0)
    assert recent_crashes(crashes, 500.0, 60.0) == (500.0,)


def test_backoff_doubles_up_to_its_limit() -> None:
    delays = [restart_delay((0.0,) * crashes) for crashes in range(1, 12)]
    assert delays[:4] == [FIRST_DELAY, 2 * FIRST_DELAY, 4 * FIRST_DELAY, 8 * FIRST_DELAY]
    assert max(delays) == delays[-1] == MAX_DELAY
