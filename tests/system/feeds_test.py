#!/usr/bin/env python3
"""Feeds: a program that writes to a peer whose waits no hook sees wakes it without the daemon. Every byte, once, in
order, whatever either does with its descriptors; and nobody waits longer for the news of a dead daemon."""

import hashlib
import os
import pathlib
import re
import signal
import textwrap

import support
from support import HOST, PYTHON

setUpModule = support.require_shim

RING = {"VMBUS_MODE": "ring"}
PORT = 7000
PINGS = 1500

# What the writers begin with: `sock` is connected; ping() sends a message and waits for its echo, warm_up() does that
# until the process has a feed, and feeds() are the numbers of its feeds.
WRITER = textwrap.dedent(f"""
    import ctypes, fcntl, hashlib, os, random, re, signal, socket, sys, threading
    LIBC = ctypes.CDLL(None, use_errno=True)
    sock = socket.socket(socket.AF_VSOCK)
    sock.connect(({HOST}, {PORT}))
    def read_exactly(count):
        data = b""
        while len(data) < count:
            piece = sock.recv(count - len(data))
            if not piece:
                sys.exit("the echo ended")
            data += piece
        return data
    def ping(message):
        sock.sendall(message)
        if read_exactly(len(message)) != message:
            sys.exit("another echo")
    def sockets():
        found = set()
        for name in os.listdir("/proc/self/fd"):
            try:
                if os.readlink("/proc/self/fd/" + name).startswith("socket:"):
                    found.add(int(name))
            except OSError:
                pass
        return found
    before = sockets()
    def feeds():
        return sockets() - before
    def warm_up():
        for number in range(5000):
            if feeds():
                return
            ping(b"warm %d" % number)
        sys.exit("no feed")
""")

# Sends what a seed says: most of it in small pieces, and says its length and hash.
STREAM = WRITER + textwrap.dedent("""
    random.seed(1)
    hashed, total = hashlib.sha256(), 0
    for number in range(4000):
        piece = random.randbytes(random.choice((1, 8, 40, 64, 700, 5000) + (16_384, 70_000) * (number % 20 == 0)))
        sock.sendall(piece)
        hashed.update(piece)
        total += len(piece)
        if number % 3 == 0:
            sock.recv(1000)  # the reader has read, and is about to wait
    sock.close()
    print(total, hashed.hexdigest(), flush=True)
""")
SUMMED = WRITER + textwrap.dedent("""
    count = total = 0
    for number in range(6000):
        piece = bytes([number % 251]) * (1 + number % 90)
        sock.sendall(piece)
        count, total = count + len(piece), total + sum(piece)
        if number % 3 == 0:
            sock.recv(1000)  # as above
    sock.close()
    print(count, total, flush=True)
""")

# Echoes from one thread that waits in an edge-triggered epoll, which is the kernel's alone.
SERVER = textwrap.dedent(f"""
    import select, socket
    listener = socket.socket(socket.AF_VSOCK)
    listener.bind((socket.VMADDR_CID_ANY, {PORT}))
    listener.listen(64)
    epoll, known = select.epoll(), {{}}
    epoll.register(listener, select.EPOLLIN)
    print("listening", flush=True)
    while True:
        for fd, _ in epoll.poll():
            if fd == listener.fileno():
                sock = listener.accept()[0]
                sock.setblocking(False)
                known[sock.fileno()] = sock
                epoll.register(sock, select.EPOLLIN | select.EPOLLET)
                continue
            sock = known[fd]
            try:
                while data := sock.recv(65536):
                    sock.sendall(data)
            except BlockingIOError:
                continue
            except OSError:
                pass
            epoll.unregister(sock)
            known.pop(fd).close()
""")


# Sends to itself, and has what it sent at once.
BOTH_BYTES = 64 * 50_000
BOTH_ENDS = textwrap.dedent(f"""
    import socket
    listener = socket.socket(socket.AF_VSOCK)
    listener.bind((socket.VMADDR_CID_ANY, 7011))
    listener.listen()
    one = socket.socket(socket.AF_VSOCK)
    one.connect((1, 7011))
    other, _ = listener.accept()
    message = bytes(range(64))
    for _ in range({BOTH_BYTES} // len(message)):
        one.sendall(message)
        if other.recv(4096) != message:
            raise SystemExit("other bytes")
    print("done", flush=True)
""")


