"""What wrk prints is read right, and whoever lacks it is told how to get it."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.wrk import Load, WrkFailed, load, read_output

OUTPUT = """Running 3s test @ http://127.0.0.1:8000
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     2.71ms    1.03ms  21.55ms   93.06%
    Req/Sec    23.91k     1.60k   26.31k    76.67%
  Latency Distribution
     50%  512.00us
     75%    2.94ms
     90%    3.39ms
     99%    1.02s
  71391 requests in 3.00s, 536.16MB read
Requests/sec:  23772.01
Transfer/sec:    178.53MB
"""


def test_rate_and_latencies_are_read_in_their_units() -> None:
    assert read_output(OUTPUT) == Load(23772.01, 0.512, 1020.0)


@pytest.mark.parametrize(
    "line", ["  Non-2xx or 3xx responses: 12", "  Socket errors: connect 3, read 0, write 0, timeout 0"]
)
def test_refused_requests_are_no_measurement(line: str) -> None:
    with pytest.raises(WrkFailed, match=line.strip()):
        read_output(OUTPUT.replace("Requests/sec:", f"{line}\nRequests/sec:"))


async def test_without_wrk_it_is_told_how_to_install_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(WrkFailed, match="apt-get install wrk"):
        await load("http://127.0.0.1:9", tmp_path / "paths", connections=1, seconds=1)
