#!/usr/bin/env python3
"""A socket is the same socket under every descriptor, in every process that holds one."""

import array
import ctypes
import errno
import fcntl
import os
import pathlib
import socket
import subprocess
import sys
import unittest

import inside
import support
from inside import GUEST, exchange
from support import ANY

HERE = pathlib.Path(__file__).resolve().parent
LIBC = ctypes.CDLL(None, use_errno=True)  # the process's own names: the shim's, where it has them
SIDES = ("guest", "host")

# Reports from a process that got a socket as descriptor 0: its family, its peer, and what it reads.
REPORT = """
import socket
sock = socket.socket(fileno=0)
sock.sendall(repr((int(sock.family), sock.getpeername(), sock.recv(64))).encode())
"""


def adopt(test, fd):
    """A socket object over one more descriptor of a socket."""
    sock = inside.closing(test, socket.socket(fileno=fd))
    sock.settimeout(support.LIMIT)
    return sock


def without_shim():
    return {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}


def wait_for_exit(test, pid):
    test.assertTrue(support.wait_for_end(pid))
    test.assertEqual(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 0)


class Copies(unittest.TestCase):
    COPIES = {
        "dup": os.dup,
        "dup2": lambda fd: LIBC.dup2(fd, 150),
        "dup3": lambda fd: LIBC.dup3(fd, 151, os.O_CLOEXEC),
        "F_DUPFD": lambda fd: fcntl.fcntl(fd, fcntl.F_DUPFD, 152),
        "F_DUPFD_CLOEXEC": lambda fd: fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 153),
        "syscall": lambda fd: LIBC.syscall(32 if os.uname().machine == "x86_64" else 23, fd),
    }

    def test_a_copy_is_the_socket(self):
        for name, copy in self.COPIES.items():
            with self.subTest(name):
                client, server = inside.connection(self)
                address = client.getpeername()
                duplicate = adopt(self, copy(client.fileno()))
                client.close()
                self.assertEqual((duplicate.family, duplicate.getpeername()),
                                 (socket.AF_VSOCK, address))
                exchange(self, duplicate, server)

    def test_only_the_last_close_ends_the_connection(self):
        for name, copy in self.COPIES.items():
            with self.subTest(name):
                client, server = inside.connection(self)
                duplicate = adopt(self, copy(client.fileno()))
                client.close()
                duplicate.sendall(b"still here")
                self.assertEqual(inside.receive(server, 10), b"still here")
                self.assertEqual(inside.events(server), {"OUT"})
                duplicate.close()
                self.assertEqual(server.recv(1), b"")

    def test_a_state_is_that_of_all_copies(self):
        listening = inside.vsock(self)
        copy = adopt(self, os.dup(listening.fileno()))
        listening.bind((support.ANY, support.ANY))
        copy.listen()
        self.assertEqual(listening.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN), 1)
        client = inside.vsock(self)
        client.connect((GUEST, copy.getsockname()[1]))
        exchange(self, client, inside.closing(self, listening.accept()[0]))

    def test_dup2_over_a_socket_closes_it(self):
        client, server = inside.connection(self)
        other, far = inside.connection(self)
        os.dup2(other.fileno(), client.fileno())
        self.assertEqual(server.recv(1), b"")
        other.close()
        exchange(self, client, far)

    def test_a_number_used_again_is_another_file(self):
        read_end, write_end = os.pipe()
        client, server = inside.connection(self)
        number = client.fileno()
        client.close()
        self.assertEqual(fcntl.fcntl(read_end, fcntl.F_DUPFD, number), number)
        for fd in (read_end, write_end, number):
            self.addCleanup(os.close, fd)
        self.assertEqual(server.recv(1), b"")
        os.write(write_end, b"pipe")
        self.assertEqual(os.read(number, 4), b"pipe")
        with self.assertRaises(OSError) as raised:
            socket.socket(fileno=number).detach()
        self.assertEqual(raised.exception.errno, errno.ENOTSOCK)


