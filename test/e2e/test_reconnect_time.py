# SPDX-License-Identifier: BSD-3-Clause
"""devtools/bench-reconnect.py, and what it finds: a front-end's socket is noticed at once, not at the next look."""

import json
import statistics
import subprocess
import sys

import pytest

from lab import paths

ROUNDS = 5
AWAY_MS = 300  # net_vhost looks once a second
WITHIN_MS = 20
TRIES = 3  # a busy machine may take a moment


def medians(folder, number: int) -> dict[str, dict[str, float]]:
    out = folder / f"{number}.json"
    subprocess.run([sys.executable, paths.repo_root() / "devtools" / "bench-reconnect.py", f"--rounds={ROUNDS}",
                    f"--away={AWAY_MS}", f"--json={out}"], check=True, timeout=120, capture_output=True)
    figures = json.loads(out.read_text(encoding="utf-8"))
    assert set(figures) == {paths.OURS, paths.PEER} and all(len(times) == ROUNDS for times in figures.values())
    return {name: {event: statistics.median(one[event] for one in times) for event in ("connected", "up")}
            for name, times in figures.items()}


@pytest.mark.limit(200)
def test_socket_is_noticed_at_once(folder, ours_only):
    for number in range(TRIES):
        found = medians(folder, number)
        assert found[paths.OURS]["connected"] <= found[paths.OURS]["up"]
        if found[paths.OURS]["connected"] < WITHIN_MS and found[paths.OURS]["up"] < found[paths.PEER]["up"]:
            return
    pytest.fail(f"medians in milliseconds: {found}")
