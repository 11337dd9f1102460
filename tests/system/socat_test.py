#!/usr/bin/env python3
"""socat on both sides: listening, dialling, EXEC and fork, bridges to TCP, large transfers."""

import hashlib
import random
import socket

import support
from support import GUEST, HOST

setUpModule = support.require_shim
PORT = 4000

# The two directions: who listens and as which CID, and who dials it.
SIDES = [("guest", GUEST, "host"), ("host", HOST, "guest")]


def random_bytes(count):
    return random.Random(count).randbytes(count)


class SocatTest(support.BusTest):

    def setUp(self):
        self.socat = support.require_program("socat")
        super().setUp()

    def start(self, *addresses, options=(), **keywords):
        return self.bus.start(self.socat, *options, *addresses, **keywords)

    def listen(self, other_address, *, as_, address=f"VSOCK-LISTEN:{PORT}", **keywords):
        listener = self.start(address, other_address, as_=as_, **keywords)
        self.bus.wait_for_listener(PORT, partition=as_)
        return listener


class Streams(SocatTest):

    def test_echo_both_ways(self):
        for server, cid, client in SIDES:
            with self.subTest(server=server):
                listener = self.listen("EXEC:cat", as_=server)
                dialler = self.start("-", f"VSOCK-CONNECT:{cid}:{PORT}", as_=client)
                self.assertEqual(dialler.check(b"to and fro\n"), b"to and fro\n")
                listener.check()

    def test_dialled_cid_says_who_is_who(self):
        self.start(f"VSOCK-LISTEN:{PORT}", "EXEC:cat")
        self.bus.wait_for_listener(PORT)
        dialler = self.start("-", f"VSOCK-CONNECT:{GUEST}:{PORT}")
        self.assertEqual(dialler.check(b"no --as\n"), b"no --as\n")

    def test_fork_serves_many_at_once(self):
        self.listen("EXEC:cat", as_="guest", address=f"VSOCK-LISTEN:{PORT},fork")
        diallers = [self.start("-", f"VSOCK-CONNECT:{GUEST}:{PORT}", as_="host") for _ in range(4)]
        for number, dialler in enumerate(diallers):
            dialler.write(b"%d\n" % number)
        for number, dialler in enumerate(diallers):
            dialler.wait_for_output(b"%d\n" % number)
        for number, dialler in enumerate(diallers):
            self.assertEqual(dialler.check(b"end"), b"%d\nend" % number)

    def test_bare_preload(self):
        server = self.bus.preload(self.socat, f"VSOCK-LISTEN:{PORT}", "EXEC:cat")
        self.bus.wait_for_listener(PORT)
        client = self.bus.preload(self.socat, "-", f"VSOCK-CONNECT:{GUEST}:{PORT}")
        self.assertEqual(client.check(b"bare"), b"bare")
        server.check()

    def test_64_megabytes_arrive_whole_in_every_direction(self):
        sent = random_bytes(64 << 20)
        digest = hashlib.sha256(sent).digest()
        for server, cid, client in SIDES:
            for sender in (server, client):
                with self.subTest(server=server, sender=sender):
                    self.assertEqual(self.transfer(server, cid, client, sender, sent), digest)

    def transfer(self, server, cid, client, sender, data):
        # -u: from the first address to the second; -U: from the second to the first.
        listener = self.listen("-", as_=server, options=["-u" if sender == client else "-U"])
        dialler = self.start("-", f"VSOCK-CONNECT:{cid}:{PORT}", as_=client,
                             options=["-u" if sender == client else "-U"])
        source, target = (dialler, listener) if sender == client else (listener, dialler)
        source.check(data)
        return hashlib.sha256(target.check()).digest()


class Bridges(SocatTest):
    """One socat process holds a socket of ours and a TCP one."""

    def tcp_listener(self):
        listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listener.close)
        listener.settimeout(support.LIMIT)
        return listener, listener.getsockname()[1]

    def test_vsock_to_tcp(self):
        tcp, port = self.tcp_listener()
        self.listen(f"TCP:127.0.0.1:{port}", as_="guest")
        dialler = self.start("-", f"VSOCK-CONNECT:{GUEST}:{PORT}", as_="host")
        end, _ = tcp.accept()
        with end:
            end.settimeout(support.LIMIT)
            dialler.write(b"question")
            self.assertEqual(end.recv(64), b"question")
            end.sendall(b"answer")
            dialler.wait_for_output(b"answer")
            end.shutdown(socket.SHUT_WR)
            self.assertEqual(dialler.check(), b"answer")

    def test_tcp_to_vsock(self):
        self.listen("EXEC:cat", as_="host")
        bridge = self.start("TCP-LISTEN:0,bind=127.0.0.1", f"VSOCK-CONNECT:{HOST}:{PORT}",
                            as_="guest", options=["-d", "-d"])
        port = self.tcp_port_of(bridge)
        with socket.create_connection(("127.0.0.1", port), support.LIMIT) as client:
            client.sendall(b"question")
            client.shutdown(socket.SHUT_WR)
            self.assertEqual(client.makefile("rb").read(), b"question")
        bridge.check()

    def tcp_port_of(self, bridge):
        marker = b"listening on AF=2 127.0.0.1:"
        support.wait_until(lambda: marker in bridge.errors, "socat's TCP port")
        return int(bridge.errors.split(marker)[1].split()[0])


class Guests(SocatTest):
    """Several guests on one bus are machines of their own."""

    def test_same_port_in_two_guests(self):
        self.bus.start_daemon("--vm", "second,cid=7")
        for name in ("guest", "second"):
            self.start(f"VSOCK-LISTEN:{PORT}", f"SYSTEM:echo {name}", as_=name)
            self.bus.wait_for_listener(PORT, partition=name)
        for name, cid in (("second", 7), ("guest", GUEST)):
            dialler = self.start("-", f"VSOCK-CONNECT:{cid}:{PORT}", as_="host")
            self.assertEqual(dialler.check(), b"%s\n" % name.encode())

    def test_a_guest_cannot_dial_another(self):
        self.bus.start_daemon("--vm", "second,cid=7")
        self.listen("EXEC:cat", as_="second")
        dialler = self.start("-", f"VSOCK-CONNECT:7:{PORT}", as_="guest")
        self.assertNotEqual(dialler.finish(b"hello"), 0)
        self.assertIn(b"Network is unreachable", dialler.errors)
        self.assertEqual([row["state"] for row in self.bus.sockets(partition="second")],
                         ["listening"])

    def test_each_guest_reaches_the_host(self):
        self.bus.start_daemon("--vm", "second,cid=7")
        self.listen("EXEC:cat", as_="host", address=f"VSOCK-LISTEN:{PORT},fork")
        for name in ("guest", "second"):
            dialler = self.start("-", f"VSOCK-CONNECT:{HOST}:{PORT}", as_=name)
            self.assertEqual(dialler.check(name.encode()), name.encode())


if __name__ == "__main__":
    support.main()
