"""Addresses: the bytes, and each check with its error, in CPython's order."""

import socket
import unittest

from tests.support import NAME, SERVICE_ID, VM_ID, as_hyperv
from vmbus_hyperv import address


class Bytes(unittest.TestCase):

    def test_encodes_sockaddr_hv(self):
        self.assertEqual(address.encode((VM_ID, SERVICE_ID), 1, "bind"), NAME)

    def test_text_may_be_in_either_case(self):
        self.assertEqual(address.encode((VM_ID.upper(), SERVICE_ID.upper()), 1, "bind"), NAME)

    def test_names_come_back_in_lower_case(self):
        parent = socket.HV_GUID_PARENT
        name = address.encode((parent, SERVICE_ID.upper()), 1, "bind")
        self.assertEqual(address.decode(name), (parent.lower(), SERVICE_ID))

    def test_no_name_is_none(self):
        self.assertIsNone(address.decode(b""))

    def test_an_unknown_name_is_family_and_bytes(self):
        self.assertEqual(address.decode(b"\x01\x00/x"), (1, b"/x"))
        self.assertEqual(address.decode(NAME[:35]), (34, NAME[2:35]))


class Errors(unittest.TestCase):
    """Through the methods, with a descriptor that would refuse any name that reached it."""

    def setUp(self):
        self.sock = as_hyperv(socket.socket())
        self.addCleanup(self.sock.close)

    def check(self, bad_address, exception, words):
        for method in ("bind", "connect", "connect_ex"):
            with self.subTest(method), self.assertRaises(exception) as raised:
                getattr(self.sock, method)(bad_address)
            self.assertEqual(str(raised.exception), words.format(method))

    def test_protocol_is_looked_at_first(self):
        self.sock = as_hyperv(self.sock, protocol=0)
        self.addCleanup(self.sock.close)
        self.check("not even a tuple", OSError, "{}(): unsupported AF_HYPERV protocol: 0")

    def test_a_list_is_no_tuple(self):
        self.check([VM_ID, SERVICE_ID], TypeError,
                   "{}(): AF_HYPERV address must be tuple, not list")

    def test_a_tuple_of_one_or_three(self):
        words = "AF_HYPERV address must be a str tuple (vm_id, service_id)"
        self.check((VM_ID,), TypeError, words)
        self.check((VM_ID, SERVICE_ID, "1"), TypeError, words)

    def test_parts_that_are_not_text(self):
        words = "AF_HYPERV address must be a str tuple (vm_id, service_id)"
        self.check((1, SERVICE_ID), TypeError, words)
        self.check((VM_ID, SERVICE_ID.encode()), TypeError, words)

    def test_vm_id_is_judged_before_service_id(self):
        words = "{}(): AF_HYPERV address vm_id is not a valid UUID string"
        for text in ("", "x", VM_ID[:-1], VM_ID + "0", "{" + VM_ID + "}", VM_ID.replace("-", ""),
                     VM_ID[:-1] + "g", VM_ID + "\n", VM_ID[:-1] + "\0", "١" + VM_ID[1:]):
            with self.subTest(text):
                self.check((text, "also bad"), ValueError, words)

    def test_service_id(self):
        self.check((VM_ID, "bad"), ValueError,
                   "{}(): AF_HYPERV address service_id is not a valid UUID string")

    def test_sendto_judges_its_address_too(self):
        with self.assertRaisesRegex(ValueError, r"^sendto\(\): .* vm_id is not a valid UUID"):
            self.sock.sendto(b"", ("bad", SERVICE_ID))
        with self.assertRaisesRegex(ValueError, r"^sendto\(\): .* service_id is not a valid"):
            self.sock.sendto(b"", 0, (VM_ID, "bad"))

    def test_a_good_address_reaches_the_kernel(self):
        # TCP's own answer to a name of family 34.
        with self.assertRaises(OSError) as raised:
            self.sock.bind((VM_ID, SERVICE_ID))
        self.assertEqual(raised.exception.strerror, "Address family not supported by protocol")


if __name__ == "__main__":
    unittest.main()
