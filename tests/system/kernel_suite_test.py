#!/usr/bin/env python3
"""The kernel's own vsock_test, vsock_perf and vsock_uring_test (linux-source-6.12), unmodified.

They are unpacked and built in a scratch folder; nothing of them is ours. Each id runs alone, as two
processes in two partitions, in both directions, under both profiles that it says something about, and
`strict` in both modes.
kernel_ids.py has the outcomes.
"""

import ctypes
import functools
import os
import re
import socket
import subprocess
import tarfile
import unittest

import support
from kernel_ids import IDS, NEVER_ENDS, GivesUp
from support import GUEST, HOST

setUpModule = support.require_shim
PACKAGE = "linux-source-6.12"
TARBALL = f"/usr/src/{PACKAGE}.tar.xz"
# The suite, the headers that it borrows from tools/, and the source that kernel_ids.py cites.
PARTS = tuple(f"{PACKAGE}/{part}" for part in (
    "tools/testing/vsock/", "tools/include/", "net/vmw_vsock/"))
PROGRAMS = ("vsock_test", "vsock_perf", "vsock_uring_test")
PORT = 1234
SYS_IO_URING_SETUP = 425  # on every machine
DIALS = {"guest": HOST, "host": GUEST}  # who dials, and the CID it dials


def why_no_io_uring():
    """Why this process may make no io_uring, as containers often have it; None: it may."""
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = libc.syscall(SYS_IO_URING_SETUP, 1, ctypes.create_string_buffer(120))
    if descriptor < 0:
        return os.strerror(ctypes.get_errno())
    os.close(descriptor)
    return None


@functools.cache
def kernel_source():
    """The folder of the parts that are needed."""
    support.require_program(TARBALL, PACKAGE)
    folder = support.scratch()
    with tarfile.open(TARBALL, "r|xz") as tarball:
        tarball.extractall(folder, members=(member for member in tarball
                                            if member.name.startswith(PARTS)))
    return folder / PACKAGE


@functools.cache
def suite():
    """The folder of the built programs."""
    folder = kernel_source() / "tools/testing/vsock"
    subprocess.run(["make", "--silent", *PROGRAMS], cwd=folder, env=support.clean_environment(),
                   check=True)
    return folder


def function_body(file, function):
    """The text of a C function, as the kernel lays one out."""
    text = (kernel_source() / "net/vmw_vsock" / file).read_text()
    found = re.search(rf"^[^\n;]*\b{function}\([^;]*?\)\n{{\n.*?^}}\n", text, re.DOTALL | re.MULTILINE)
    return found.group() if found else ""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class SuiteTest(support.BusTest):

    def setUp(self):
        suite()
        super().setUp()

    mode = "auto"

    def start_end(self, profile, partition, program, *arguments):
        return self.bus.start(suite() / program, *arguments, as_=partition,
                              options=["--profile", profile, "--mode", self.mode])

    def start_pair(self, profile, dialler, program, *arguments):
        """(server, client); their control connection is TCP on the loopback interface."""
        control = ["--control-host=127.0.0.1", f"--control-port={free_port()}"]
        acceptor = "host" if dialler == "guest" else "guest"
        dialler_cid = GUEST if dialler == "guest" else HOST
        server = self.start_end(profile, acceptor, program, "--mode=server", *control,
                                f"--peer-cid={dialler_cid}", *arguments)
        server.wait_for_output(b"Control socket listening")
        client = self.start_end(profile, dialler, program, "--mode=client", *control,
                                f"--peer-cid={DIALS[dialler]}", *arguments)
        return server, client


class Ids(SuiteTest):

    def run_id(self, number, profile, mode, dialler, outcome):
        self.mode = mode
        others = [f"--skip={other}" for other in range(len(IDS)) if other != number]
        server, client = self.start_pair(profile, dialler, "vsock_test", *others)
        if outcome is None:
            statuses = client.finish(), server.finish()
            self.assertEqual(statuses, (0, 0), f"{client}\n{server}")
            return
        self.assertIsInstance(outcome, GivesUp)
        end = client if outcome.end == "client" else server
        self.assertEqual(end.finish(), 1, str(end))
        self.assertIn(outcome.says.encode(), end.errors, str(end))

    def test_they_are_the_ones_we_know(self):
        listed = subprocess.run([suite() / "vsock_test", "--list"], capture_output=True, text=True,
                                check=False).stdout.splitlines()[1:]
        self.assertEqual(listed, [f"{number}\t{row.name}" for number, row in enumerate(IDS)])

    def test_the_source_still_says_what_predicts_them(self):
        for row in IDS:
            for source in filter(None, (row.source, row.ring_source)):
                file, function, word = source
                with self.subTest(row.name, function=function):
                    self.assertIn(word, function_body(file, function))


def add_ids():
    for number, row in enumerate(IDS):
        for dialler in DIALS:
            name = f"{number:02}_{re.sub(r'[^a-z0-9]+', '_', row.name.lower()).strip('_')}"
            outcomes = {("virtio", "auto"): None,
                        **{("strict", mode): row.outcome(dialler, mode) for mode in ("pump", "ring")}}
            for (profile, mode), outcome in outcomes.items():
                if outcome == NEVER_ENDS:
                    continue
                setattr(Ids, f"test_{profile}_{mode}_{name}__{dialler}_dials",
                        functools.partialmethod(Ids.run_id, number, profile, mode, dialler, outcome))


class OtherPrograms(SuiteTest):

    def measure(self, profile, dialler, send=(), receive=()):
        acceptor = "host" if dialler == "guest" else "guest"
        receiver = self.start_end(profile, acceptor, "vsock_perf", "--port", PORT, *receive)
        self.bus.wait_for_listener(PORT, partition=acceptor)
        sender = self.start_end(profile, dialler, "vsock_perf", "--port", PORT,
                                "--sender", DIALS[dialler], "--bytes", "8M", *send)
        return receiver, sender

    def test_vsock_perf(self):
        for dialler in DIALS:
            with self.subTest(dialler):
                receiver, sender = self.measure("virtio", dialler)
                self.assertIn(b"total bytes sent: 8388608", sender.check())
                self.assertIn(b"rx performance", receiver.check())

    def test_vsock_perf_without_copies_and_above_a_low_water_mark(self):
        receiver, sender = self.measure("virtio", "guest", send=["--zerocopy"],
                                        receive=["--rcvlowat", "64K"])
        self.assertIn(b"total bytes sent: 8388608", sender.check())
        self.assertIn(b"rx performance", receiver.check())

    def test_a_hyperv_guest_has_no_low_water_for_vsock_perf(self):
        receiver, _ = self.measure("strict", "host")
        self.assertEqual(receiver.finish(), 1)
        self.assertIn(b"setsockopt(SO_RCVLOWAT): Operation not supported", receiver.errors)

    # Its second id sends by IORING_OP_SENDMSG_ZC, which AF_UNIX does not know (docs/limitations.md).
    def test_io_uring_moves_the_bytes(self):
        if reason := why_no_io_uring():
            self.skipTest(f"no io_uring here: {reason}")
        server, client = self.start_pair("virtio", "guest", "vsock_uring_test")
        passed = b"0 - SOCK_STREAM io_uring test...ok\n"
        server.wait_for_output(passed)
        client.wait_for_output(passed)


add_ids()

if __name__ == "__main__":
    support.main()
