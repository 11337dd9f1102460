"""CPython's own tests of AF_VSOCK (Debian's libpython3-testsuite), 20 times over."""

import sys
import unittest

import test.test_socket as suite

ROUNDS = 20

loader = unittest.defaultTestLoader
for _ in range(ROUNDS):
    tests = unittest.TestSuite(loader.loadTestsFromTestCase(getattr(suite, name))
                               for name in ("BasicVSOCKTest", "ThreadedVSOCKSocketStreamTest"))
    if not tests.run(unittest.TestResult()).wasSuccessful():
        sys.exit("CPython's tests fail here")
