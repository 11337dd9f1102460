"""Where something was measured, in words."""

import contextlib
import os
import pathlib
import platform
import re
import sys

import support  # tests/system; compare says where it is


def first_match(pattern, path, otherwise="unknown"):
    with contextlib.suppress(OSError):
        if found := re.search(pattern, pathlib.Path(path).read_text(), re.MULTILINE):
            return found.group(1)
    return otherwise


def machine(status):
    build = first_match(r"^CMAKE_BUILD_TYPE:\w+=(.*)$", support.BIN.parent / "CMakeCache.txt")
    if build not in ("Release", "RelWithDebInfo"):
        print(f"this is a build of type {build}: its numbers say little", file=sys.stderr)
    return {"processor": first_match(r"^model name\s*:\s*(.*)$", "/proc/cpuinfo"),
            "CPUs": len(os.sched_getaffinity(0)),
            "virtual machine": "yes" if first_match(r"\b(hypervisor)\b", "/proc/cpuinfo", "") else "no",
            "kernel": platform.release(),
            "system": first_match(r'^PRETTY_NAME="(.*)"$', "/etc/os-release"),
            "build": build,
            "daemon": f"vmbusd {status['version']}, event loop {status['loop_backend']}",
            "load average at start": f"{os.getloadavg()[0]:.1f}",
            # The daemon asks the kernel whether a socket still exists, which looks at all of them.
            "AF_UNIX sockets at start": len(pathlib.Path("/proc/net/unix").read_bytes().splitlines())}
