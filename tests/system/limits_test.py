#!/usr/bin/env python3
"""What is bad or scarce costs whoever brings it one errno or one line, and nobody else anything."""

import json
import os
import resource
import signal
import socket
import stat

import support
from support import ANY, GUEST, HOST, OUTCOME, PYTHON, Program

setUpModule = support.require_shim
PORT = 4009

# Echoes to whoever comes, until its standard input ends.
ECHO = f"""
import socket, sys, threading
listener = socket.socket(socket.AF_VSOCK)
listener.bind(({ANY}, {PORT}))
listener.listen(64)
def serve():
    while True:
        try:
            with listener.accept()[0] as sock:
                while data := sock.recv(65536):
                    sock.sendall(data)
        except BrokenPipeError:
            pass
threading.Thread(target=serve, daemon=True).start()
sys.stdin.read()
"""


class LimitsTest(support.BusTest):

    def start_echo(self):
        echo = self.bus.python(ECHO)
        self.bus.wait_for_listener(PORT)
        return echo

    def assert_echo_works(self):
        code = (f"import socket; s = socket.socket(socket.AF_VSOCK); s.connect(({GUEST}, {PORT}));"
                "s.sendall(b'unharmed'); print(s.recv(64).decode())")
        self.assertEqual(self.bus.python(code).check(), b"unharmed\n")

    def answers(self, code, *arguments, **keywords):
        return json.loads(self.bus.python(OUTCOME + code, *arguments, **keywords).check())


class Descriptors(LimitsTest):

    def test_a_full_table(self):
        self.start_echo()
        code = f"""
listener, client = vsock(), vsock()
listener.bind(({ANY}, 0xffffffff))
listener.listen()
client.connect(({GUEST}, listener.getsockname()[1]))
soft = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (min(64, soft), soft))
held = []
while True:
    try:
        held.append(os.open("/dev/null", os.O_RDONLY))
    except OSError:
        break
answers = [outcome(vsock), outcome(listener.accept)]
os.close(held.pop())
answers.append(outcome(listener.accept))  # the connection was still in the queue
print(json.dumps(answers))
"""
        self.assertEqual(self.answers(code), ["EMFILE", "EMFILE", "fine"])
        self.assert_echo_works()

    def test_room_for_64(self):
        code = f"""
sockets = []
while True:
    try:
        sockets.append(vsock())
    except OSError as error:
        full = errno.errorcode[error.errno]
        break
sockets.pop().connect(({GUEST}, {PORT}))
print(json.dumps([full, len(sockets) > 40]))
"""
        self.start_echo()
        self.assertEqual(self.answers(code, preexec_fn=limit_to_64), ["EMFILE", True])
        self.assert_echo_works()

    def test_a_daemon_with_few_keeps_some_for_control(self):
        daemon = Program(self, [support.VMBUSD, "--foreground"], self.bus.environment(),
                         preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (128, 128)))
        support.wait_until(lambda: self.bus.json("status")["running"])
        self.start_echo()
        code = f"""
sockets = []
while True:
    try:
        sockets.append(vsock())
    except OSError as error:
        full = errno.errorcode[error.errno]
        break
print(full, flush=True)
sys.stdin.read()
"""
        greedy = self.bus.python(OUTCOME + code)
        greedy.wait_for_output(b"ENFILE\n")
        self.assertTrue(self.bus.json("status")["running"])
        self.assertGreater(len(self.bus.sockets()), 8)
        greedy.check()
        self.bus.wait_for_sockets(1)
        self.assert_echo_works()
        self.assertIsNone(daemon.process.poll())


    FEWEST = 32  # a daemon says that it needs so many

    def test_a_daemon_with_the_fewest_serves_and_leaves(self):
        code = f"""
listener, client = vsock(), vsock()
listener.bind(({ANY}, 0xffffffff))
listener.listen()
client.connect(({GUEST}, listener.getsockname()[1]))
server = listener.accept()[0]
client.sendall(b"x")
server.recv(1)
print(os.environ["VMBUS_SOCKET"])
"""
        for limit in (self.FEWEST, 40, 44, 64):
            with self.subTest(limit):
                program = self.bus.python(OUTCOME + code, options=["--private"],
                                          preexec_fn=lambda: limit_to(limit))
                directory = os.path.dirname(program.check().decode().strip())
                support.wait_until(lambda: not os.path.exists(directory), "the daemon's end")

    def test_a_daemon_with_fewer_says_so(self):
        program = self.bus.start("/bin/true", preexec_fn=lambda: limit_to(self.FEWEST - 1))
        self.assertEqual(program.finish(), 125)
        self.assertEqual(program.errors.count(b"\n"), 1, program)
        self.assertIn(b"hard limit on open files is 31, it needs 32", program.errors)


