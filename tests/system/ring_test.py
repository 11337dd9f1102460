#!/usr/bin/env python3
"""Programs that work the rings themselves: every byte, in order, whoever else is at the socket."""

import textwrap

import support
from support import GUEST, PYTHON

setUpModule = support.require_shim

# Sends and receives at once, in pieces of random sizes, and prints what came: its length and hash.
TALKER = textwrap.dedent("""
    import hashlib, os, random, socket, sys, threading
    role, seed, megabytes = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    random.seed(seed)
    if role == "server":
        listener = socket.socket(socket.AF_VSOCK)
        listener.bind((socket.VMADDR_CID_ANY, 7000))
        listener.listen(1)
        sock, _ = listener.accept()
    else:
        sock = socket.socket(socket.AF_VSOCK)
        sock.connect((int(sys.argv[4]), 7000))
    sent, received = hashlib.sha256(), hashlib.sha256()

    def send():
        left = megabytes << 20
        while left:
            piece = os.urandom(min(left, random.choice((1, 40, 700, 5000, 70_000, 600_000))))
            sock.sendall(piece)
            sent.update(piece)
            left -= len(piece)
        sock.shutdown(socket.SHUT_WR)

    sender = threading.Thread(target=send)
    sender.start()
    while piece := sock.recv(random.choice((1, 64, 3000, 100_000)), 0):
        received.update(piece)
    sender.join()
    print(sent.hexdigest(), received.hexdigest(), flush=True)
""")

# Writes numbered lines: by itself, through a child without the shim, through stdio, in turns, each waiting
# for the one before.
MIXED_WRITERS = textwrap.dedent("""
    import os, socket, subprocess, sys
    sock = socket.socket(socket.AF_VSOCK)
    sock.connect((2, 7000))
    for number in range(0, 300, 2):
        sock.sendall(b"%d\\n" % number)
        if number % 60 == 0:
            subprocess.run(["/usr/bin/env", "-i", "/bin/echo", str(number + 1)], stdout=sock.fileno(), check=True)
        else:
            sock.sendall(b"%d\\n" % (number + 1))
""")

READER = textwrap.dedent("""
    import socket
    listener = socket.socket(socket.AF_VSOCK)
    listener.bind((2, 7000))
    listener.listen(1)
    print("listening", flush=True)
    sock, _ = listener.accept()
    print(*sock.makefile().read().split())
""")

# Parent and child take turns at one socket, as a token in a pipe goes between them.
TWO_AT_ONE = textwrap.dedent("""
    import os, socket
    sock = socket.socket(socket.AF_VSOCK)
    sock.connect((2, 7000))
    to_child, from_parent = os.pipe(), os.pipe()
    child = os.fork() == 0
    mine, others = (to_child[0], from_parent[1]) if child else (from_parent[0], to_child[1])
    if not child:
        os.write(to_child[1], b"x")
    for number in range(0 if child else 1, 300, 2):
        os.read(mine, 1)
        sock.sendall(b"%d\\n" % number)
        os.write(others, b"x")
    if child:
        os._exit(0)
    os.wait()
""")

# Dies in the middle of its sends and receives, at no particular moment.
SHORT_LIVED = textwrap.dedent("""
    import socket, sys
    sock = socket.socket(socket.AF_VSOCK)
    sock.connect((2, 7000))
    print("connected", flush=True)
    while True:
        sock.sendall(bytes(range(256)) * 64)
        sock.recv(4096)
""")

# Both ends of a connection. The daemon stands still while the ring and then the carrier are filled; the ring has room
# again when it is killed. Prints how much came before the end; it must be as it was sent.
OUTLIVES_ITS_DAEMON = textwrap.dedent("""
    import array, os, select, signal, socket, sys
    daemon, data = int(sys.argv[1]), array.array("Q", range(200_000)).tobytes()
    listener, sender = socket.socket(socket.AF_VSOCK), socket.socket(socket.AF_VSOCK)
    listener.bind((socket.VMADDR_CID_ANY, 7000))
    listener.listen(1)
    sender.connect((1, 7000))
    receiver, _ = listener.accept()
    sender.send(data[:8000])
    received = receiver.recv(8000)
    sent = 8000

    def send():
        global sent
        try:
            sent += sender.send(data[sent:sent + 8192])
            return True
        except BlockingIOError:
            return False

    sender.setblocking(False)
    os.kill(daemon, signal.SIGSTOP)
    while send():
        pass
    while len(received) < 150_000:
        received += receiver.recv(16384)
    hang_up = select.poll()
    hang_up.register(sender, 0)
    os.kill(daemon, signal.SIGKILL)
    hang_up.poll()
    try:
        while sent < len(data):
            send()
    except OSError:
        pass
    try:
        while piece := receiver.recv(65536):
            received += piece
    except ConnectionResetError:
        pass
    if received != data[:len(received)]:
        sys.exit("bytes were overtaken")
    print(len(received))
""")

