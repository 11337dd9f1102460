#!/usr/bin/env python3
"""What CPython's socket module makes of AF_VSOCK sockets: the numbered cases about it."""

import asyncio
import errno
import os
import socket
import time
import unittest

import inside
import support
from support import ANY, HOST

STRICT = os.environ.get("VMBUS_PROFILE") == "strict"
NO_ADDRESSES = ([2, 3], (1,), ("1", 2), (1, 2, 3), (1.0, 2), 2, None)


class Cases(unittest.TestCase):

    # Case 314: CPython offers eight bytes for an option of four
    def test_so_error(self):
        self.assertEqual(inside.vsock(self).getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), 0)

    # Case 315
    def test_minus_one_means_any(self):
        sock = inside.vsock(self)
        sock.bind((-1, -1))
        cid, port = sock.getsockname()
        self.assertEqual(cid, ANY)
        self.assertIn(port, range(1024, ANY))

    # Case 316
    def test_what_is_no_pair_of_numbers(self):
        for address in NO_ADDRESSES:
            for method in ("bind", "connect"):
                with self.subTest(method, address=address):
                    self.assertRaises(TypeError, getattr(inside.vsock(self), method), address)

    # Case 317
    def test_timeouts(self):
        listening, _ = inside.listener(self)
        client, server = inside.connection(self)
        for sock, call in ((listening, listening.accept), (client, lambda: client.recv(1)),
                           (server, lambda: server.recv(1))):
            sock.settimeout(0.2)
            start = time.monotonic()
            self.assertRaises(TimeoutError, call)
            self.assertGreaterEqual(time.monotonic() - start, 0.19)

    # Case 318: the error of settimeout() would have no errno
    def test_the_socket_gives_up_before_settimeout(self):
        client = inside.vsock(self)
        client.settimeout(support.LIMIT)
        start = time.monotonic()
        with self.assertRaises(OSError) as failure:
            client.connect((HOST, 12345))
        self.assertEqual(time.monotonic() - start >= 1.9, STRICT)
        self.assertEqual(failure.exception.errno, errno.ETIMEDOUT if STRICT else errno.ECONNRESET)

    # Case 319
    def test_a_mebibyte_through_asyncio(self):
        content = os.urandom(1 << 20)
        listening, address = inside.listener(self)
        dialled = inside.vsock(self)

        async def echo(reader, writer):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
            writer.close()

        async def talk():
            server = await asyncio.start_server(echo, sock=listening)
            dialled.setblocking(False)
            await asyncio.get_running_loop().sock_connect(dialled, address)
            reader, writer = await asyncio.open_connection(sock=dialled)
            writer.write(content)
            writer.write_eof()
            answer = await reader.read()
            writer.close()
            server.close()
            return answer

        self.assertTrue(asyncio.run(asyncio.wait_for(talk(), support.LIMIT)) == content)

    def test_two_hundred_asyncio_clients_get_through_a_queue_of_four(self):
        for side in ("host", "guest"):
            listening, address = inside.listener(self, side, backlog=4)
            listening.setblocking(False)
            with self.subTest(server=side):
                served = asyncio.run(asyncio.wait_for(serve_clients(listening, address), support.LIMIT))
                self.assertEqual(served, [b"%d" % number for number in range(200)])


async def serve_clients(listening, address):
    """Two hundred clients at once, each echoed its number: what they got."""
    loop = asyncio.get_running_loop()

    async def client(number):
        with socket.socket(socket.AF_VSOCK) as sock:
            sock.setblocking(False)
            await loop.sock_connect(sock, address)
            await loop.sock_sendall(sock, b"%d" % number)
            return await loop.sock_recv(sock, 10)

    async def serve():
        for _ in range(200):
            sock, _ = await loop.sock_accept(listening)
            with sock:
                sock.setblocking(False)
                await loop.sock_sendall(sock, await loop.sock_recv(sock, 10))

    results = await asyncio.gather(serve(), *(client(number) for number in range(200)))
    return results[1:]


if __name__ == "__main__":
    support.main(entered=True, profiles=("default", "strict"))
