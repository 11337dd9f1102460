#!/usr/bin/env python3
"""What CPython 3.12 on Windows asserts of AF_HYPERV, on real sockets, in each profile.

The names there are, the forms an address may have, and the exception for every other one: none of this
depends on the profile. Words of exceptions are CPython's (Modules/socketmodule.c).
"""

import errno
import itertools
import os
import socket
import unittest
import uuid

import inside
import support

VM_ID = os.environ.get("VMBUS_VM_ID", "")
SERVICE_ID = "00001770-facb-11e6-bd58-64006a7986d3"  # of port 6000
GOOD = (VM_ID, SERVICE_ID)
METHODS = ("bind", "connect", "connect_ex")

NOT_TUPLES = ([VM_ID, SERVICE_ID], VM_ID, b"", 34, None, {VM_ID: SERVICE_ID})
NOT_TWO_STRINGS = ((), (VM_ID,), (*GOOD, SERVICE_ID), (34, SERVICE_ID), (VM_ID, 6000), (None, None),
                   (VM_ID.encode(), SERVICE_ID), (VM_ID, uuid.UUID(SERVICE_ID)))
NOT_UUIDS = ("", "guest", SERVICE_ID[:-1], SERVICE_ID + "0", SERVICE_ID.replace("-", ""),
             "{" + SERVICE_ID + "}", " " + SERVICE_ID, SERVICE_ID.replace("7", "g"),
             SERVICE_ID[:7] + "-0" + SERVICE_ID[9:], "\N{ARABIC-INDIC DIGIT ONE}" + SERVICE_ID[1:])


def hyperv(test):
    return inside.closing(
        test, socket.socket(socket.AF_HYPERV, socket.SOCK_STREAM, socket.HV_PROTOCOL_RAW))


class Names(unittest.TestCase):
    NUMBERS = ("HVSOCKET_CONNECT_TIMEOUT", "HVSOCKET_CONNECT_TIMEOUT_MAX",
               "HVSOCKET_CONNECTED_SUSPEND", "HVSOCKET_ADDRESS_FLAG_PASSTHRU", "HV_PROTOCOL_RAW")
    GUIDS = ("HV_GUID_ZERO", "HV_GUID_WILDCARD", "HV_GUID_BROADCAST", "HV_GUID_CHILDREN",
             "HV_GUID_LOOPBACK", "HV_GUID_PARENT")

    def test_are_there(self):
        self.assertEqual(socket.AF_HYPERV.name, "AF_HYPERV")
        for name in self.NUMBERS:
            with self.subTest(name):
                self.assertIs(type(getattr(socket, name)), int)

    def test_each_guid_is_one(self):
        for name in self.GUIDS:
            with self.subTest(name):
                text = getattr(socket, name)
                self.assertEqual(str(uuid.UUID(text)).upper(), text)


class Creation(unittest.TestCase):

    def test_with_the_protocol(self):
        sock = hyperv(self)
        self.assertEqual((sock.family, sock.type, sock.proto),
                         (socket.AF_HYPERV, socket.SOCK_STREAM, socket.HV_PROTOCOL_RAW))

    def test_without_a_protocol(self):
        # WSAEPROTOTYPE, 10041, on Windows.
        with self.assertRaises(OSError) as raised:
            socket.socket(socket.AF_HYPERV, socket.SOCK_STREAM)
        self.assertEqual(raised.exception.errno, errno.EPROTOTYPE)


class Addresses(unittest.TestCase):
    """Each method that takes an address, with each form that is none."""

    def refuse(self, addresses, kind, words):
        sock = hyperv(self)
        for method, address in itertools.product(METHODS, addresses):
            with self.subTest(method=method, address=address):
                with self.assertRaises(kind) as raised:
                    getattr(sock, method)(address)
                self.assertIs(type(raised.exception), kind)
                self.assertEqual(str(raised.exception),
                                 words.format(method=method, type=type(address).__name__))

    def test_that_is_no_tuple(self):
        self.refuse(NOT_TUPLES, TypeError, "{method}(): AF_HYPERV address must be tuple, not {type}")

    def test_that_is_no_tuple_of_two_strings(self):
        self.refuse(NOT_TWO_STRINGS, TypeError,
                    "AF_HYPERV address must be a str tuple (vm_id, service_id)")

    def test_with_a_vm_id_that_is_no_uuid(self):
        self.refuse([(text, SERVICE_ID) for text in NOT_UUIDS], ValueError,
                    "{method}(): AF_HYPERV address vm_id is not a valid UUID string")

    def test_with_a_service_id_that_is_no_uuid(self):
        self.refuse([(VM_ID, text) for text in NOT_UUIDS], ValueError,
                    "{method}(): AF_HYPERV address service_id is not a valid UUID string")

    def test_the_vm_id_is_looked_at_first(self):
        self.refuse([("guest", "vsock")], ValueError,
                    "{method}(): AF_HYPERV address vm_id is not a valid UUID string")

    def test_the_protocol_is_looked_at_before_the_address(self):
        # The one way to an object of another protocol: the descriptor is there already.
        sock = inside.closing(self, socket.socket(
            socket.AF_HYPERV, socket.SOCK_STREAM, 2, fileno=hyperv(self).detach()))
        for method, address in itertools.product(METHODS, (GOOD, "no address", ())):
            with self.subTest(method=method, address=address):
                with self.assertRaises(OSError) as raised:
                    getattr(sock, method)(address)
                self.assertEqual(str(raised.exception),
                                 f"{method}(): unsupported AF_HYPERV protocol: 2")

    def test_sendto_takes_the_same_forms(self):
        for address, kind in (("no address", TypeError), ((1, 2), TypeError),
                              (("guest", SERVICE_ID), ValueError)):
            with self.subTest(address), self.assertRaises(kind):
                hyperv(self).sendto(b"", address)

    def test_a_refused_form_leaves_the_socket_as_it_was(self):
        sock = hyperv(self)
        self.assertRaises(TypeError, sock.bind, list(GOOD))
        self.assertRaises(ValueError, sock.bind, ("guest", SERVICE_ID))
        sock.bind((socket.HV_GUID_WILDCARD, SERVICE_ID))
        self.assertEqual(sock.getsockname(), (socket.HV_GUID_WILDCARD, SERVICE_ID))


class ReturnedNames(unittest.TestCase):

    def test_are_lower_case_whatever_was_bound(self):
        for vm_id in (socket.HV_GUID_CHILDREN, socket.HV_GUID_CHILDREN.lower()):
            with self.subTest(vm_id):
                sock = hyperv(self)
                sock.bind((vm_id, SERVICE_ID.upper()))
                self.assertEqual(sock.getsockname(), (vm_id.lower(), SERVICE_ID))
                sock.close()

    def test_of_a_connection_are_pairs_of_strings(self):
        listening, (_, port) = inside.listener(self)
        client = hyperv(self)
        client.settimeout(support.LIMIT)
        client.connect((VM_ID, f"{port:08X}-FACB-11E6-BD58-64006A7986D3"))
        server = inside.closing(self, listening.accept()[0])
        self.assertEqual(client.getpeername(), (VM_ID, f"{port:08x}-facb-11e6-bd58-64006a7986d3"))
        inside.exchange(self, client, server)


if __name__ == "__main__":
    support.main(entered=True, profiles=("default", "strict"))
