#!/usr/bin/env python3
"""CPython's own tests of AF_VSOCK (libpython3-testsuite), unmodified, in each partition and profile."""

import json
import pathlib
import sysconfig

import support
from support import GUEST, HOST

setUpModule = support.require_shim
SUITE = pathlib.Path(sysconfig.get_path("stdlib")) / "test" / "test_socket.py"
UNKNOWN_CID = 0xFFFFFFFF

# Runs the tests and prints what their CID is, and each outcome. The suite waits for a client without a
# limit: a default timeout is what ends it where its client cannot connect.
DRIVER = r"""
import json, socket, sys, unittest
socket.setdefaulttimeout(float(sys.argv[1]))
import test.test_socket as suite

class Result(unittest.TestResult):
    def __init__(self):
        super().__init__()
        self.outcomes = {}
    def note(self, test, outcome):
        self.outcomes.setdefault(test.id().split(".", 2)[2], []).append(outcome)
    def addSuccess(self, test): self.note(test, "passed")
    def addSkip(self, test, why): self.note(test, "skipped: " + why)
    def addFailure(self, test, error): self.note(test, repr(error[1]))
    def addError(self, test, error): self.note(test, repr(error[1]))

result = Result()
for name in ("BasicVSOCKTest", "ThreadedVSOCKSocketStreamTest"):
    unittest.defaultTestLoader.loadTestsFromTestCase(getattr(suite, name)).run(result)
print(json.dumps([suite.get_cid(), result.outcomes]))
"""

BASIC = {f"BasicVSOCKTest.{name}": ["passed"] for name in
         ("testCreateSocket", "testCrucialConstants", "testSocketBufferSize", "testVSOCKConstants")}
STREAM = "ThreadedVSOCKSocketStreamTest.testStream"


class Suite(support.BusTest):

    def setUp(self):
        support.require_program(str(SUITE), "libpython3.11-testsuite")
        super().setUp()

    def outcomes(self, profile, partition, seconds):
        program = self.bus.python(DRIVER, seconds, as_=partition, options=["--profile", profile])
        return json.loads(program.check().splitlines()[-1])

    # Cases 320, 321
    def test_a_guest_with_a_cid_passes_all(self):
        for partition in ("guest", None):
            with self.subTest(partition=partition):
                self.assertEqual(self.outcomes("default", partition, support.LIMIT),
                                 [GUEST, {**BASIC, STREAM: ["passed"]}])

    def test_the_host_is_no_place_for_the_stream_test(self):
        self.assertEqual(self.outcomes("default", "host", support.LIMIT), [HOST, {
            **BASIC, STREAM: ["skipped: This test can only be run on a virtual guest."]}])

    # Cases 320, 322: a Hyper-V guest does not know its CID, and cannot dial the one it is told.
    def test_a_strict_guest_cannot_dial_itself(self):
        cid, outcomes = self.outcomes("strict", "guest", 1)
        accepting, dialling = outcomes.pop(STREAM)
        self.assertEqual((cid, outcomes), (UNKNOWN_CID, BASIC))
        self.assertEqual(accepting, "TimeoutError('timed out')")
        self.assertEqual(dialling, "OSError(101, 'Network is unreachable')")

    # Case 322: what newer releases do instead, with the CID that means "this machine".
    def test_the_local_cid(self):
        bind = "import socket; print(socket.socket(socket.AF_VSOCK).bind((1, 1234)))"
        self.assertEqual(self.bus.python(bind, as_="guest").check(), b"None\n")
        strict = self.bus.python(bind, as_="guest", options=["--profile", "strict"])
        self.assertEqual(strict.finish(), 1)
        self.assertIn(b"OSError: [Errno 99] Cannot assign requested address", strict.errors)


if __name__ == "__main__":
    support.main()