class PortsAndLastClose(unittest.TestCase):

    def test_a_port_is_taken_until_the_last_close(self):
        for side in SIDES:
            with self.subTest(side):
                listening, (_, port) = inside.listener(self, side)
                copy = os.dup(listening.fileno())
                name = listening.getsockname()
                listening.close()
                with self.assertRaises(OSError) as raised:
                    inside.vsock(self).bind(name)
                self.assertEqual(raised.exception.errno, errno.EADDRINUSE)
                os.close(copy)
                inside.listener(self, side, port)

    def test_a_closed_port_is_free_at_once(self):
        for side in SIDES:
            with self.subTest(side):
                listening, (_, port) = inside.listener(self, side)
                for _ in range(100):
                    listening.close()
                    listening, _ = inside.listener(self, side, port)

    def test_a_closed_listener_is_not_reached(self):
        for side in SIDES:
            with self.subTest(side):
                for _ in range(100):
                    listening, address = inside.listener(self, side)
                    listening.close()
                    with self.assertRaises(ConnectionResetError):
                        inside.vsock(self).connect(address)

    def test_a_child_keeps_a_port(self):
        listening, (_, port) = inside.listener(self)
        name = listening.getsockname()
        child = subprocess.Popen(["/bin/cat"], stdin=subprocess.PIPE, pass_fds=[listening.fileno()])
        listening.close()
        with self.assertRaises(OSError) as raised:
            inside.vsock(self).bind(name)
        self.assertEqual(raised.exception.errno, errno.EADDRINUSE)
        child.communicate(timeout=support.LIMIT)
        inside.listener(self, port=port)

    def test_an_accepted_connection_does_not_keep_the_port(self):
        client, server = inside.connection(self)
        port = server.getsockname()[1]
        inside.listener(self, port=port)
        exchange(self, client, server)


class ManyClosed(unittest.TestCase):
    """close_range and closefrom, in a child: what they close would be the test's own."""

    CLOSE = {
        "close_range": "libc.close_range(sock.fileno(), 0xffffffff, 0)",
        "closefrom": "libc.closefrom(sock.fileno())",
        "one by one": "[libc.close(number) for number in range(sock.fileno(), 1024)]",
        "os.closerange": "os.closerange(sock.fileno(), 1024)",
        "close_range by number": "libc.syscall(436, sock.fileno(), 0xffffffff, 0)",
    }
    CODE = """
import ctypes, os, socket, sys
libc = ctypes.CDLL(None, use_errno=True)
def dial():
    sock = socket.socket(socket.AF_VSOCK)
    sock.connect((int(sys.argv[1]), int(sys.argv[2])))
    return sock
sock = dial()
{close}
fresh = dial()
fresh.sendall(repr(fresh.getpeername()).encode())
"""

    REFUSED = """
import ctypes, os, socket
libc = ctypes.CDLL(None, use_errno=True)
sock = socket.socket(socket.AF_VSOCK)
assert libc.close_range(3, 0xffffffff, 0x80) == -1
assert libc.close_range(sock.fileno() + 1, 3, 0) == -1
print(sock.getsockname())
"""

    # libc's own close, which no hook sees, stands for an inline system call.
    UNSEEN = """
import ctypes, socket, sys
libc = ctypes.CDLL(None)
listener, client = socket.socket(socket.AF_VSOCK), socket.socket(socket.AF_VSOCK)
listener.bind((0xffffffff, 0xffffffff))
listener.listen()
client.connect((int(sys.argv[1]), listener.getsockname()[1]))
for number in range(max(listener.fileno(), client.fileno()) + 1, 1024):
    libc.__close_nocancel(number)
accepted = listener.accept()[0]
client.sendall(b"words")
print(accepted.recv(64).decode())
"""

    def test_a_refused_close_range_closes_nothing(self):
        done = subprocess.run([sys.executable, "-c", self.REFUSED], capture_output=True, text=True,
                              timeout=support.LIMIT, check=True)
        self.assertEqual(done.stdout, f"({ANY}, {ANY})\n")

    def test_accept_without_the_control_connection(self):
        done = subprocess.run([sys.executable, "-c", self.UNSEEN, str(GUEST)], capture_output=True,
                              text=True, timeout=support.LIMIT, check=True)
        self.assertEqual(done.stdout, "words\n")

    def test_the_socket_is_closed_and_a_new_one_works(self):
        for name, close in self.CLOSE.items():
            with self.subTest(name):
                listening, address = inside.listener(self)
                child = subprocess.Popen([sys.executable, "-c", self.CODE.format(close=close),
                                          *map(str, address)])
                first, second = (adopt(self, listening.accept()[0].detach()) for _ in range(2))
                self.assertEqual(first.recv(1), b"")
                self.assertEqual(second.makefile().read(), repr(address))
                self.assertEqual(child.wait(support.LIMIT), 0)


