# SPDX-License-Identifier: BSD-3-Clause
"""The tools the end-to-end tests stand on: would they notice, and do they clean up?"""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lab import paths, pcap
from lab.process import Process, ProcessError
from lab.testpmd import PROMPT

PACKETS = pcap.make_packets([64, 1500], 10)


def _flipped(packet: bytes, at: int) -> bytes:
    return packet[:at] + bytes([packet[at] ^ 1]) + packet[at + 1:]


DIFFERENCES = {
    "one-byte": (PACKETS[:3] + [_flipped(PACKETS[3], 700)] + PACKETS[4:],
                 "packet 3: .* 1 bytes differ, at 700..700"),
    "last-byte": (PACKETS[:9] + [_flipped(PACKETS[9], 1499)], "1 bytes differ, at 1499..1499"),
    "shorter": (PACKETS[:1] + [PACKETS[1][:-1]] + PACKETS[2:], "got number 1 of 1499 bytes"),
    "one-lost": (PACKETS[:4] + PACKETS[5:], "sent number 4 .*, got number 5 .* 1 of the sent never"),
    "end-lost": (PACKETS[:8], "2 of 10 packets are missing at the end, from number 8"),
    "twice": (PACKETS[:5] + PACKETS[4:], "packet 5: sent number 5 .*, got number 4"),
    "swapped": ([PACKETS[1], PACKETS[0]] + PACKETS[2:], "packet 0: sent number 0 .*, got number 1"),
    "more": (PACKETS + PACKETS[:1], "1 packets more than sent"),
    "strange": ([b"\xff" * 60] + PACKETS[1:], "got a strange packet of 60 bytes"),
}


@pytest.mark.parametrize("case", DIFFERENCES)
def test_a_difference_is_found_and_described(case):
    got, words = DIFFERENCES[case]
    with pytest.raises(AssertionError, match=words):
        wrong = pcap.difference(PACKETS, got)
        assert wrong is None, wrong


def test_packets_survive_a_file(folder):
    pcap.write(folder / "p.pcap", PACKETS)
    assert pcap.difference(PACKETS, pcap.read(folder / "p.pcap")) is None


def test_a_process_ends_with_its_life_time(folder):
    with Process(["sleep", "60"], folder / "log", stdin="null", lifetime=0.5) as process:
        assert process.wait(10) == 124


def test_a_process_that_ignores_every_wish_is_killed(folder):
    stubborn = ["sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.1; done"]
    with Process(stubborn, folder / "log", stdin="null") as process:
        process.wait_for("ready")
        process.stop(timeout=0.3)
        assert not process.is_alive() and not _exists(process.pid)


def test_a_signal_that_only_tells_something_ends_nothing(folder):
    """timeout(1), the watchdog, would die of SIGUSR1, and kill the command 5 s after SIGHUP."""
    talkative = ["sh", "-c", "trap 'echo told' USR1 HUP; echo ready; while :; do sleep 0.1; done"]
    with Process(talkative, folder / "log", stdin="null") as process:
        process.wait_for("ready")
        for number in (signal.SIGUSR1, signal.SIGHUP):
            seen = process.mark()
            process.signal(number)
            process.wait_for("told", offset=seen)
        time.sleep(5.5)
        assert process.is_alive() and _exists(process.pid)


def test_a_process_ends_with_the_interpreter(folder):
    code = ("from lab.process import Process; "
            f"print(Process(['sleep', '60'], '{folder}/log').pid)")
    said = subprocess.run([sys.executable, "-c", code], cwd=paths.repo_root() / "devtools",
                          check=True, capture_output=True, text=True, timeout=20).stdout
    deadline = time.monotonic() + 5
    while _exists(int(said)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _exists(int(said))


def test_a_failure_shows_the_end_of_the_log(folder):
    with Process(["sh", "-c", "echo the reason; exit 3"], folder / "log") as process:
        with pytest.raises(ProcessError, match=r"(?s)exit code 3.*the reason"):
            process.wait_for("something else")


@pytest.mark.parametrize("log, answer", [
    ("link is down\ntestpmd> ", "link is down\n"),
    ("Done.\ntone line\nanother line\nestpmd> and more", "Done.\n"),
    ("Done.\ntestpmd>one line\n and more", "Done.\n"),
    ("test\ntestpmd", None),
])
def test_a_prompt_is_found_though_other_lines_tear_it(log, answer):
    found = PROMPT.search(log)
    assert (found and log[:found.start()]) == answer


def _exists(pid: int) -> bool:
    """A zombie nobody reaps (a container without init) counts as gone."""
    stat = Path(f"/proc/{pid}/stat")
    try:
        return stat.read_text(encoding="ascii").rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
