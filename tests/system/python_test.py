#!/usr/bin/env python3
"""Python's socket library over AF_VSOCK: what ordinary programs do with a socket object."""

import asyncio
import http.client
import http.server
import os
import selectors
import socket
import socketserver
import subprocess
import sys
import threading
import unittest

import inside
import support
from inside import GUEST, exchange
from support import ANY, HOST

SIDES = ("guest", "host")


def in_background(test, function, *arguments):
    thread = threading.Thread(target=function, args=arguments)
    thread.start()
    test.addCleanup(thread.join)


class Sockets(unittest.TestCase):

    def test_both_directions(self):
        for side in SIDES:
            with self.subTest(server=side):
                exchange(self, *inside.connection(self, side))

    def test_names(self):
        listening, address = inside.listener(self)
        client = inside.vsock(self)
        client.connect(address)
        server, peer = listening.accept()
        inside.closing(self, server)
        self.assertEqual(client.getpeername(), address)
        self.assertEqual(server.getsockname(), address)
        self.assertEqual(peer[0], HOST)
        self.assertEqual(server.getpeername(), peer)
        self.assertEqual(client.getsockname()[0], HOST)

    def test_a_socket_object_made_from_a_descriptor(self):
        client, server = inside.connection(self)
        again = inside.closing(self, socket.socket(fileno=os.dup(client.fileno())))
        self.assertEqual((again.family, again.type, again.proto),
                         (socket.AF_VSOCK, socket.SOCK_STREAM, 0))
        again.settimeout(support.LIMIT)
        exchange(self, again, server)

    def test_timeouts(self):
        client, server = inside.connection(self)
        for sock in (client, server):
            sock.settimeout(0.01)
            with self.assertRaises(TimeoutError):
                sock.recv(1)
        listening, _ = inside.listener(self)
        listening.settimeout(0.01)
        with self.assertRaises(TimeoutError):
            listening.accept()

    def test_nothing_blocks_when_it_may_not(self):
        client, server = inside.connection(self)
        listening, _ = inside.listener(self)
        for sock, call in ((client, lambda: client.recv(1)), (server, lambda: server.recv(1)),
                           (listening, listening.accept)):
            sock.setblocking(False)
            self.assertRaises(BlockingIOError, call)

    def test_streams_of_makefile(self):
        far, near = (inside.closing(self, sock.makefile("rw"))
                     for sock in inside.connection(self))
        print("first line\nsecond", file=near, flush=True)
        self.assertEqual([far.readline(), far.readline()], ["first line\n", "second\n"])
        far.write("x" * 100_000 + "\n")
        far.flush()
        self.assertEqual(near.readline(), "x" * 100_000 + "\n")

    def test_sendfile(self):
        client, server = inside.connection(self)
        content = os.urandom(300_000)
        file = inside.closing(self, open(os.memfd_create("content"), "r+b"))
        file.write(content)
        file.seek(0)
        in_background(self, lambda: (client.sendfile(file), client.shutdown(socket.SHUT_WR)))
        self.assertEqual(server.makefile("rb").read(), content)

    def test_scattered_and_gathered(self):
        client, server = inside.connection(self)
        self.assertEqual(client.sendmsg([b"abc", b"", b"def"]), 6)
        first, second = bytearray(2), bytearray(4)
        self.assertEqual(server.recvmsg_into([first, second], 0, socket.MSG_WAITALL),
                         (6, [], 0, None))
        self.assertEqual(bytes(first + second), b"abcdef")

    def test_half_close(self):
        for side in SIDES:
            with self.subTest(server=side):
                client, server = inside.connection(self, side)
                client.sendall(b"request")
                client.shutdown(socket.SHUT_WR)
                self.assertEqual(server.makefile("rb").read(), b"request")
                server.sendall(b"answer")
                server.close()
                self.assertEqual(client.makefile("rb").read(), b"answer")

    def test_selectors(self):
        client, server = inside.connection(self)
        for kind in (selectors.SelectSelector, selectors.PollSelector, selectors.EpollSelector):
            with self.subTest(kind.__name__), kind() as selector:
                selector.register(server, selectors.EVENT_READ, "server")
                selector.register(client, selectors.EVENT_WRITE, "client")
                self.assertEqual([key.data for key, _ in selector.select(0)], ["client"])
                client.sendall(b"x")
                selector.unregister(client)
                self.assertEqual([key.data for key, _ in selector.select(support.LIMIT)],
                                 ["server"])
                server.recv(1)