class Fork(unittest.TestCase):

    def test_the_child_goes_on_alone(self):
        client, server = inside.connection(self)
        child = os.fork()
        if child == 0:
            try:
                exchange(self, client, server)
                client.sendall(repr(client.getpeername()).encode())
                os._exit(0)
            finally:
                os._exit(1)
        # The child holds both ends now, this process only the server's copy.
        address = client.getpeername()
        client.close()
        wait_for_exit(self, child)
        self.assertEqual(server.makefile().read(), repr(address))

    def test_the_child_makes_sockets_of_its_own(self):
        listening, address = inside.listener(self)
        child = os.fork()
        if child == 0:
            try:
                own = inside.vsock(self)
                own.connect(address)
                own.sendall(b"from the child")
                os._exit(0)
            finally:
                os._exit(1)
        server = adopt(self, listening.accept()[0].detach())
        self.assertEqual(server.makefile().read(), "from the child")
        wait_for_exit(self, child)

    def test_parent_and_child_accept_from_one_listener(self):
        listening, address = inside.listener(self)
        child = os.fork()
        if child == 0:
            try:
                with listening.accept()[0] as sock:
                    sock.sendall(b"child")
                os._exit(0)
            finally:
                os._exit(1)
        first = inside.vsock(self)
        first.connect(address)
        self.assertEqual(first.makefile().read(), "child")
        wait_for_exit(self, child)
        second = inside.vsock(self)
        second.connect(address)
        exchange(self, second, inside.closing(self, listening.accept()[0]))