def limit_to(number):
    resource.setrlimit(resource.RLIMIT_NOFILE, (number, number))


def limit_to_64():
    limit_to(64)


class Pointers(LimitsTest):
    """A bad one is EFAULT, as the kernel has it, and not the end of the program."""

    CODE = OUTCOME + f"""
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
for name in ("readv", "writev", "preadv2", "pwritev2", "recvmsg", "sendmsg"):
    getattr(libc, name).restype = ctypes.c_ssize_t
class Parts(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("size", ctypes.c_size_t)]
class Message(ctypes.Structure):
    _fields_ = [("name", ctypes.c_void_p), ("name_size", ctypes.c_uint), ("parts", ctypes.c_void_p),
                ("count", ctypes.c_size_t), ("control", ctypes.c_void_p),
                ("control_size", ctypes.c_size_t), ("flags", ctypes.c_int), ("size", ctypes.c_uint)]
listener, client = vsock(), vsock()
listener.bind(({ANY}, 0xffffffff))
listener.listen()
client.connect(({GUEST}, listener.getsockname()[1]))
server = listener.accept()[0]
server.sendall(b"waiting")
bad, fd = ctypes.c_void_p(8), client.fileno()  # nothing is mapped there
word = ctypes.create_string_buffer(b"x")
many = (Parts * 5000)(*[Parts(ctypes.addressof(word), 1)] * 5000)
bad_vector = ctypes.byref(Message(parts=8, count=2))
long_vector = ctypes.byref(Message(parts=ctypes.addressof(many), count=5000))
offset = ctypes.c_long(-1)
def result(name, *arguments):
    ctypes.set_errno(0)
    value = getattr(libc, name)(*arguments)
    return errno.errorcode[ctypes.get_errno()] if value < 0 else value
print(json.dumps({{
    "readv": result("readv", fd, bad, 2), "writev": result("writev", fd, bad, 2),
    "preadv2": result("preadv2", fd, bad, 2, offset, 0),
    "pwritev2": result("pwritev2", fd, bad, 2, offset, 0),
    "recvmsg": result("recvmsg", fd, bad, 0), "sendmsg": result("sendmsg", fd, bad, 0),
    "recvmsg vector": result("recvmsg", fd, bad_vector, 0),
    "sendmsg vector": result("sendmsg", fd, bad_vector, 0),
    "recvmmsg": result("recvmmsg", fd, bad, 1, 0, None),
    "sendmmsg": result("sendmmsg", fd, bad, 1, 0),
    "recvmmsg vector": result("recvmmsg", fd, bad_vector, 1, 0, None),
    "recvmmsg timeout": result("recvmmsg", fd, bad_vector, 1, 0, bad),
    "sendmmsg vector": result("sendmmsg", fd, bad_vector, 1, 0),
    "recvfrom": result("recvfrom", fd, word, 1, socket.MSG_PEEK, word, bad),
    "stat": result("stat", b"/dev/vsock", bad),
    "statx": result("statx", -100, b"/dev/vsock", 0, 0, bad)}}))
print(json.dumps([result("sendmsg", fd, long_vector, 0), result("recvmsg", fd, long_vector, 0),
                  result("writev", fd, many, 5000)]))
print(client.recv(64).decode())
"""

    def test_it_costs_one_errno(self):
        faults, long, rest = self.bus.python(self.CODE).check().decode().splitlines()
        self.assertEqual(set(json.loads(faults).values()), {"EFAULT"}, faults)
        self.assertEqual(json.loads(long), ["EMSGSIZE", "EMSGSIZE", "EINVAL"])
        self.assertEqual(rest, "waiting")


