"""The names in `socket`, and what the module and its classes look like to a program."""

import _socket
import contextlib
import pickle
import socket
import ssl
import unittest

import vmbus_hyperv
from tests.support import as_hyperv


class Names(unittest.TestCase):
    EXPECTED = {
        "AF_HYPERV": 34,
        "HV_PROTOCOL_RAW": 1,
        "HVSOCKET_CONNECT_TIMEOUT": 1,
        "HVSOCKET_CONNECT_TIMEOUT_MAX": 300000,
        "HVSOCKET_CONNECTED_SUSPEND": 4,
        "HVSOCKET_ADDRESS_FLAG_PASSTHRU": 1,
        "HV_GUID_ZERO": "00000000-0000-0000-0000-000000000000",
        "HV_GUID_WILDCARD": "00000000-0000-0000-0000-000000000000",
        "HV_GUID_BROADCAST": "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF",
        "HV_GUID_CHILDREN": "90DB8B89-0D35-4F79-8CE9-49EA0AC8B7CD",
        "HV_GUID_LOOPBACK": "E0E16197-DD56-4A10-9195-5EE7A155A838",
        "HV_GUID_PARENT": "A42E7CDA-D03F-480C-9CC2-A4DE20ABB878",
    }

    def test_each_name_is_in_both_modules_and_exported(self):
        for name, value in self.EXPECTED.items():
            with self.subTest(name):
                self.assertEqual(getattr(socket, name), value)
                self.assertEqual(getattr(_socket, name), value)
                self.assertEqual(socket.__all__.count(name), 1)

    def test_names_that_cpython_does_not_have_are_not_added(self):
        for name in ("HVSOCKET_CONTAINER_PASSTHRU", "HVSOCKET_HIGH_VTL", "HV_GUID_SILOHOST",
                     "HV_GUID_VSOCK_TEMPLATE"):
            self.assertFalse(hasattr(socket, name), name)

    def test_installing_twice_changes_nothing(self):
        before = (dict(vars(socket)), dict(vars(socket.socket)), list(socket.AddressFamily))
        vmbus_hyperv.install()
        after = (dict(vars(socket)), dict(vars(socket.socket)), list(socket.AddressFamily))
        self.assertEqual(before, after)


class Family(unittest.TestCase):

    def test_is_a_member_of_the_enumeration(self):
        member = socket.AF_HYPERV
        self.assertIsInstance(member, socket.AddressFamily)
        self.assertEqual(member.name, "AF_HYPERV")
        self.assertEqual(repr(member), "<AddressFamily.AF_HYPERV: 34>")
        self.assertIs(socket.AddressFamily(34), member)
        self.assertIs(socket.AddressFamily["AF_HYPERV"], member)
        self.assertIs(socket.AddressFamily.AF_HYPERV, member)
        self.assertIn(member, list(socket.AddressFamily))

    def test_survives_pickling(self):
        self.assertIs(pickle.loads(pickle.dumps(socket.AF_HYPERV)), socket.AF_HYPERV)


class SocketClass(unittest.TestCase):

    def test_a_socket_tells_its_family_and_protocol(self):
        with as_hyperv(socket.socket()) as sock:
            self.assertIs(sock.family, socket.AF_HYPERV)
            self.assertEqual(sock.type, socket.SOCK_STREAM)
            self.assertEqual(sock.proto, socket.HV_PROTOCOL_RAW)
            self.assertIs(type(sock), socket.socket)

    def test_repr_is_cpythons(self):
        with as_hyperv(socket.socket(socket.AF_UNIX)) as sock:
            self.assertRegex(
                repr(sock), r"^<socket\.socket fd=\d+, family=(AddressFamily\.AF_HYPERV|34), "
                r"type=(SocketKind\.SOCK_STREAM|1), proto=1, laddr=")
            sock.close()
            self.assertIn("[closed]", repr(sock))

    def test_dup_keeps_family_and_protocol(self):
        with as_hyperv(socket.socket()) as sock, sock.dup() as copy:
            self.assertIs(copy.family, socket.AF_HYPERV)
            self.assertEqual(copy.proto, socket.HV_PROTOCOL_RAW)

    def test_a_subclass_made_before_is_served_too(self):
        sock = as_hyperv(socket.socket())
        with contextlib.closing(ssl.SSLSocket.__new__(ssl.SSLSocket)) as wrapped:
            socket.socket.__init__(wrapped, sock.family, sock.type, sock.proto, sock.detach())
            with self.assertRaisesRegex(TypeError, "must be tuple, not str"):
                socket.socket.bind(wrapped, "x")

    def test_other_families_reach_the_c_code(self):
        with socket.socket() as server, socket.socket() as client:
            server.bind(("127.0.0.1", 0))
            server.listen()
            client.connect(server.getsockname())
            accepted, peer = server.accept()
            with accepted:
                self.assertEqual(peer, client.getsockname())
                client.sendall(b"abc")
                self.assertEqual(accepted.recvfrom(3), (b"abc", None))
            with self.assertRaisesRegex(TypeError, "AF_INET address must be tuple"):
                client.connect_ex("x")

    def test_methods_keep_their_names_and_docs(self):
        for name in ("bind", "connect", "connect_ex", "getsockname", "recvfrom_into"):
            method, original = getattr(socket.socket, name), getattr(_socket.socket, name)
            self.assertEqual(method.__name__, name)
            self.assertEqual(method.__doc__, original.__doc__)


if __name__ == "__main__":
    unittest.main()
