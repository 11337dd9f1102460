#!/usr/bin/env python3
"""Programs written against CPython's AF_HYPERV of Windows, unmodified, in both directions."""

import asyncio
import errno
import itertools
import os
import socket
import subprocess
import sys
import threading
import unittest
import uuid

import inside
import support
from inside import exchange
from support import HOST

VM_ID = os.environ.get("VMBUS_VM_ID", "")
_ports = itertools.count(5000)


def service_id(port):
    return f"{port:08x}-facb-11e6-bd58-64006a7986d3"


def port_of(service):
    return uuid.UUID(service).fields[0]


def hyperv(test):
    sock = socket.socket(socket.AF_HYPERV, socket.SOCK_STREAM, socket.HV_PROTOCOL_RAW)
    sock.settimeout(support.LIMIT)
    return inside.closing(test, sock)


def host_listener(test, vm_id=None, port=None):
    """(listening AF_HYPERV socket, the address at which a guest reaches it)."""
    sock, port = hyperv(test), port or next(_ports)
    sock.bind((vm_id or socket.HV_GUID_WILDCARD, service_id(port)))
    sock.listen(8)
    return sock, (HOST, port)


def guest_listener(test):
    """(listening AF_VSOCK socket, the address at which the host reaches it)."""
    sock, (_, port) = inside.listener(test)
    return sock, (VM_ID, service_id(port))


def dialled_by_host(test):
    """(AF_HYPERV end on the host, AF_VSOCK end in the guest)."""
    listening, address = guest_listener(test)
    client = hyperv(test)
    client.connect(address)
    server = inside.closing(test, listening.accept()[0])
    server.settimeout(support.LIMIT)
    return client, server


def dialled_by_guest(test):
    """(AF_HYPERV end on the host, AF_VSOCK end in the guest)."""
    listening, address = host_listener(test)
    client = inside.vsock(test)
    client.connect(address)
    server = inside.closing(test, listening.accept()[0])
    server.settimeout(support.LIMIT)
    listening.close()
    return server, client


DIRECTIONS = (dialled_by_host, dialled_by_guest)


class BothDirections(unittest.TestCase):

    def each_direction(self):
        for connect in DIRECTIONS:
            with self.subTest(connect.__name__):
                yield connect(self)

    def test_bytes(self):
        for host, guest in self.each_direction():
            exchange(self, host, guest)

    def test_large_transfer(self):
        content = os.urandom(3_000_000)
        for host, guest in self.each_direction():
            for source, target in ((host, guest), (guest, host)):
                thread = threading.Thread(target=source.sendall, args=(content,))
                thread.start()
                self.assertTrue(inside.receive(target, len(content)) == content)
                thread.join()

    def test_timeout(self):
        for host, _ in self.each_direction():
            host.settimeout(0.01)
            with self.assertRaises(TimeoutError):
                host.recv(1)

    def test_nothing_blocks_when_it_may_not(self):
        for host, _ in self.each_direction():
            host.setblocking(False)
            with self.assertRaises(BlockingIOError):
                host.recv(1)

    def test_with_closes(self):
        for host, guest in self.each_direction():
            with host:
                host.sendall(b"last words")
            self.assertEqual(host.fileno(), -1)
            self.assertEqual(guest.makefile("rb").read(), b"last words")

    def test_makefile(self):
        for host, guest in self.each_direction():
            with host.makefile("rw") as stream:
                print("from the host", file=stream, flush=True)
                self.assertEqual(inside.receive(guest, 14), b"from the host\n")
                guest.sendall(b"from the guest\n")
                self.assertEqual(stream.readline(), "from the guest\n")

    def test_dup(self):
        for host, guest in self.each_direction():
            copy = inside.closing(self, host.dup())
            self.assertIs(copy.family, socket.AF_HYPERV)
            host.close()
            copy.settimeout(support.LIMIT)
            exchange(self, copy, guest)

    def test_half_close(self):
        for host, guest in self.each_direction():
            host.sendall(b"request")
            host.shutdown(socket.SHUT_WR)
            self.assertEqual(guest.makefile("rb").read(), b"request")
            guest.sendall(b"answer")
            guest.close()
            self.assertEqual(host.makefile("rb").read(), b"answer")

    def test_inherited_by_descriptor(self):
        code = ("import socket, sys; s = socket.socket(socket.AF_HYPERV, socket.SOCK_STREAM,"
                "socket.HV_PROTOCOL_RAW, fileno=int(sys.argv[1]));"
                "s.sendall(s.recv(64) + s.getpeername()[0].encode()); s.close()")
        for host, guest in self.each_direction():
            host.setblocking(True)
            guest.sendall(b"peer ")
            subprocess.run([sys.executable, "-c", code, str(host.fileno())],
                           pass_fds=[host.fileno()], check=True, timeout=support.LIMIT)
            host.close()
            self.assertEqual(guest.makefile("r").read(), f"peer {VM_ID}")