class Killed(LimitsTest):

    def channels(self):
        return sum(guest["channels"] for guest in self.bus.json("status")["guests"])

    def assert_killed_dialler_leaves_no_trace(self, server_side, dialler_side, address):
        """A dialler whose listener has no room waits; killed there, it is as if it had never been."""
        self.start_echo()
        server = self.bus.python(f"""
import socket, sys
listener = socket.socket(socket.AF_VSOCK)
listener.bind(({address if server_side == "host" else ANY}, {PORT + 1}))
listener.listen(0)
print("listening", flush=True)
sys.stdin.readline()
listener.accept()
print("accepted", flush=True)
sys.stdin.read()
""", as_=server_side)
        server.wait_for_output(b"listening\n")
        dialler = self.bus.python(f"""
import errno, socket, sys
sockets = []
for _ in range(8):
    sockets.append(socket.socket(socket.AF_VSOCK))
    sockets[-1].setblocking(False)
    assert sockets[-1].connect_ex(({address}, {PORT + 1})) in (0, errno.EINPROGRESS)
print("under way", flush=True)
sys.stdin.read()
""", as_=dialler_side)
        dialler.wait_for_output(b"under way\n")
        self.assertTrue(self.bus.sockets(partition=dialler_side, state="connecting"))
        dialler.kill()
        dialler.finish()
        # The one that the listener had room for keeps its channel until it is accepted or gone.
        support.wait_until(lambda: self.channels() <= 1, "the channels of the dead to end")

        # A bystander may get their channel numbers; what the listener does then is not its business.
        bystander = self.bus.python(f"""
import socket, sys
sock = socket.socket(socket.AF_VSOCK)
sock.connect(({GUEST}, {PORT}))
for line in sys.stdin:
    sock.sendall(line.encode())
    print(sock.recv(64).decode(), end="", flush=True)
""", as_="host")
        bystander.write(b"before\n")
        bystander.wait_for_output(b"before\n")
        server.write(b"\n")
        server.wait_for_output(b"accepted\n")
        bystander.write(b"after\n")
        bystander.wait_for_output(b"after\n")
        bystander.check()
        server.check()
        self.bus.wait_for_sockets(1)

    def test_in_the_middle_of_connecting_to_a_guest(self):
        self.assert_killed_dialler_leaves_no_trace("guest", "host", GUEST)

    def test_in_the_middle_of_connecting_to_the_host(self):
        self.assert_killed_dialler_leaves_no_trace("host", "guest", HOST)

    def test_in_the_middle_of_a_transfer(self):
        self.start_echo()
        code = f"""
import socket
sock = socket.socket(socket.AF_VSOCK)
sock.connect(({GUEST}, {PORT}))
while True:
    sock.send(b"x" * 65536)
    print("sent", flush=True)
    sock.recv(100)
"""
        sender = self.bus.python(code)
        sender.wait_for_output(b"sent\n")
        sender.kill()
        sender.finish()
        self.bus.wait_for_sockets(1)
        self.assert_echo_works()