ECHO = textwrap.dedent("""
    import socket, threading
    listener = socket.socket(socket.AF_VSOCK)
    listener.bind((2, 7000))
    listener.listen(8)
    print("listening", flush=True)
    def serve(sock):
        try:
            while data := sock.recv(65536):
                sock.sendall(data)
        except OSError:
            pass
        sock.close()
    while True:
        threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
""")

RING = {"VMBUS_MODE": "ring"}
PUMP = {"VMBUS_MODE": "pump"}
# An end that only the daemon's pump works.
PUMP_ALONE = {"VMBUS_MODE": "ring", "VMBUS_QUIRKS": "low-water-poll=on"}
NO_SPIN = {"VMBUS_MODE": "ring", "VMBUS_SPIN_US": "0"}
CID_HOST = 2


class Rings(support.BusTest):

    def counter(self, name):
        return self.bus.json("status")["counters"][name]

    def start_reader(self, code):
        reader = self.bus.start(PYTHON, "-c", code, environment=RING)
        reader.wait_for_output(b"listening")
        return reader

    def test_every_byte_arrives_whoever_works_the_rings(self):
        self.bus.start_daemon()
        for near, far, cid in ((RING, RING, CID_HOST), (RING, PUMP, CID_HOST), (PUMP, RING, CID_HOST),
                               (NO_SPIN, RING, CID_HOST), (RING, RING, GUEST), (RING, RING, 1),
                               (PUMP_ALONE, RING, CID_HOST), (RING, PUMP_ALONE, CID_HOST)):
            with self.subTest(near=near, far=far, cid=cid):
                server = self.bus.start(PYTHON, "-c", TALKER, "server", "1", "6", environment=far,
                                        as_="host" if cid == CID_HOST else "guest")
                self.bus.wait_for_listener(7000)
                client = self.bus.start(PYTHON, "-c", TALKER, "client", "2", "6", str(cid),
                                        environment=near, as_="host" if cid == GUEST else "guest")
                sent, received = client.check().split()
                self.assertEqual(server.check().split(), [received, sent])
                self.bus.wait_for_sockets(0)
        self.assertGreater(self.counter("bytes_direct"), 0)

    def test_writers_without_the_shim_keep_their_place(self):
        reader = self.start_reader(READER)
        self.bus.start(PYTHON, "-c", MIXED_WRITERS, environment=RING).check()
        self.assertEqual(reader.check().split()[1:], [b"%d" % number for number in range(300)])

    def test_two_processes_write_in_turns(self):
        reader = self.start_reader(READER)
        self.bus.start(PYTHON, "-c", TWO_AT_ONE, environment=RING).check()
        self.assertEqual(reader.check().split()[1:], [b"%d" % number for number in range(300)])

    def test_nothing_follows_the_bytes_that_died_with_the_daemon(self):
        daemon = self.bus.start_daemon()
        output = self.bus.python(OUTLIVES_ITS_DAEMON, daemon.pid, environment=RING).check()
        self.assertGreater(int(output), 200_000, "what was in the ring")

    def test_programs_that_are_killed_leave_nothing_behind(self):
        self.bus.start_daemon()
        self.start_reader(ECHO)
        for round_ in range(20):
            programs = [self.bus.start(PYTHON, "-c", SHORT_LIVED, environment=RING) for _ in range(2)]
            for program in programs:
                program.wait_for_output(b"connected")
            for program in programs:
                program.kill()
                program.process.wait(support.LIMIT)
            self.bus.wait_for_sockets(1)
        status = self.bus.json("status")
        self.assertEqual(sum(guest["channels"] for guest in status["guests"]), 0)


if __name__ == "__main__":
    support.main()