class Names(unittest.TestCase):

    def test_of_a_dialled_guest(self):
        listening, address = guest_listener(self)
        client = hyperv(self)
        client.connect(address)
        server, peer = listening.accept()
        inside.closing(self, server)
        self.assertEqual(client.getpeername(), address)
        self.assertEqual(peer[0], HOST)

    def test_of_an_accepted_guest(self):
        host, guest = dialled_by_guest(self)
        vm_id, service = host.getpeername()
        self.assertEqual((vm_id, port_of(service)), (VM_ID, guest.getsockname()[1]))

    def test_host_listeners_of_both_families_are_one_endpoint(self):
        _, address = host_listener(self)
        with self.assertRaises(OSError) as raised:
            inside.vsock(self).bind(address)
        self.assertEqual(raised.exception.errno, errno.EADDRINUSE)

    def test_listener_for_one_vm_goes_before_the_others(self):
        port = next(_ports)
        for vm_id in (socket.HV_GUID_WILDCARD, socket.HV_GUID_CHILDREN, VM_ID):
            with self.subTest(vm_id):
                listening, address = host_listener(self, vm_id, port)
                inside.vsock(self).connect(address)
                inside.closing(self, listening.accept()[0])

    def test_loopback_of_the_host(self):
        listening, (_, port) = host_listener(self, socket.HV_GUID_LOOPBACK)
        client = hyperv(self)
        client.connect((socket.HV_GUID_LOOPBACK, service_id(port)))
        exchange(self, client, inside.closing(self, listening.accept()[0]))
        self.assertEqual(client.getpeername(), (socket.HV_GUID_LOOPBACK.lower(), service_id(port)))


class Refusals(unittest.TestCase):
    nowhere = (VM_ID, service_id(1))

    def test_guest_port_that_nobody_listens_on(self):
        with self.assertRaises(ConnectionRefusedError):
            hyperv(self).connect(self.nowhere)

    def test_vm_that_does_not_exist(self):
        with self.assertRaises(OSError) as raised:
            hyperv(self).connect((str(uuid.uuid4()), service_id(1)))
        self.assertEqual(raised.exception.errno, errno.EHOSTUNREACH)

    def test_connect_ex(self):
        self.assertEqual(hyperv(self).connect_ex(self.nowhere), errno.ECONNREFUSED)

    def test_socket_without_the_protocol(self):
        with self.assertRaises(OSError) as raised:
            socket.socket(socket.AF_HYPERV)
        self.assertEqual(raised.exception.errno, errno.EPROTOTYPE)


class Asyncio(unittest.TestCase):

    def test_calls_on_sockets_of_both_ends(self):
        async def serve(loop, listening):
            sock, _ = await loop.sock_accept(listening)
            with sock:
                while data := await loop.sock_recv(sock, 65536):
                    await loop.sock_sendall(sock, data.upper())

        async def dial(loop, client, address):
            client.setblocking(False)
            await loop.sock_connect(client, address)
            await loop.sock_sendall(client, b"shout")
            answer = await loop.sock_recv(client, 64)
            client.close()
            return answer

        async def both(client, listening, address):
            loop = asyncio.get_running_loop()
            listening.setblocking(False)
            return (await asyncio.wait_for(
                asyncio.gather(dial(loop, client, address), serve(loop, listening)),
                support.LIMIT))[0]

        self.assertEqual(asyncio.run(both(hyperv(self), *guest_listener(self))), b"SHOUT")
        self.assertEqual(asyncio.run(both(inside.vsock(self), *host_listener(self))), b"SHOUT")


if __name__ == "__main__":
    support.main(entered=True)