class Places(LimitsTest):
    """Where a bus may not be."""

    def refused(self, words, **environment):
        program = Program(self, [support.VMBUS, "run", "--", "true"],
                          {**self.bus.environment(), **environment})
        self.assertEqual(program.finish(), 125, program)
        self.assertEqual((program.output, program.errors.count(b"\n")), (b"", 1), program)
        self.assertIn(words.encode(), program.errors)
        # The bare library finds the same and answers with an errno.
        bare = self.bus.preload(PYTHON, "-c", OUTCOME + "print(outcome(vsock))",
                                environment=environment)
        self.assertEqual(bare.check(), b"EAFNOSUPPORT\n")

    def test_a_directory_open_to_others(self):
        os.chmod(self.bus.directory, 0o755)
        self.refused(str(self.bus.directory))
        os.chmod(self.bus.directory, 0o700)

    def test_a_directory_that_others_may_read(self):
        os.chmod(self.bus.directory, 0o750)
        self.refused(str(self.bus.directory))
        os.chmod(self.bus.directory, 0o700)

    def test_the_root_directory(self):
        mode = stat.S_IMODE(os.stat("/").st_mode)
        if os.access("/", os.W_OK) and mode == 0o700:
            self.skipTest("here / is as a bus directory has to be")
        self.refused("/ ", VMBUS_SOCKET="/vmbus-of-a-test")

    def test_a_link_in_place_of_the_directory(self):
        link = f"{self.bus.directory}/link"
        os.mkdir(f"{self.bus.directory}/real", 0o700)
        os.symlink("real", link)
        self.refused(link, VMBUS_SOCKET=f"{link}/bus")

    def test_somebody_elses_directory(self):
        if os.geteuid() != 0:
            self.skipTest("only root can give a directory away")
        os.chown(self.bus.directory, 65534, 65534)
        self.refused(str(self.bus.directory))
        os.chown(self.bus.directory, 0, 0)

    def test_a_file_in_the_way(self):
        with open(self.bus.socket, "w", encoding="utf-8") as file:
            file.write("precious")
        self.refused(self.bus.socket)
        with open(self.bus.socket, encoding="utf-8") as file:
            self.assertEqual(file.read(), "precious")

    def test_somebody_else_answers_on_the_socket(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as impostor:
            impostor.bind(self.bus.socket)
            impostor.listen()
            child = os.fork()
            if child == 0:
                while True:
                    impostor.accept()[0].close()
            try:
                self.refused(self.bus.socket)
            finally:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
        os.unlink(self.bus.socket)

    def test_a_long_path_is_no_obstacle(self):
        directory = self.bus.directory / ("x" * 120) / ("y" * 120)
        directory.mkdir(parents=True, mode=0o700)
        program = self.bus.python("import os, socket; socket.socket(socket.AF_VSOCK);"
                                  "print(os.environ['VMBUS_SOCKET'])",
                                  environment={"VMBUS_SOCKET": f"{directory}/bus"})
        self.assertEqual(program.check().decode(), f"{directory}/bus\n")

    def test_the_socket_is_for_its_owner_alone(self):
        self.start_echo()
        mode = os.stat(self.bus.socket).st_mode
        self.assertEqual((stat.S_ISSOCK(mode), stat.S_IMODE(mode)), (True, 0o600))

    def test_another_users_program_is_refused(self):
        if os.geteuid() != 0:
            self.skipTest("only root can be another user")
        self.start_echo()
        os.chmod(self.bus.directory, 0o711)
        os.chmod(self.bus.socket, 0o666)
        program = self.bus.preload(PYTHON, "-c", OUTCOME + "print(outcome(vsock))", user=65534,
                                   cwd="/")
        self.assertEqual(program.check(), b"EAFNOSUPPORT\n")
        os.chmod(self.bus.directory, 0o700)
        self.assertEqual(self.bus.json("status")["running"], True)
        self.assert_echo_works()


class Strangers(LimitsTest):

    def test_garbage_on_the_control_socket(self):
        self.start_echo()
        for record in (b"\0", b"\xff" * 100, b"x" * 16384, b"GET / HTTP/1.1\r\n\r\n"):
            with self.subTest(record[:4]), \
                    socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as stranger:
                stranger.settimeout(support.LIMIT)
                stranger.connect(self.bus.socket)
                stranger.send(record)
                stranger.recv(4096)  # an error or the end, not silence
        self.assertGreater(self.bus.json("status")["counters"]["bad_requests"], 0)
        self.assert_echo_works()

    def test_many_that_say_nothing(self):
        self.start_echo()
        strangers = [socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(50)]
        for stranger in strangers:
            self.addCleanup(stranger.close)
            stranger.connect(self.bus.socket)
        self.assert_echo_works()


if __name__ == "__main__":
    support.main()
