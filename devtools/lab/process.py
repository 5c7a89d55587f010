# SPDX-License-Identifier: BSD-3-Clause
"""Child processes that never outlive their test.

Each runs in a session of its own, below timeout(1) which is the watchdog, with all output in a log
file. It ends when the `with` block ends, when the interpreter exits, or when its life time is over,
whichever comes first.
"""

import atexit
import os
import pty
import re
import select
import signal
import subprocess
import time
from pathlib import Path

_LIVING: "set[Process]" = set()  # strong: whoever drops a Process still wants it ended
_FOR_THE_WATCHDOG_TOO = {signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGSTOP, signal.SIGCONT}
_POLL_SECONDS = 0.02
_TAIL_LINES = 40


def is_listening(pid: int, path: str | Path) -> bool:
    """Whether this process listens on this socket: the kernel lists them by path; flag 0x10000 is set by listen()."""
    rows = [line.split() for line in Path("/proc/net/unix").read_text(encoding="utf-8").splitlines()[1:]]
    listening = {f"socket:[{row[6]}]" for row in rows if row[-1] == str(path) and int(row[3], 16) & 0x10000}
    try:
        return any(link.readlink().name in listening for link in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:  # a descriptor, or the process, went away meanwhile
        return False


class ProcessError(AssertionError):
    """The process said or did something else than expected; the text carries the end of its log."""


class Process:
    """One running command.

    stdin is "pipe" (default), "pty" (for programs that insist on a terminal) or "null".
    """

    def __init__(self, argv, log: str | Path, *, stdin: str = "pipe", env: dict | None = None,
                 cwd: str | Path | None = None, lifetime: float = 300, name: str | None = None):
        self.argv = [str(word) for word in argv]
        self.name = name or Path(self.argv[0]).name
        self.log_path = Path(log)
        self._pty_master = -1
        self._pidfd = -1
        self._popen = self._spawn(stdin, env, cwd, lifetime)
        _LIVING.add(self)
        self.pid = self._find_pid()

    def __enter__(self):
        return self

    def __exit__(self, *_exc):
        self.stop()

    # -- starting ---------------------------------------------------------------------------

    def _spawn(self, stdin, env, cwd, lifetime):
        watchdog = ["timeout", "-k", "5", str(lifetime)]
        child_stdin = {"pipe": subprocess.PIPE, "null": subprocess.DEVNULL}.get(stdin)
        slave = -1
        if stdin == "pty":
            self._pty_master, slave = pty.openpty()
            child_stdin = slave
        if child_stdin is None:
            raise ValueError(f"stdin={stdin!r}: use pipe, pty or null")
        try:
            with self.log_path.open("wb") as log:
                return subprocess.Popen(
                    watchdog + self.argv, stdin=child_stdin, stdout=log, stderr=subprocess.STDOUT,
                    env=dict(os.environ, **(env or {})), cwd=cwd, start_new_session=True)
        finally:
            if slave >= 0:
                os.close(slave)

    def _find_pid(self) -> int:
        """The command's own pid (the watchdog's only child); the watchdog's where it is gone already."""
        children = Path(f"/proc/{self._popen.pid}/task/{self._popen.pid}/children")
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline and self._popen.poll() is None:
            words = children.read_text(encoding="ascii").split() if children.exists() else []
            if words:
                return self._open_pidfd(int(words[0]))
            time.sleep(0.005)
        return self._popen.pid

    def _open_pidfd(self, pid: int) -> int:
        try:
            self._pidfd = os.pidfd_open(pid)
        except ProcessLookupError:
            pass
        return pid

    # -- talking and listening --------------------------------------------------------------

    def send(self, line: str) -> None:
        """Type one line."""
        text = (line + "\n").encode()
        try:
            if self._pty_master >= 0:
                os.write(self._pty_master, text)
            else:
                self._popen.stdin.write(text)
                self._popen.stdin.flush()
        except (BrokenPipeError, ValueError, OSError) as error:
            raise ProcessError(self.explain(f"cannot send {line!r}: {error}")) from error

    def output(self, offset: int = 0) -> str:
        """Everything written so far, from byte `offset` of the log on."""
        with self.log_path.open("rb") as log:
            log.seek(offset)
            return log.read().decode("utf-8", "replace")

    def mark(self) -> int:
        """Where the log ends now: pass it to wait_for() to look only at what comes later."""
        return self.log_path.stat().st_size

    def wait_for(self, text: str | re.Pattern, timeout: float = 20, offset: int = 0) -> str:
        """Wait until `text` (or a match of it) is in the log behind `offset`; return the output from there."""
        pattern = text if isinstance(text, re.Pattern) else re.compile(re.escape(text))
        deadline = time.monotonic() + timeout
        while True:
            alive = self.is_alive()
            seen = self.output(offset)
            if pattern.search(seen):
                return seen
            if not alive:
                raise ProcessError(self.explain(f"ended ({self._ending()}) before saying {text!r}"))
            if time.monotonic() > deadline:
                raise ProcessError(self.explain(f"did not say {text!r} within {timeout} s"))
            time.sleep(_POLL_SECONDS)

    def wait_listening(self, path: str | Path, timeout: float = 20) -> None:
        """Wait until it listens on this socket. That there is one is not enough: it may be a killed process's, or new."""
        deadline = time.monotonic() + timeout
        while not is_listening(self.pid, path):
            if not self.is_alive() or time.monotonic() > deadline:
                self.kill()
                raise ProcessError(self.explain(f"does not listen on {path}"))
            time.sleep(_POLL_SECONDS / 4)

    # -- ending -----------------------------------------------------------------------------

    def is_alive(self) -> bool:
        return self._popen.poll() is None

    def returncode(self) -> int | None:
        """Exit code; negative or above 128 for a signal; 124 when the life time was over."""
        return self._popen.poll()

    def wait(self, timeout: float = 20) -> int:
        """Wait until it ends by itself; return the exit code."""
        try:
            return self._popen.wait(timeout)
        except subprocess.TimeoutExpired:
            raise ProcessError(self.explain(f"did not end within {timeout} s")) from None

    def signal(self, number: int) -> None:
        """Signal the command; and its watchdog (their process group) where that is not the end of it."""
        try:
            if number in _FOR_THE_WATCHDOG_TOO:
                os.killpg(self._popen.pid, number)
            else:
                os.kill(self.pid, number)
        except ProcessLookupError:
            pass

    def kill(self) -> None:
        """kill -9, and wait until the kernel has taken it down (its sockets are closed then)."""
        self.leave_remains()
        self._release()

    def leave_remains(self) -> None:
        """kill(), but what it had in files and folders stays."""
        self.signal(signal.SIGKILL)
        self._popen.wait()
        if self._pidfd >= 0:
            select.select([self._pidfd], [], [], 10)

    def stop(self, timeout: float = 10) -> int:
        """End it: politely, then SIGTERM, then SIGKILL. Return the exit code."""
        for ask in (self._ask_to_end, lambda: self.signal(signal.SIGTERM)):
            if not self.is_alive():
                break
            ask()
            self._wait_quietly(timeout)
        if self.is_alive():
            self.kill()
        self._release()
        return self._popen.returncode

    def _ask_to_end(self) -> None:
        """The polite way: end of input. Programs with a better word (quit) override this."""
        if self._popen.stdin is None:
            self.signal(signal.SIGTERM)
        else:
            self._close_stdin()

    def _wait_quietly(self, timeout: float) -> None:
        try:
            self._popen.wait(timeout)
        except subprocess.TimeoutExpired:
            pass

    def _close_stdin(self) -> None:
        try:
            self._popen.stdin.close()
        except OSError:
            pass

    def _release(self) -> None:
        if self._popen.stdin is not None:
            self._close_stdin()
        for name in ("_pty_master", "_pidfd"):
            fd = getattr(self, name)
            if fd >= 0:
                os.close(fd)
                setattr(self, name, -1)
        _LIVING.discard(self)

    # -- telling ----------------------------------------------------------------------------

    def _ending(self) -> str:
        code = self.returncode()
        return "its life time was over" if code == 124 else f"exit code {code}"

    def explain(self, what: str) -> str:
        """`what`, with the command and the end of its log for the person who reads the failure."""
        tail = "\n    ".join(self.output().splitlines()[-_TAIL_LINES:])
        command = " ".join(self.argv)
        return f"{self.name}: {what}\n  command: {command}\n  log {self.log_path}:\n    {tail}"


@atexit.register
def _kill_the_living() -> None:
    for process in list(_LIVING):
        process.kill()
