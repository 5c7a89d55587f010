# SPDX-License-Identifier: BSD-3-Clause
"""Ask a DPDK process's telemetry socket (protocol v2: one JSON document per packet)."""

import json
import socket

from . import paths

_TIMEOUT_SECONDS = 10


class TelemetryError(AssertionError):
    """The process does not answer, or not to this command."""


def query(prefix: str, command: str, process: int = 0) -> object:
    """Answer of the process started with --file-prefix=prefix: query(p, "/ethdev/list") -> [0, 1].

    `process` 1, 2... are secondary processes, in the order of their start.

    EAL answers null to a command nobody registered and to one whose handler refused: both raise.
    """
    path = paths.dpdk_runtime_dir(prefix) / ("dpdk_telemetry.v2" + (f":{process}" if process else ""))
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as channel:
        channel.settimeout(_TIMEOUT_SECONDS)
        try:
            channel.connect(str(path))
        except OSError as error:
            raise TelemetryError(f"{path}: {error.strerror}") from error
        greeting = json.loads(channel.recv(1024))
        channel.send(command.encode())
        answer = json.loads(channel.recv(greeting["max_output_len"]))
    value = answer.get(command.split(",")[0])
    if value is None:
        raise TelemetryError(f"{command}: refused or unknown, the answer was {answer}")
    return value
