#!/usr/bin/env python3
"""Streams: what stdio does inside libc, where no hook sees it, and which files it opens."""

import json

import support
from support import ANY, GUEST

setUpModule = support.require_shim

LIBC = """
import ctypes, errno, json, os, socket, sys
libc = ctypes.CDLL(None, use_errno=True)
for name in ("fdopen", "fopen", "fopen64", "freopen", "freopen64"):
    getattr(libc, name).restype = ctypes.c_void_p
def failure():
    return errno.errorcode[ctypes.get_errno()]
"""

CONNECTION = LIBC + f"""
listener, client = socket.socket(socket.AF_VSOCK), socket.socket(socket.AF_VSOCK)
listener.bind((2 if sys.argv[1] == "host" else {ANY}, 0xffffffff))
listener.listen()
client.connect((2 if sys.argv[1] == "host" else {GUEST}, listener.getsockname()[1]))
server = listener.accept()[0]
listener.close()
"""


class Writers(support.BusTest):
    """A stream on a socket whose peer has closed."""

    CODE = CONNECTION + """
server.close()
client.recv(1)
stream = ctypes.c_void_p(libc.fdopen(client.detach(), b"w"))
block, count = b"x" * 4096, 0
while libc.fputs(block, stream) >= 0 and count < 64 << 20:
    count += len(block)
print(json.dumps([failure(), count]), flush=True)
sys.stdin.readline()
libc.fclose(stream)
sys.stdin.read()
"""

    def test_learns_that_nobody_reads(self):
        for side in ("guest", "host"):
            with self.subTest(side):
                program = self.bus.python(self.CODE, side)
                program.wait_for_output(b"]\n")
                error, count = json.loads(program.output)
                self.assertEqual(error, "EPIPE")
                self.assertLess(count, 4 << 20)
                # The carrier is shut both ways: its last close is seen all the same, and not before.
                self.assertEqual(len(self.bus.sockets()), 1)
                program.write(b"\n")
                self.bus.wait_for_sockets(0)
                program.check()


class Device(support.BusTest):
    """/dev/vsock by whatever name: ours, or ENOENT, and never the machine's own.

    In a mount namespace where /dev is an empty folder but for a file in the node's place.
    """

    CODE = LIBC + """
import fcntl, socket
CLONE_NEWNS, CLONE_NEWUSER, MS_REC_PRIVATE = 0x20000, 0x10000000, 0x44000
uid, gid = os.getuid(), os.getgid()
if sys.argv[1] == "with":
    socket.socket(socket.AF_VSOCK)  # the daemon's start wants a real /dev
if libc.unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0:
    sys.exit("skip: unshare: " + failure())
for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
    with open("/proc/self/" + name, "w") as file:
        file.write(text)
if (libc.mount(b"none", b"/", None, MS_REC_PRIVATE, None) != 0
        or libc.mount(b"tmpfs", b"/dev", b"tmpfs", 0, None) != 0):
    sys.exit("skip: mount: " + failure())
with open("/dev/vsock2", "w") as file:
    file.write("the real one")
os.rename("/dev/vsock2", "/dev/vsock")
open("/dev/null", "w").close()
os.chdir("/dev")
dev = os.open("/dev", os.O_PATH)
os.symlink("/dev", "/dev/folder")

def seen(fd):
    if fd < 0:
        return failure()
    answer = bytearray(4)
    try:
        fcntl.ioctl(fd, socket.IOCTL_VM_SOCKETS_GET_LOCAL_CID, answer)
        return int.from_bytes(answer, sys.byteorder)
    except OSError as error:
        return "a file"
    finally:
        os.close(fd)

def stream(pointer):
    return libc.fileno(ctypes.c_void_p(pointer)) if pointer else -1

how = (ctypes.c_uint64 * 3)(os.O_RDONLY, 0, 0)
mode = 0o600
results = {
    "open": seen(libc.open(b"/dev/vsock", 0)), "//dev": seen(libc.open(b"//dev/vsock", 0)),
    "/dev/.": seen(libc.open(b"/dev/./vsock", 0)), "..": seen(libc.open(b"/dev/../dev/vsock", 0)),
    "folder": seen(libc.open(b"/dev/folder/vsock", 0)),
    "relative": seen(libc.open(b"vsock", 0)), "./": seen(libc.open(b"./vsock", 0)),
    "openat": seen(libc.openat(dev, b"vsock", 0)), "openat64": seen(libc.openat64(dev, b"vsock", 0)),
    "openat2": seen(libc.syscall(437, -100, b"vsock", how, 24)),
    "openat by number": seen(libc.syscall(257 if os.uname().machine == "x86_64" else 56,
                                          dev, b"vsock", 0)),
    "creat": seen(libc.creat(b"/dev/vsock", mode)), "creat64": seen(libc.creat64(b"vsock", mode)),
    "fopen": seen(stream(libc.fopen(b"/dev/vsock", b"r"))),
    "fopen64": seen(stream(libc.fopen64(b"vsock", b"r+"))),
    "freopen": seen(stream(libc.freopen(b"/dev/vsock", b"r",
                                        ctypes.c_void_p(libc.fopen(b"/dev/null", b"r"))))),
    "freopen64": seen(stream(libc.freopen64(b"vsock", b"re",
                                            ctypes.c_void_p(libc.fopen(b"/dev/null", b"r")))))}
with open("other", "w") as file:
    file.write("words")
moved = ctypes.c_void_p(libc.freopen(b"other", b"r", ctypes.c_void_p(libc.fopen(b"/dev/null", b"r"))))
print(json.dumps(results))
print(os.read(libc.fileno(moved), 64).decode(), os.path.getsize("/proc/self/root/dev/null"))
"""

    def results(self, *arguments, **options):
        program = self.bus.python(self.CODE, *arguments, **options)
        if program.finish() != 0 and b"skip: " in program.errors:
            self.skipTest(program.errors.decode().strip())
        self.assertEqual(program.finish(), 0, program)
        results, other = program.output.decode().splitlines()
        self.assertEqual(other, "words 0")
        return json.loads(results)

    def test_is_the_stand_in(self):
        results = self.results("with")
        self.assertEqual(results, dict.fromkeys(results, GUEST))

    def test_is_not_there_without_a_daemon(self):
        program = self.bus.preload(support.PYTHON, "-c", self.CODE, "without",
                                   environment={"VMBUS_DAEMON": "/no/such/vmbusd"})
        if program.finish() != 0 and b"skip: " in program.errors:
            self.skipTest(program.errors.decode().strip())
        self.assertEqual(program.finish(), 0, program)
        results = json.loads(program.output.splitlines()[0])
        self.assertEqual(results, dict.fromkeys(results, "ENOENT"))


if __name__ == "__main__":
    support.main()
