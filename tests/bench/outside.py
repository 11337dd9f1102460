"""What can be seen of running programs from outside: memory, descriptors, CPU time; and how many
instructions and system calls a program makes, from valgrind."""

import os
import pathlib
import re
import shutil
import time

KIB = 1024
DENTRY_BYTES = 192  # the name that comes with an inode


def fields(path):
    """Of a file like /proc/meminfo: bytes of each row that is in kB."""
    found = re.findall(r"^(\w+):\s+(\d+) kB$", pathlib.Path(path).read_text(), re.MULTILINE)
    return {name: int(value) * KIB for name, value in found}


def descriptors(pid):
    # Since Linux 6.2. Listing them makes the kernel keep an inode and a name of each, almost 1 KiB.
    return os.stat(f"/proc/{pid}/fd").st_size or len(os.listdir(f"/proc/{pid}/fd"))


def memory_files(pids):
    """Paths of all memory files that are open anywhere in these processes, each file once. To be asked
    while they have few descriptors: see descriptors()."""
    files = {}
    for pid in pids:
        for entry in pathlib.Path(f"/proc/{pid}/fd").iterdir():
            try:
                if os.readlink(entry).startswith("/memfd:"):
                    status = entry.stat()
                    files[status.st_dev, status.st_ino] = entry
            except FileNotFoundError:
                continue  # closed meanwhile
    return list(files.values())


def slabs():
    """Bytes of the kernel's slabs; but for what it remembers of entries of /proc, if we may know that: a
    program that looks at all descriptors of all processes (a monitor, lsof) adds almost 1 KiB for each."""
    total = fields("/proc/meminfo")["Slab"]
    try:
        rows = pathlib.Path("/proc/slabinfo").read_text().splitlines()
    except PermissionError:
        return total
    for row in rows:
        words = row.split()
        if words[0] == "proc_inode_cache":
            inodes, pages = int(words[2]), int(words[-2]) * int(words[5])
            total -= pages * os.sysconf("SC_PAGE_SIZE") + inodes * DENTRY_BYTES
    return total


def memory(pids, files):
    """Bytes by kind; `files`: what memory_files() found.

    kernel is the whole machine's: the sockets, and whatever else the kernel keeps meanwhile. So one
    takes differences between many connections and few, and the median of several.
    """
    status = [fields(f"/proc/{pid}/status") for pid in pids]
    return {"private": sum(one["RssAnon"] for one in status),
            "tables": sum(one["VmPTE"] for one in status),
            "shared": sum(file.stat().st_blocks * 512 for file in files),
            "kernel": slabs()}


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
    """The same for system calls, of all its threads. Not strace: who is traced waits at each call, and a program
    that takes itself for one that waits goes another way."""
    if shutil.which("valgrind") is None:
        return None
    return ["valgrind", "--tool=none", "--trace-syscalls=yes", f"--log-file={output}"]


def system_calls(output):
    # One that may wait has a second line for its end, with dots where the others have the call.
    return len(re.findall(r"^SYSCALL\[[\d,]+\]\(\s*\d+\) \w", output.read_text(errors="replace"), re.MULTILINE))
