"""What can be seen of running programs from outside: memory, descriptors, CPU time; and how many
instructions and system calls a program makes, from valgrind and strace."""

import os
import pathlib
import re
import shutil
import subprocess
import time

KIB = 1024


def fields(path):
    """Of a file like /proc/meminfo: bytes of each row that is in kB."""
    found = re.findall(r"^(\w+):\s+(\d+) kB$", pathlib.Path(path).read_text(), re.MULTILINE)
    return {name: int(value) * KIB for name, value in found}


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def shared_memory(pids):
    """Bytes of all memory files that are open anywhere in these processes, each file once."""
    files = {}
    for pid in pids:
        for entry in pathlib.Path(f"/proc/{pid}/fd").iterdir():
            try:
                if os.readlink(entry).startswith("/memfd:"):
                    status = entry.stat()
                    files[status.st_dev, status.st_ino] = status.st_blocks * 512
            except FileNotFoundError:
                continue  # closed meanwhile
    return sum(files.values())


def memory(pids):
    """Bytes by kind.

    kernel is the whole machine's: the sockets, and whatever else the kernel keeps meanwhile. So one
    takes differences between many connections and few, and the median of several.
    """
    status = [fields(f"/proc/{pid}/status") for pid in pids]
    return {"private": sum(one["RssAnon"] for one in status),
            "tables": sum(one["VmPTE"] for one in status),
            "shared": shared_memory(pids),
            "kernel": fields("/proc/meminfo")["Slab"]}


def cpu_seconds(pid):
    """Of a process, to the nanosecond: /proc/PID/stat counts in hundredths."""
    return time.clock_gettime((~pid << 3) | 2)  # as clock_getcpuclockid(3) makes it


# --- instructions and system calls -----------------------------------------------------------------

def instruction_counter(output):
    """The words before a command that write its number of user instructions to a file; or None."""
    if shutil.which("valgrind") is None:
        return None
    return ["valgrind", "--quiet", "--tool=callgrind", f"--callgrind-out-file={output}"]


def instructions(output):
    return int(re.search(r"^(?:summary|totals): (\d+)", output.read_text(), re.MULTILINE).group(1))


def call_counter(output):
    """The same for system calls, of all its threads and children."""
    if shutil.which("strace") is None:
        return None
    if subprocess.run(["strace", "-o", os.devnull, "true"], capture_output=True,
                      check=False).returncode != 0:
        return None  # some containers forbid ptrace
    return ["strace", "-f", "-c", "-U", "calls,name", "-o", str(output)]


def system_calls(output):
    rows = re.findall(r"^\s*(\d+)\s+(\w+)$", output.read_text(), re.MULTILINE)
    return sum(int(count) for count, name in rows if name != "total")