class Exec(unittest.TestCase):

    def hand_over(self, *command, environment=None):
        """Starts COMMAND with a connection as descriptor 0; the other end."""
        client, server = inside.connection(self)
        client.setblocking(True)
        self.child = subprocess.Popen(command, stdin=client, env=environment)
        self.address = client.getpeername()
        client.close()
        return server

    def check_echo(self, server):
        server.sendall(b"x" * 100_000)
        server.shutdown(socket.SHUT_WR)
        self.assertEqual(server.makefile("rb").read(), b"x" * 100_000)
        self.assertEqual(self.child.wait(support.LIMIT), 0)

    def test_another_program_knows_the_socket(self):
        server = self.hand_over(sys.executable, "-c", REPORT)
        server.sendall(b"words")
        self.assertEqual(server.makefile().read(), repr((40, self.address, b"words")))
        self.assertEqual(self.child.wait(support.LIMIT), 0)

    def test_a_static_program_reads_and_writes(self):
        static = support.compile_c(HERE / "echo_fd.c", "-static")
        self.check_echo(self.hand_over(static, "0"))

    def test_a_program_without_the_shim_reads_and_writes(self):
        self.check_echo(self.hand_over("/bin/sh", "-c", "exec cat >&0", environment=without_shim()))

    def test_every_way_to_start_one(self):
        spawn = support.compile_c(HERE / "spawn_echo.c")
        for how in ("fork", "vfork", "posix_spawn"):
            for option in ((), ("-static",)):
                with self.subTest(how, program=option):
                    echo = support.compile_c(HERE / "echo_fd.c", *option)
                    self.check_echo(self.hand_over(spawn, how, "0", echo))

    def test_the_same_process_goes_on_as_another_program(self):
        code = "import os, sys; os.execv(sys.executable, [sys.executable, '-c', sys.argv[1]])"
        server = self.hand_over(sys.executable, "-c", code, REPORT)
        server.sendall(b"words")
        self.assertEqual(server.makefile().read(), repr((40, self.address, b"words")))
        self.assertEqual(self.child.wait(support.LIMIT), 0)

    def test_close_on_exec_closes(self):
        client, server = inside.connection(self)
        child = os.fork()
        if child == 0:
            server.close()
            os.execv("/bin/cat", ["cat", f"/dev/fd/{self.make_waiting_pipe()}"])
        client.close()
        self.assertEqual(server.recv(1), b"")
        os.kill(child, 9)
        os.waitpid(child, 0)

    def make_waiting_pipe(self):
        """A descriptor that a program started by exec reads for ever."""
        read_end, write_end = os.pipe()
        os.set_inheritable(read_end, True)
        os.set_inheritable(write_end, True)
        return read_end

    def test_a_listener_passed_as_services_get_theirs(self):
        # The protocol of systemd: descriptor 3 on, LISTEN_PID and LISTEN_FDS.
        code = """
import os, socket, sys
assert os.environ["LISTEN_FDS"] == "1" and int(os.environ["LISTEN_PID"]) == os.getpid()
listener = socket.socket(fileno=3)
assert listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 1
with listener.accept()[0] as sock:
    sock.sendall(repr(listener.getsockname()).encode())
"""
        listening, address = inside.listener(self)
        listening.setblocking(True)
        child = os.fork()
        if child == 0:
            os.dup2(listening.fileno(), 3)
            os.set_inheritable(3, True)  # it may have been 3 before
            environment = {**os.environ, "LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid())}
            os.execve(sys.executable, [sys.executable, "-c", code], environment)
        name = listening.getsockname()
        listening.close()
        client = inside.vsock(self)
        client.connect(address)
        self.assertEqual(client.makefile().read(), repr(name))
        wait_for_exit(self, child)


class Passing(unittest.TestCase):
    """SCM_RIGHTS over a plain AF_UNIX socket."""

    RECEIVER = """
import array, os, socket, sys
channel = socket.socket(fileno=0)
message, fds, _, _ = socket.recv_fds(channel, 16, 1)
os.dup2(fds[0], 1)
os.execv(sys.argv[1], sys.argv[1:])
"""

    def pass_on(self, *command, environment=None):
        """A new process receives a connection, and COMMAND goes on with it as descriptor 1."""
        near, far = socket.socketpair()
        child = subprocess.Popen([sys.executable, "-c", self.RECEIVER, *command], stdin=far,
                                 env=environment)
        far.close()
        client, server = inside.connection(self)
        client.setblocking(True)
        address = client.getpeername()
        socket.send_fds(near, [b"take it"], [client.fileno()])
        client.close()
        near.close()
        self.addCleanup(child.wait, support.LIMIT)
        return server, address

    def test_to_a_process_under_the_shim(self):
        code = REPORT.replace("fileno=0", "fileno=1")
        server, address = self.pass_on(sys.executable, "-c", code)
        server.sendall(b"words")
        self.assertEqual(server.makefile().read(), repr((40, address, b"words")))

    def test_to_a_process_without_it(self):
        echo = support.compile_c(HERE / "echo_fd.c")
        server, _ = self.pass_on(echo, "1", environment=without_shim())
        server.sendall(b"words")
        server.shutdown(socket.SHUT_WR)
        self.assertEqual(server.makefile().read(), "words")

    def test_in_one_process_and_used_there(self):
        near, far = socket.socketpair()
        client, server = inside.connection(self)
        near.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS,
                               array.array("i", [client.fileno()]))])
        address = client.getpeername()
        client.close()
        near.close()
        _, (fd,), _, _ = socket.recv_fds(far, 1, 1)
        far.close()
        received = adopt(self, fd)
        self.assertEqual(received.getpeername(), address)
        exchange(self, received, server)

    def test_a_socket_in_flight_is_open(self):
        near, far = socket.socketpair()
        client, server = inside.connection(self)
        socket.send_fds(near, [b"x"], [client.fileno()])
        client.sendall(b"sent before")
        client.close()
        self.assertEqual(inside.receive(server, 11), b"sent before")
        self.assertEqual(inside.events(server), {"OUT"})
        near.close()
        far.close()  # nobody took it: the last reference goes
        self.assertEqual(server.recv(1), b"")

    def test_over_a_socket_of_ours_nothing_is_passed(self):
        client, server = inside.connection(self)
        read_end, write_end = os.pipe()
        self.addCleanup(os.close, read_end)
        socket.send_fds(client, [b"x"], [write_end])
        data, fds, _, _ = socket.recv_fds(server, 16, 1)
        os.close(write_end)
        self.assertEqual((data, list(fds)), (b"x", []))
        self.assertEqual(os.read(read_end, 1), b"")  # no copy of the other end is anywhere


if __name__ == "__main__":
    support.main(entered=True)
