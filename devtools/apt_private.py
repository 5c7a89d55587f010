#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""An apt of its own: the system's Debian mirrors and keys, none of the system's lists.

usage: apt_private.py FOLDER {deb|deb-src} [SUITE_SUFFIX]

Writes FOLDER/apt.conf, fetches the package lists into FOLDER and prints the path of apt.conf, so that
`apt-get -c FOLDER/apt.conf download NAME` works as any user and changes nothing outside FOLDER.
SUITE_SUFFIX (for example "-backports") narrows the suites to that one and adds it where the system does not have it.
"""
import glob
import os
import subprocess
import sys
import time

FRESH_SECONDS = 3600
OFFICIAL_SUFFIXES = ("", "-updates", "-security", "-proposed-updates")

CONFIG = """\
Dir::State "{folder}/state";
Dir::State::status "/var/lib/dpkg/status";
Dir::Cache "{folder}/cache";
Dir::Etc::sourcelist "/dev/null";
Dir::Etc::sourceparts "{folder}/sources.list.d";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "{folder}/preferences.d";
#clear APT::Update;
#clear DPkg::Post-Invoke;
#clear Acquire::IndexTargets::deb::DEP-11;
Acquire::Languages "none";
Acquire::Retries "3";
APT::Sandbox::User "{user}";
"""


def codename() -> str:
    """The distribution's own name, "bookworm" on Debian 12."""
    with open("/etc/os-release", encoding="utf-8") as release:
        fields = dict(line.strip().split("=", 1) for line in release if "=" in line)
    return fields.get("VERSION_CODENAME", "bookworm").strip('"')


def stanzas_of_sources(text: str) -> list[dict[str, str]]:
    """Read a deb822 .sources file: one dict per stanza, continuation lines kept."""
    stanzas: list[dict[str, str]] = [{}]
    key = ""
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        if not line.strip():
            stanzas.append({})
        elif line[0] in " \t":
            stanzas[-1][key] += "\n" + line
        else:
            key, _, value = line.partition(":")
            stanzas[-1][key] = value.strip()
    return [stanza for stanza in stanzas if stanza]


def stanza_of_line(line: str) -> dict[str, str] | None:
    """Read one `deb [options] uri suite components` line; None for anything else."""
    line = line.split("#")[0].strip()
    kind, _, rest = line.partition(" ")
    if kind != "deb":
        return None
    stanza = {"Types": "deb"}
    rest = rest.strip()
    if rest.startswith("["):
        options, _, rest = rest[1:].partition("]")
        for option in options.split():
            name, _, value = option.partition("=")
            stanza[name.title().replace("Signed-by", "Signed-By")] = value.replace(",", " ")
    words = rest.split()
    if len(words) < 3:
        return None
    stanza |= {"URIs": words[0], "Suites": words[1], "Components": " ".join(words[2:])}
    return stanza


def system_stanzas() -> list[dict[str, str]]:
    """Every binary source that the system has configured, whoever it belongs to."""
    found = []
    for path in ["/etc/apt/sources.list", *sorted(glob.glob("/etc/apt/sources.list.d/*"))]:
        if not path.endswith((".list", ".sources")) or not os.access(path, os.R_OK):
            continue
        with open(path, encoding="utf-8") as source:
            text = source.read()
        if path.endswith(".sources"):
            found += stanzas_of_sources(text)
        else:
            found += filter(None, map(stanza_of_line, text.splitlines()))
    return [stanza for stanza in found if "deb" in stanza.get("Types", "").split()
            and stanza.get("Enabled", "yes") not in ("no", "false", "0")]


def private_stanzas(kind: str, suffix: str) -> list[dict[str, str]]:
    """The Debian stanzas among the system's, turned into the kind and suites wanted here."""
    name = codename()
    official = {name + tail for tail in OFFICIAL_SUFFIXES}
    chosen = []
    for stanza in system_stanzas():
        suites = official.intersection(stanza.get("Suites", "").split())
        if suffix:
            suites &= {name}
        if not suites or "main" not in stanza.get("Components", "").split():
            continue
        wanted = {name + suffix} if suffix else suites
        chosen.append(stanza | {"Types": kind, "Suites": " ".join(sorted(wanted)), "Components": "main"})
    if not chosen:
        sys.exit(f"vhostx: apt has no source for Debian {name}, component main, to fetch {kind} packages from; "
                 "add Debian's to /etc/apt/sources.list.d")
    if suffix:
        # The dependencies of what a suffix suite holds may live in the plain one.
        chosen += [stanza | {"Suites": name} for stanza in chosen]
    return chosen


def write_folder(folder: str, kind: str, suffix: str) -> str:
    """Lay out FOLDER and return the path of its apt.conf."""
    for sub in ("state/lists/partial", "cache/archives/partial", "sources.list.d", "preferences.d"):
        os.makedirs(os.path.join(folder, sub), exist_ok=True)
    blocks = ["".join(f"{key}: {value}\n" for key, value in stanza.items())
              for stanza in private_stanzas(kind, suffix)]
    with open(os.path.join(folder, "sources.list.d/private.sources"), "w", encoding="utf-8") as sources:
        sources.write("\n".join(blocks))
    config = os.path.join(folder, "apt.conf")
    user = "root" if os.geteuid() == 0 else ""
    with open(config, "w", encoding="utf-8") as out:
        out.write(CONFIG.format(folder=folder, user=user))
    return config


def update(folder: str, config: str) -> None:
    """Fetch the lists unless that happened a moment ago; what is missing shows when a package is asked for."""
    stamp = os.path.join(folder, "updated")
    if os.path.exists(stamp) and time.time() - os.path.getmtime(stamp) < FRESH_SECONDS:
        return
    subprocess.run(["apt-get", "-qq", "-c", config, "update"], stdout=sys.stderr, stdin=subprocess.DEVNULL,
                   check=True, timeout=300)
    with open(stamp, "w", encoding="utf-8"):
        pass


def main() -> int:
    """See the module's first lines."""
    if len(sys.argv) not in (3, 4) or sys.argv[2] not in ("deb", "deb-src"):
        print(__doc__, file=sys.stderr)
        return 2
    folder = os.path.abspath(sys.argv[1])
    config = write_folder(folder, sys.argv[2], sys.argv[3] if len(sys.argv) == 4 else "")
    try:
        update(folder, config)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        print("vhostx: cannot fetch Debian's package lists: check the network and the mirror in "
              "/etc/apt/sources.list*", file=sys.stderr)
        return 1
    print(config)
    return 0


if __name__ == "__main__":
    sys.exit(main())
