# SPDX-License-Identifier: BSD-3-Clause
"""Debian's dpdk-testpmd, driven through its prompt."""

import itertools
import os
import re
import shutil
import time
from pathlib import Path

from . import paths
from .process import Process, ProcessError

# testpmd writes its prompt letter by letter: lines that other threads log may stand between any two.
PROMPT = re.compile(r"(?:[^\n]*\n)*?".join(re.escape(letter) for letter in "testpmd> "))
_ECHO_SECONDS = 3
_SERIAL = itertools.count()


class Testpmd(Process):
    """An interactive testpmd; returns from the constructor when the prompt is there.

    vdevs     list of --vdev texts (paths.vhost_vdev and paths.virtio_user_vdev make them)
    forward   io, macswap, icmpecho, rxonly, txonly...
    lcores    EAL --lcores: the first runs the prompt, the others forward; '0@0,1@0' shares a core
    extra     more testpmd arguments (behind the --); eal_extra more EAL arguments
    wrapper   a command that runs testpmd (setpriv --reuid=...); env adds to the environment

    start() and stop_forwarding() are the prompt's start and stop; stop() ends the process.
    max_frame largest frame (--max-pkt-len), None for testpmd's own default
    hugepages False: none; True: of its own; a hugetlbfs: shared with secondary processes (lab.hugepages)
    """

    __test__ = False  # not a test case, whatever pytest thinks of the name

    def __init__(self, vdevs: list[str], *, folder: str | Path, forward: str = "io", queues: int = 1,
                 rxd: int | None = None, txd: int | None = None, mbuf_size: int | None = None,
                 mbufs: int = 32768, max_frame: int | None = None, lcores: str = "0@0,1@1",
                 hugepages: bool | Path = False, memory: int = 512, extra: list[str] = (),
                 eal_extra: list[str] = (), lifetime: float = 300, name: str = "testpmd",
                 startup: float = 30, load_plugin: bool | None = None, wrapper: list[str] = (),
                 env: dict | None = None):
        serial = next(_SERIAL)
        self.prefix = f"vhx-{os.getpid()}-{serial}"
        self.forward = forward
        if load_plugin is None:
            load_plugin = any(vdev.startswith(paths.driver()) for vdev in vdevs)
        argv = [*wrapper, "stdbuf", "-oL", "dpdk-testpmd", "--no-pci", f"--file-prefix={self.prefix}",
                f"--lcores={lcores}", *_memory_args(hugepages, memory)]
        argv += paths.plugin_args() if load_plugin else []
        argv += [f"--vdev={vdev}" for vdev in vdevs]
        # Without --no-flush-rx, "start" first drains the queues and throws away what it finds.
        argv += [*eal_extra, "--", "-i", "--no-flush-rx", f"--forward-mode={forward}", f"--rxq={queues}",
                 f"--txq={queues}", f"--total-num-mbufs={mbufs}", "--no-mlockall"]
        argv += _optional("--rxd", rxd) + _optional("--txd", txd)
        argv += _optional("--mbuf-size", mbuf_size) + _optional("--max-pkt-len", max_frame)
        argv += extra
        log = Path(folder) / f"{name}-{serial}.log"
        env = {**(paths.back_end_environment() if load_plugin else {}), **(env or {})}
        super().__init__(argv, log, env=env, lifetime=lifetime, name=name)
        self._await_prompt(startup)
        self._check_library(load_plugin)

    def _await_prompt(self, startup: float) -> None:
        try:
            said = self.wait_for(PROMPT, startup)
            for bad in ("probe failed", "Start ports failed"):
                if bad in said:
                    raise ProcessError(self.explain(f"started with a port missing ({bad})"))
        except ProcessError:
            self.stop(timeout=1)
            raise

    def _check_library(self, is_back_end: bool) -> None:
        """Nothing passes by accident: who is to run on our librte_vhost does, and nobody else."""
        library = paths.vhost_library_of(self.pid)
        if paths.is_ours(library) != (is_back_end and paths.is_facade()):
            said = self.explain(f"runs on {library}")
            self.stop(timeout=1)
            raise ProcessError(said)

    # -- the prompt -------------------------------------------------------------------------

    def command(self, text: str, timeout: float = 20) -> str:
        """Type a command, wait for the prompt behind it, return what it printed.

        Events print whenever they like, behind the prompt too; so the prompt is looked for after
        the echo of this very command, not at the end of the log. A line that another thread logs may
        tear the echo apart; then the prompt counts that comes after what was typed.
        """
        start = self.mark()
        self.send(text)
        deadline = time.monotonic() + timeout
        try:
            self.wait_for(text, min(timeout, _ECHO_SECONDS), start)
            skip = len(self.output(start).split(text, 1)[0].encode()) + len(text.encode())
        except ProcessError:
            skip = 0
        seen = self.wait_for(PROMPT, max(deadline - time.monotonic(), 0.1), start + skip)
        answer = PROMPT.split(seen, 1)[0].replace("\r", "")
        if re.search(r"^(Bad arguments|Command not found|Ambiguous command)", answer, re.M):
            raise ProcessError(self.explain(f"did not understand {text!r}"))
        if "Start ports failed" in answer:
            raise ProcessError(self.explain(f"{text!r}: the ports did not start"))
        return answer

    def start(self) -> str:
        return self.command("start")

    def stop_forwarding(self) -> str:
        return self.command("stop")

    def quit(self, timeout: float = 15) -> int:
        """Leave through the prompt and return the exit code."""
        self.send("quit")
        code = self.wait(timeout)
        self.stop()
        return code

    def _ask_to_end(self) -> None:
        try:
            self.send("quit")
        except ProcessError:
            pass  # it is on its way out already

    def _release(self) -> None:
        super()._release()
        shutil.rmtree(paths.dpdk_runtime_dir(self.prefix), ignore_errors=True)

    # -- reading ports ----------------------------------------------------------------------

    def stats(self, port: int = 0) -> dict[str, int]:
        """`show port stats`: {"RX-packets": 10, "TX-bytes": ...} (rates left out)."""
        text = self.command(f"show port stats {port}")
        return {key: int(value) for key, value in re.findall(r"([RT]X-[a-z]+):\s+(\d+)", text)
                if not key.endswith("pps")}

    def xstats(self, port: int = 0) -> dict[str, int]:
        """`show port xstats`: every extended statistic by its name."""
        text = self.command(f"show port xstats {port}")
        return {key: int(value) for key, value in re.findall(r"^(\w+): (\d+)$", text, re.M)}

    def link(self, port: int = 0) -> bool:
        """True when the port's link is up."""
        text = self.command(f"show port info {port}")
        found = re.search(r"^Link status: (up|down)", text, re.M)
        if found is None:
            raise ProcessError(self.explain(f"show port info {port} names no link status"))
        return found.group(1) == "up"

    def wait_link(self, port: int = 0, up: bool = True, timeout: float = 15) -> None:
        """Wait until the port's link is up (or down)."""
        deadline = time.monotonic() + timeout
        while self.link(port) != up:
            if time.monotonic() > deadline:
                want = "up" if up else "down"
                raise ProcessError(self.explain(f"link of port {port} not {want} within {timeout} s"))
            time.sleep(0.05)

    def wait_stat(self, key: str, at_least: int, port: int = 0, timeout: float = 15) -> int:
        """Wait until a statistic of `show port stats` reaches a value; return what it is then."""
        deadline = time.monotonic() + timeout
        while True:
            value = self.stats(port)[key]
            if value >= at_least:
                return value
            if time.monotonic() > deadline:
                raise ProcessError(self.explain(
                    f"{key} of port {port} is {value}, not {at_least}, after {timeout} s"))
            time.sleep(0.05)


def _memory_args(hugepages: bool | Path, memory: int) -> list[str]:
    if isinstance(hugepages, Path):
        return [f"--huge-dir={hugepages}", "-m", str(memory)]
    if hugepages:
        return ["--in-memory", "--single-file-segments", "-m", str(memory)]
    return ["--no-huge", "-m", str(memory)]


def _optional(flag: str, value: object) -> list[str]:
    return [] if value is None else [f"{flag}={value}"]