class Asyncio(unittest.TestCase):

    def run_echo(self, side, talk):
        """`talk(client socket, its loop)` against an echo server, both in one event loop."""
        async def main():
            served = asyncio.Event()

            async def serve(reader, writer):
                while data := await reader.read(65536):
                    writer.write(data)
                    await writer.drain()
                writer.close()
                await writer.wait_closed()
                served.set()

            listening, address = inside.listener(self, side)
            server = await asyncio.start_server(serve, sock=listening)
            client = inside.vsock(self)
            client.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(client, address)
            try:
                return await asyncio.wait_for(talk(client, loop), support.LIMIT)
            finally:
                client.close()
                await asyncio.wait_for(served.wait(), support.LIMIT)
                server.close()

        return asyncio.run(main())

    def test_streams(self):
        async def talk(client, _):
            reader, writer = await asyncio.open_connection(sock=client)
            writer.write(b"line\n" * 100_000)
            writer.write_eof()
            answer = await reader.read()
            writer.close()
            await writer.wait_closed()
            return answer

        for side in SIDES:
            with self.subTest(server=side):
                self.assertTrue(self.run_echo(side, talk) == b"line\n" * 100_000)

    def test_calls_on_sockets(self):
        async def talk(client, loop):
            await loop.sock_sendall(client, b"bytes")
            first = await loop.sock_recv(client, 2)
            buffer = bytearray(3)
            count = await loop.sock_recv_into(client, buffer)
            return first + bytes(buffer[:count])

        for side in SIDES:
            with self.subTest(server=side):
                self.assertEqual(self.run_echo(side, talk), b"bytes")

    def test_many_connections_at_once(self):
        async def one(loop, address, number):
            with inside.vsock(self) as client:
                client.setblocking(False)
                await loop.sock_connect(client, address)
                await loop.sock_sendall(client, b"%d" % number)
                return int(await loop.sock_recv(client, 64))

        async def echo(reader, writer):
            writer.write(await reader.read(64))
            await writer.drain()
            writer.close()

        async def main(count):
            loop = asyncio.get_running_loop()
            listening, address = inside.listener(self, backlog=count)
            server = await asyncio.start_server(echo, sock=listening)
            numbers = await asyncio.gather(*(one(loop, address, n) for n in range(count)))
            server.close()
            return numbers

        self.assertEqual(asyncio.run(main(50)), list(range(50)))


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        content = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[::-1])

    def address_string(self):
        return str(self.client_address)

    def log_message(self, *_):
        pass


class VsockHttpServer(http.server.ThreadingHTTPServer):
    address_family = socket.AF_VSOCK

    def server_bind(self):
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = "vsock", self.server_address[1]


class VsockHttpConnection(http.client.HTTPConnection):

    def __init__(self, address):
        super().__init__("vsock")
        self.address = address

    def connect(self):
        self.sock = socket.socket(socket.AF_VSOCK)
        self.sock.settimeout(support.LIMIT)
        self.sock.connect(self.address)


class Servers(unittest.TestCase):

    def serve(self, server):
        in_background(self, server.serve_forever, 0.01)
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        return server.server_address[1]

    def test_http(self):
        for cid, dialled in ((ANY, GUEST), (HOST, HOST)):
            with self.subTest(cid=dialled):
                port = self.serve(VsockHttpServer((cid, ANY), Handler))
                client = inside.closing(self, VsockHttpConnection((dialled, port)))
                for content in (b"abc", os.urandom(500_000)):
                    client.request("POST", "/", content)
                    self.assertEqual(client.getresponse().read(), content[::-1])

    def test_socketserver_with_a_process_for_each(self):
        class Echo(socketserver.StreamRequestHandler):
            def handle(self):
                self.wfile.write(b"%d " % os.getpid() + self.rfile.readline())

        class Server(socketserver.ForkingMixIn, socketserver.TCPServer):
            address_family = socket.AF_VSOCK

        port = self.serve(Server((ANY, ANY), Echo))
        pids = set()
        for number in range(3):
            client = inside.vsock(self)
            client.connect((GUEST, port))
            client.sendall(b"%d\n" % number)
            pid, answer = client.makefile("rb").read().split()
            self.assertEqual(int(answer), number)
            pids.add(int(pid))
        self.assertEqual(len(pids - {os.getpid()}), 3)


class Subprocesses(unittest.TestCase):

    def test_a_child_uses_an_inherited_connection(self):
        code = ("import socket, sys; s = socket.socket(fileno=int(sys.argv[1]));"
                "s.sendall(repr(s.getpeername()).encode() + b' ' + s.recv(64))")
        client, server = inside.connection(self)
        client.setblocking(True)  # a timeout makes the descriptor, and so the child's, non-blocking
        client.set_inheritable(True)
        server.sendall(b"for the child")
        subprocess.run([sys.executable, "-c", code, str(client.fileno())],
                       pass_fds=[client.fileno()], check=True, timeout=support.LIMIT)
        client.close()
        answer = server.makefile("rb").read().decode()
        self.assertEqual(answer, f"{(GUEST, server.getsockname()[1])} for the child")

    def test_a_connection_as_standard_streams(self):
        client, server = inside.connection(self)
        client.setblocking(True)
        child = subprocess.Popen(["/bin/cat"], stdin=client, stdout=client)
        client.close()
        server.sendall(b"through cat")
        server.shutdown(socket.SHUT_WR)
        self.assertEqual(server.makefile("rb").read(), b"through cat")
        self.assertEqual(child.wait(support.LIMIT), 0)


if __name__ == "__main__":
    support.main(entered=True)