class Feeds(support.BusTest):

    def setUp(self):
        super().setUp()
        self.daemon = self.bus.start_daemon()
        self.reader_program = support.compile_c(pathlib.Path(__file__).with_name("cold_reader.c"), "-pthread")

    def counter(self, name):
        return self.bus.json("status")["counters"][name]

    def start_reader(self, how):
        reader = self.bus.start(self.reader_program, PORT, how, as_="host", environment=RING)
        support.wait_until(lambda: b"listening" in reader.errors, f"{reader} to listen")
        return reader

    def start_server(self):
        server = self.bus.start(PYTHON, "-c", SERVER, as_="host", environment=RING)
        server.wait_for_output(b"listening")
        return server

    def start_writer(self, code, *arguments):
        return self.bus.start(PYTHON, "-c", WRITER + textwrap.dedent(code), *arguments, as_="guest", environment=RING)

    def undertaker(self):
        """The daemon's only child."""
        with open(f"/proc/{self.daemon.pid}/task/{self.daemon.pid}/children", encoding="ascii") as children:
            pid, = children.read().split()
        return int(pid)

    @staticmethod
    def descriptors(pid):
        return len(os.listdir(f"/proc/{pid}/fd"))

    # --- every byte

    def test_a_reader_gets_every_byte_whatever_it_waits_in(self):
        for how in ("lt", "et", "raw"):
            with self.subTest(how=how):
                given = self.counter("feeds_given")
                reader = self.start_reader(how)
                sent, hashed = self.bus.start(PYTHON, "-c", STREAM, as_="guest",
                                                 environment=RING).check().split()
                data = reader.check()
                self.assertIn(b"end\n", reader.errors)
                self.assertEqual((str(len(data)).encode(), hashlib.sha256(data).hexdigest().encode()), (sent, hashed))
                self.assertGreater(self.counter("feeds_given"), given)

    def test_two_threads_get_each_byte_once(self):
        reader = self.start_reader("threads")
        sent = self.bus.start(PYTHON, "-c", SUMMED, as_="guest", environment=RING).check()
        self.assertEqual(reader.check(), sent)
        self.assertGreater(self.counter("feeds_given"), 0)

    def test_who_never_waits_goes_back_to_the_ring(self):
        before = self.counter("bytes_direct")
        done = self.bus.start(PYTHON, "-c", BOTH_ENDS, as_="guest", environment=RING)
        self.assertEqual(done.check(), b"done\n")
        self.bus.wait_for_sockets(0)
        # Sent and received past the pump, but for the first few of each thousand or so.
        self.assertGreater(self.counter("bytes_direct") - before, 2 * BOTH_BYTES * 3 // 4)

    def test_the_daemon_is_not_asked_for_each_message(self):
        self.start_reader("echo")
        writer = self.start_writer(f"""
            warm_up()
            print("warm", flush=True)
            sys.stdin.readline()
            for number in range({PINGS}):
                ping(b"ping %d" % number)
            print("done", flush=True)
            sys.stdin.readline()
        """)
        writer.wait_for_output(b"warm")
        before = self.counter("requests")
        writer.write(b"\n")
        writer.wait_for_output(b"done")
        # The echo has no feed in the other direction if its writer sleeps on its lane, and needs none.
        self.assertLess(self.counter("requests") - before, PINGS // 2)
        writer.check(b"\n")

    def test_a_reader_that_stops_gets_the_rest_when_it_goes_on(self):
        reader = self.start_reader("sip")
        writer = self.start_writer("""
            warm_up()
            ping(b"wait")
            sock.setblocking(False)
            total, number = 0, 0
            while True:
                try:
                    total += sock.send(bytes([number % 256]) * 64)
                except BlockingIOError:
                    break
                number += 1
            print(total, flush=True)
        """)
        total = int(writer.check())
        data = reader.check(b"\n")
        self.assertEqual(len(data), total)
        self.assertEqual(data, b"".join(bytes([number % 256]) * 64 for number in range(total // 64)))

    def test_messages_behind_one_that_is_unread_need_no_further_one(self):
        reader = self.start_reader("sip")
        writer = self.start_writer("""
            warm_up()
            ping(b"wait")
            for number in range(20):
                sock.sendall(b"%7d\\n" % number)
            print("sent", flush=True)
            sys.stdin.readline()
        """)
        writer.wait_for_output(b"sent")
        reader.write(b"\n")
        support.wait_until(lambda: len(reader.output) == 160, "all of them")
        self.assertEqual(reader.output, b"".join(b"%7d\n" % number for number in range(20)))
        writer.check(b"\n")
        reader.check()

    def test_what_was_sent_before_an_end_comes_before_it(self):
        for end in ("sock.shutdown(socket.SHUT_WR); sys.stdin.readline()", "sock.close()", "os._exit(0)"):
            with self.subTest(end=end):
                reader = self.start_reader("raw")
                writer = self.start_writer(f"""
                    for number in range(3000):
                        sock.sendall(b"%6d\\n" % number)
                    {end}
                """)
                data = reader.check()
                self.assertEqual(data, b"".join(b"%6d\n" % number for number in range(3000)))
                writer.finish(b"\n")

    # --- the program's descriptors

    def test_a_program_that_closes_everything_goes_on(self):
        self.start_reader("echo")
        self.start_writer("""
            warm_up()
            os.closerange(sock.fileno() + 1, 100_000)
            if feeds():
                sys.exit(f"{feeds()} are left")
            for number in range(50):
                ping(b"after %d" % number)
        """).check()

    def test_a_number_that_the_program_takes_is_its_own(self):
        for take in ("os.dup2(here.fileno(), number)",
                     "os.close(number); os.dup2(here.fileno(), number)",
                     # Past our hooks: fclose() closes inside libc.
                     "close_unseen(number)\nassert fcntl.fcntl(here.fileno(), fcntl.F_DUPFD, number) == number"):
            with self.subTest(take=take):
                self.start_reader("echo")
                self.start_writer(f"""
                    LIBC.fdopen.restype = ctypes.c_void_p
                    LIBC.fclose.argtypes = [ctypes.c_void_p]
                    def close_unseen(number):
                        LIBC.fclose(LIBC.fdopen(number, b"r+"))
                    warm_up()
                    number, = feeds()
                    here, there = socket.socketpair()
                    exec({take!r})
                    for count in range(50):
                        ping(b"after %d" % count)
                    if os.fstat(here.fileno()).st_ino != os.fstat(number).st_ino:
                        sys.exit("the number is taken back")
                    there.setblocking(False)
                    try:
                        sys.exit(f"{{there.recv(100)}} was written to somebody's socket")
                    except BlockingIOError:
                        pass
                """).check()

    def test_a_feed_ends_with_the_last_descriptor_of_its_connection(self):
        for close in ("sock.close(); copy.close()", "os.dup2(0, sock.fileno()); os.close(sock.detach()); copy.close()",
                      "os.closerange(sock.fileno(), 900); sock.detach(); copy.detach()"):
            with self.subTest(close=close):
                self.start_reader("echo")
                self.start_writer(f"""
                    copy = sock.dup()
                    before.add(copy.fileno())
                    warm_up()
                    copy.close()
                    copy = sock.dup()
                    before.add(copy.fileno())
                    if len(feeds()) != 1:
                        sys.exit("gone too early")
                    {close}
                    if feeds():
                        sys.exit(f"{{feeds()}} are left")
                """).check()
                self.bus.wait_for_sockets(0)

    def test_children_have_none(self):
        self.start_reader("echo")
        self.start_writer("""
            import subprocess
            warm_up()
            number, = feeds()
            child = os.fork()
            if child == 0:
                if feeds():
                    os._exit(1)
                for count in range(40):
                    ping(b"child %d" % count)
                os._exit(0)
            if os.waitpid(child, 0)[1] != 0:
                sys.exit("the child")
            for count in range(40):
                ping(b"parent %d" % count)
            if number not in feeds():
                sys.exit("the parent's is gone")
            listed = subprocess.run(["/bin/ls", "/proc/self/fd"], close_fds=False, check=True, capture_output=True)
            if str(number).encode() in listed.stdout.split():
                sys.exit("inherited through exec")
        """).check()

    def test_a_socket_that_is_passed_on(self):
        self.start_reader("echo")
        self.start_writer("""
            here, there = socket.socketpair()
            if os.fork() == 0:
                sock.close()
                _, fds, _, _ = socket.recv_fds(there, 10, 1)
                sock = socket.socket(fileno=fds[0])
                for count in range(60):
                    ping(b"receiver %d" % count)
                there.send(b"done")
                os._exit(0)
            before.update((here.fileno(), there.fileno()))
            warm_up()
            socket.send_fds(here, [b"x"], [sock.fileno()])
            if here.recv(10) != b"done":
                sys.exit("the receiver")
            for count in range(60):
                ping(b"sender %d" % count)
        """).check()

    def test_a_thousand_connections_leave_nothing_behind(self):
        self.start_server()
        writer = self.start_writer("""
            def cycle():
                global sock
                sock = socket.socket(socket.AF_VSOCK)
                sock.connect((2, 7000))
                before.add(sock.fileno())
                for count in range(24):
                    ping(b"ping %d" % count)
                given = len(feeds())
                sock.close()
                return given
            sock.close()
            before.clear()
            before.update(sockets())
            for rounds in (20, 1000):
                given = sum(cycle() for _ in range(rounds))
                print(rounds, "rounds", given, "feeds", len(sockets()), "sockets", flush=True)
                sys.stdin.readline()
        """)
        writer.wait_for_output(b"20 rounds")
        self.bus.wait_for_sockets(1)
        before = self.bus.holdings(), self.descriptors(self.undertaker())
        writer.write(b"\n")
        writer.wait_for_output(b"1000 rounds")
        self.bus.wait_for_sockets(1)
        support.wait_until(lambda: (self.bus.holdings(), self.descriptors(self.undertaker())) == before,
                           "what was held before", 30)
        first, last = (re.findall(rb"\d+", line) for line in writer.output.splitlines())
        self.assertEqual(first[2], last[2], "sockets of the program")
        self.assertGreater(int(last[1]), 500, "feeds")
        self.assertEqual(writer.finish(b"\n"), 0)

    # --- the daemon

    def start_fed_waiter(self):
        """A reader that waits for HUP alone, and a writer with a feed of it, who stays."""
        reader = self.start_reader("hup")
        writer = self.start_writer("""
            warm_up()
            ping(b"wait")
            for number in range(20):
                sock.sendall(b"x")
            print("fed", flush=True)
            sys.stdin.readline()
        """)
        return reader, writer

    def test_the_daemons_death_is_seen_at_once(self):
        reader, writer = self.start_fed_waiter()
        writer.wait_for_output(b"fed")
        support.wait_until(lambda: b"waits" in reader.errors, "the reader to wait")
        undertaker = self.undertaker()
        writer.kill(signal.SIGSTOP)
        self.daemon.kill()
        support.wait_until(lambda: b"hup" in reader.errors, "HUP", 1)
        self.assertIsNone(writer.process.poll(), "it still has the feed")
        self.assertTrue(support.wait_for_end(undertaker))
        writer.kill()
        reader.finish()

    def test_a_daemon_that_is_stopped_leaves_no_undertaker(self):
        undertaker = self.undertaker()
        self.assertEqual(self.bus.vmbus("stop").returncode, 0)
        self.assertTrue(support.wait_for_end(undertaker))

    def test_without_an_undertaker_there_are_no_feeds(self):
        os.kill(self.undertaker(), signal.SIGKILL)
        self.start_reader("echo")
        self.start_writer("""
            for number in range(100):
                ping(b"ping %d" % number)
            if feeds():
                sys.exit("a feed")
        """).check()
        self.assertEqual(self.counter("feeds_given"), 0)
        self.assertEqual(self.daemon.errors.count(b"undertaker"), 1)

    def test_the_undertaker_holds_no_output_lock_or_listener(self):
        folder = pathlib.Path(f"/proc/{self.undertaker()}/fd")
        files = sorted(os.readlink(name) for name in folder.iterdir())
        self.assertEqual(files[:3], ["/dev/null"] * 3)
        self.assertEqual([name.split(":")[0] for name in files[3:]], ["socket"])


if __name__ == "__main__":
    support.main()
