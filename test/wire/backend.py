# SPDX-License-Identifier: BSD-3-Clause
"""The process under test, build/test/wire/backend: questions, its log, and what it holds open."""

import json
import os
import select
import subprocess
import time
from pathlib import Path

# The ports of the process that all tests share; on OTHER a front-end stays attached.
MAIN, OTHER, WIDE, PLAIN, VDPA, IOMMU = range(6)
NR_RINGS = {MAIN: 4, OTHER: 2, WIDE: 256, PLAIN: 4, VDPA: 4, IOMMU: 2}
KIND = {PLAIN: "plain", VDPA: "vdpa", IOMMU: "iommu"}

ANSWER_SECONDS = 20
POLL_SECONDS = 0.002


class BackEndError(AssertionError):
    """The back-end said or did something else than expected; the text ends with its log."""


class BackEnd:
    """One back-end process with a port for each of `ports`, "server:4:/path" or "client:2:/path".

    It ends when this process does: its stdin closes then.
    """

    def __init__(self, program: Path, log: Path, *ports: str):
        self.log_path = log
        with log.open("wb") as stderr:
            self._process = subprocess.Popen(
                [str(program), *ports], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=stderr)
        self.pid = self._process.pid
        if self._read_line() != "ready":
            raise BackEndError(self.explain("did not start"))

    # -- questions ------------------------------------------------------------------------------

    def _read_line(self) -> str:
        ready, _, _ = select.select([self._process.stdout], [], [], ANSWER_SECONDS)
        if not ready:
            raise BackEndError(self.explain(f"no answer within {ANSWER_SECONDS} s"))
        return self._process.stdout.readline().decode().rstrip("\n")

    def ask(self, question: str) -> dict:
        self.begin(question)
        return self.finish(question)

    def begin(self, question: str) -> None:
        """Ask something that takes until the test has done more; finish() has the answer."""
        try:
            self._process.stdin.write(question.encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # finish() will tell

    def finish(self, question: str) -> dict:
        return self._understand(question, self._read_line())

    def ask_all(self, *questions: str) -> list[dict]:
        """The same as one after the other, but said at once. The answers come together."""
        self.begin("\n".join(questions))
        lines = [self._read_line()]
        lines += [self._process.stdout.readline().decode().rstrip("\n") for _ in questions[1:]]
        return [self._understand(question, line) for question, line in zip(questions, lines)]

    def _understand(self, question: str, line: str) -> dict:
        if not line:
            raise BackEndError(self.explain(f"ended instead of answering {question!r}"))
        answer = json.loads(line)
        assert "error" not in answer, f"{question!r}: {answer['error']}"
        return answer

    def port(self, port: int = 0) -> dict:
        return self.ask(f"info {port}")

    def control(self, port: int = 0) -> dict:
        """What the driver commanded."""
        return self.ask(f"control {port}")

    def ring(self, ring: int, port: int = 0) -> dict:
        return self.ask(f"queue {port} {ring}")

    def push(self, ring: int, count: int = 1, port: int = 0, number: int | None = None) -> int:
        """Send packets of 60 bytes to the guest, numbered or not; how many it took."""
        numbered = "" if number is None else f" {number}"
        return self.ask(f"push {port} {ring} {count}{numbered}")["pushed"]

    def pull(self, ring: int, count: int = 1, port: int = 0) -> list[int]:
        """Take packets from the guest: the number in each, 0 where other bytes are wrong."""
        return self.ask(f"pull {port} {ring} {count}")["pulled"]

    def wait_stage(self, stage: str, port: int = 0, seconds: float = 10) -> dict:
        deadline = time.monotonic() + seconds
        while True:
            seen = self.port(port)
            if seen["stage"] == stage:
                return seen
            if time.monotonic() > deadline:
                raise BackEndError(self.explain(f"port {port} is {seen['stage']}, not {stage}"))
            time.sleep(POLL_SECONDS)

    # -- its log --------------------------------------------------------------------------------

    def mark(self) -> int:
        """Where the log ends now."""
        return self.log_path.stat().st_size

    def log(self, mark: int = 0) -> str:
        with self.log_path.open("rb") as log:
            log.seek(mark)
            return log.read().decode("utf-8", "replace")

    def wait_log(self, text: str, mark: int = 0, seconds: float = 10) -> str:
        """Wait until `text` is in the log behind `mark`; the log from there."""
        deadline = time.monotonic() + seconds
        while text not in (seen := self.log(mark)):
            if time.monotonic() > deadline or not self.is_alive():
                raise BackEndError(self.explain(f"never logged {text!r}"))
            time.sleep(POLL_SECONDS)
        return seen

    def explain(self, what: str) -> str:
        tail = "\n    ".join(self.log().splitlines()[-30:])
        return f"back-end: {what} (exit code {self._process.poll()}); its log ends:\n    {tail}"

    # -- what it holds --------------------------------------------------------------------------

    def nr_fds(self) -> int:
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def nr_mappings(self, name: str) -> int:
        """Mappings of files whose name has `name` in it."""
        return Path(f"/proc/{self.pid}/maps").read_text(encoding="utf-8").count(name)

    def holds_eventfd(self, fd: int) -> bool:
        """Does it have a descriptor of our eventfd `fd`?"""
        wanted = _eventfd_id(Path(f"/proc/self/fdinfo/{fd}"))
        assert wanted, "this kernel does not number eventfds"
        entries = Path(f"/proc/{self.pid}/fdinfo").iterdir()
        return any(_eventfd_id(entry) == wanted for entry in entries)

    # -- ending ---------------------------------------------------------------------------------

    def is_alive(self) -> bool:
        return self._process.poll() is None

    def stop(self) -> int:
        """End it in an orderly way; its exit code."""
        try:
            self._process.stdin.close()
        except BrokenPipeError:
            pass
        try:
            self._process.wait(ANSWER_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        return self._process.returncode


def _eventfd_id(fdinfo: Path) -> str | None:
    try:
        lines = fdinfo.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return None
    return next((line.split()[1] for line in lines if line.startswith("eventfd-id:")), None)
