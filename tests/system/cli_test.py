#!/usr/bin/env python3
"""The vmbus command: status, ps, messages, vm, stop; and one clear line for whatever is wrong."""

import json
import os
import unittest

import support
from support import ANY, GUEST, VMBUSD, Program

setUpModule = support.require_shim
PORT = 4007

# Listens in the guest and dials from the host; bytes went both ways. Ends with its standard input.
TALK = f"""
import socket, sys
listener, host = socket.socket(socket.AF_VSOCK), socket.socket(socket.AF_VSOCK)
listener.bind((0xffffffff, {PORT}))
listener.listen(5)
host.connect(({GUEST}, {PORT}))
guest = listener.accept()[0]
host.sendall(b"x" * 1000)
guest.recv(1000, socket.MSG_WAITALL)
guest.sendall(b"x" * 10)
host.recv(10, socket.MSG_WAITALL)
print("talked", flush=True)
sys.stdin.read()
host.close()
guest.recv(1)
"""

OUTCOME = """
import errno, json, socket, sys
def outcome(call, *arguments):
    try:
        result = call(*arguments)
        return result.decode() if isinstance(result, bytes) else repr(result)
    except OSError as error:
        return errno.errorcode[error.errno]
"""

# The guest's end and its listener, before and after the guest is removed by force.
SERVER = OUTCOME + f"""
listener, fresh = socket.socket(socket.AF_VSOCK), socket.socket(socket.AF_VSOCK)
listener.bind(({ANY}, {PORT}))
listener.listen()
sock = listener.accept()[0]
sock.setblocking(False)
print("accepted", flush=True)
sys.stdin.readline()
sock.setblocking(True)
print(json.dumps([outcome(sock.recv, 64), outcome(sock.recv, 64), outcome(sock.send, b"x"),
                  outcome(listener.accept), outcome(fresh.connect, (2, 1))]))
"""

# The host's end.
CLIENT = OUTCOME + f"""
sock = socket.socket(socket.AF_VSOCK)
sock.connect((9, {PORT}))
sock.sendall(b"data")
print("connected", flush=True)
sys.stdin.readline()
print(json.dumps([outcome(sock.recv, 64)]))
"""


class Reports(support.BusTest):

    def setUp(self):
        super().setUp()
        self.daemon = self.bus.start_daemon()
        self.program = self.bus.python(TALK)
        self.program.wait_for_output(b"talked")

    def test_status(self):
        status = self.bus.json("status")
        self.assertEqual((status["running"], status["pid"], status["socket_path"], status["stays"]),
                         (True, self.daemon.pid, self.bus.socket, True))
        self.assertIn(status["loop_backend"], ("io_uring", "epoll"))
        self.assertEqual(status["sockets"], 3)
        (guest,) = status["guests"]
        self.assertEqual((guest["name"], guest["cid"], guest["flavour"], guest["channels"]),
                         ("guest", GUEST, "linux", 1))
        self.assertGreater(guest["guest_memory_bytes"], 0)
        self.assertGreater(status["counters"]["requests"], 0)
        self.assertLessEqual({"version", "uptime_ms", "loop_reason", "clients", "descriptors",
                              "descriptor_limit"}, status.keys())

    def test_status_for_people(self):
        text = self.bus.vmbus("status").stdout
        for words in (self.bus.socket, f"pid {self.daemon.pid}", "guest", "COUNTER"):
            self.assertIn(words, text)

    def test_ps(self):
        rows = {(row["partition"], row["state"]): row for row in self.bus.sockets()}
        self.assertEqual(rows.keys(), {("guest", "listening"), ("guest", "connected"),
                                       ("host", "connected")})
        listener, guest, host = (rows[key] for key in (
            ("guest", "listening"), ("guest", "connected"), ("host", "connected")))
        self.assertEqual((listener["local"], listener["backlog"], listener["waiting"]),
                         (f"any:{PORT}", 5, 0))
        self.assertEqual((guest["local"], host["peer"]), (f"{GUEST}:{PORT}",) * 2)
        self.assertEqual((host["bytes_sent"], host["bytes_received"]), (1000, 10))
        self.assertEqual((guest["bytes_sent"], guest["bytes_received"]), (10, 1000))
        self.assertEqual((guest["relid"], guest["kind"], guest["guest"]),
                         (host["relid"], "channel", "guest"))
        self.assertGreater(guest["guest_to_host"]["data_bytes"], 0)
        for row in rows.values():
            self.assertEqual((row["pid"], row["family"], row["profile"]),
                             (self.program.pid, "AF_VSOCK", "default"))

    def test_ps_for_people(self):
        lines = self.bus.vmbus("ps").stdout.splitlines()
        self.assertEqual(lines[0].split()[:4], ["PARTITION", "FAMILY", "STATE", "LOCAL"])
        self.assertEqual(len(lines), 4)
        self.assertEqual(sum("listening 0/5" in line for line in lines), 1)

    def test_messages_of_a_whole_connection(self):
        self.program.check()
        self.bus.wait_for_sockets(0)
        wanted = ["INITIATE_CONTACT", "VERSION_RESPONSE", "REQUEST_OFFERS", "ALL_OFFERS_DELIVERED",
                  "OFFER_CHANNEL", "GPADL_HEADER", "GPADL_CREATED", "OPEN_CHANNEL",
                  "OPEN_CHANNEL_RESULT", "RESCIND_CHANNEL_OFFER", "CLOSE_CHANNEL",
                  "RELID_RELEASED"]  # the host closed first
        messages = support.wait_until(self.finished_messages, "the release of the channel")
        names = [message["name"] for message in messages]
        self.assertEqual([name for name in names if name != "GPADL_BODY"], wanted)
        self.assertEqual({message["direction"] for message in messages},
                         {"guest->host", "host->guest"})
        self.assertEqual(messages[0]["payload"][:8], "0e000000")  # the wire: 14, little-endian
        for kind in ("first", "last"):
            text = self.bus.vmbus("messages", "--connection", kind).stdout
            self.assertIn("RELID_RELEASED", text)
        for option, value, wanted in (("--guest", "guest", len(messages)), ("--relid", "9", 0)):
            chosen = self.bus.json("messages", option, value)["messages"]
            self.assertEqual(len(chosen), wanted, (option, value))
        unknown = self.bus.vmbus("messages", "--guest", "other")
        self.assertEqual((unknown.returncode, unknown.stdout), (1, ""))
        self.assertIn('no guest is called "other"', unknown.stderr)

    def finished_messages(self):
        messages = self.bus.json("messages")["messages"]
        return messages if messages[-1]["name"] == "RELID_RELEASED" else None

    def test_a_path_in_any_encoding(self):
        path = os.fsencode(self.bus.directory) + b"/caf\xe9/bus"
        for command in (("status", "--json"), ("run", "--", support.VMBUS, "status", "--json")):
            command = (command[0], "--socket", path, *command[1:])
            program = Program(self, [support.VMBUS, *command], self.bus.environment())
            program.finish()
            self.assertEqual(program.errors, b"")
            self.assertTrue(json.loads(program.output)["socket_path"].endswith("/caf\ufffd/bus"))

    def test_stop(self):
        self.assertEqual(self.bus.vmbus("stop").returncode, 0)
        self.assertEqual(self.daemon.finish(), 0)
        stopped = self.bus.vmbus("stop")
        self.assertEqual(stopped.returncode, 1)
        self.assertIn("no bus runs", stopped.stderr)


class Guests(support.BusTest):

    def refused(self, status, words, *arguments):
        done = self.bus.vmbus(*arguments)
        self.assertEqual((done.returncode, done.stdout), (status, ""), done)
        self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
        self.assertIn(words, done.stderr)

    def guests(self):
        return {guest["name"]: guest for guest in self.bus.json("vm", "list")["guests"]}

    def test_add_list_remove(self):
        vm_id = "12345678-9abc-def0-1122-334455667788"
        self.bus.add_guest("second")
        self.bus.add_guest("bsd", "--cid", "42", "--id", vm_id, "--flavour", "freebsd")
        guests = self.guests()
        self.assertEqual({name: guest["cid"] for name, guest in guests.items()},
                         {"guest": GUEST, "second": 4, "bsd": 42})
        self.assertEqual((guests["bsd"]["vm_id"], guests["bsd"]["flavour"]), (vm_id, "freebsd"))
        self.assertEqual(len({guest["vm_id"] for guest in guests.values()}), 3)
        self.assertIn(vm_id, self.bus.vmbus("vm", "list").stdout)
        self.assertEqual(self.bus.vmbus("vm", "remove", "bsd").returncode, 0)
        self.assertEqual(self.guests().keys(), {"guest", "second"})

    def test_those_that_stay_are_permanent_and_keep_the_daemon(self):
        self.bus.add_guest("second")
        self.assertEqual({name: guest["permanent"] for name, guest in self.guests().items()},
                         {"guest": True, "second": True})
        self.assertTrue(self.bus.json("status")["stays"])
        self.assertIn("vmbus vm remove", self.bus.vmbus("status").stdout.splitlines()[1])
        with self.bus.held():
            self.assertEqual(self.bus.vmbus("vm", "remove", "second").returncode, 0)
            self.assertFalse(self.bus.json("status")["stays"])

    def test_messages_of_a_removed_guest_can_still_be_read(self):
        self.bus.add_guest("second", "--cid", "9")
        code = (f"import socket; s = socket.socket(socket.AF_VSOCK); s.bind((2, {PORT}));"
                "s.listen(); print('up', flush=True); s.accept(); s.accept()")
        server = self.bus.python(code, as_="host")
        server.wait_for_output(b"up")
        dial = f"import socket; socket.socket(socket.AF_VSOCK).connect((2, {PORT}))"
        self.bus.python(dial, as_="second").check()
        self.assertEqual(self.bus.vmbus("vm", "remove", "second", "--force").returncode, 0)
        self.assertGreater(len(self.bus.json("messages", "--guest", "second")["messages"]), 0)
        self.bus.python(dial, as_="guest").check()
        server.check()

    def test_of_a_command_that_cannot_run_none_stays(self):
        for command in (("--vm", "x,cid=9", "--vm", "y,cid=9", "--", "true"),
                        ("--vm", "x,cid=9", "--as", "nobody", "--", "true"),
                        ("--vm", "x,cid=9", "--", "/no/such/program")):
            with self.subTest(command), self.bus.held():
                self.assertIn(self.bus.vmbus("run", *command).returncode, (2, 125, 127))
                self.assertEqual(self.guests().keys(), {"guest"})
        support.wait_until(lambda: not self.bus.json("status")["running"], "the daemon's end")

    def test_what_is_in_use_or_not_there(self):
        self.bus.add_guest("second", "--cid", "9")
        vm_id = self.guests()["second"]["vm_id"]
        for status, words, arguments in (
                (1, "second", ("add", "second")), (1, "CID 9", ("add", "x", "--cid", "9")),
                (1, vm_id, ("add", "x", "--id", vm_id)), (1, "nobody", ("remove", "nobody")),
                (1, "guest", ("remove", "guest")), (1, "guest", ("remove", "guest", "--force"))):
            with self.subTest(arguments):
                self.refused(status, words, "vm", *arguments)
        self.assertEqual(self.guests().keys(), {"guest", "second"})

    def test_a_guest_with_sockets_is_removed_by_force_alone(self):
        self.bus.add_guest("second", "--cid", "9")
        server = self.bus.python(SERVER, as_="second")
        self.bus.wait_for_listener(PORT, partition="second")
        client = self.bus.python(CLIENT, as_="host")
        client.wait_for_output(b"connected")
        server.wait_for_output(b"accepted")
        self.refused(1, "second", "vm", "remove", "second")
        self.assertEqual(self.bus.vmbus("vm", "remove", "second", "--force").returncode, 0)
        self.assertEqual(json.loads(server.check(b"\n").splitlines()[-1]),
                         ["data", "", "EPIPE", "ENODEV", "ENODEV"])
        self.assertEqual(json.loads(client.check(b"\n").splitlines()[-1]), ["ECONNRESET"])

    def test_without_a_bus(self):
        for arguments in (("status",), ("ps",), ("messages",), ("vm", "list"), ("stop",)):
            with self.subTest(arguments):
                self.refused(1, "no bus runs at", *arguments)
        self.assertFalse(os.path.exists(self.bus.socket))
        self.assertEqual(self.bus.json("status"),
                         {"running": False, "socket_path": self.bus.socket})


    def test_where_a_bus_cannot_be(self):
        with open(self.bus.socket, "w", encoding="utf-8"):
            self.assertFalse(self.bus.json("status")["running"])
            self.assertIn("is a file", self.bus.vmbus("status", "--json").stderr)
            for arguments in (("status",), ("vm", "list"), ("vm", "add", "x")):
                with self.subTest(arguments):
                    self.refused(1, f"{self.bus.socket} is a file", *arguments)
            self.refused(125, f"{self.bus.socket} is a file", "run", "--", "true")
        os.unlink(self.bus.socket)


class Profiles(support.BusTest):
    """--profile and --quirk reach the sockets; `vmbus profiles` shows the table they are from."""

    PEEK = """if True:
        import errno, socket, threading
        server = socket.socket(socket.AF_VSOCK); server.bind((2, 5000)); server.listen()
        client = socket.socket(socket.AF_VSOCK); client.connect((2, 5000))
        server.accept()[0].send(b"x")
        try: print(client.recv(1, socket.MSG_PEEK))
        except OSError as error: print(errno.errorcode[error.errno])
    """

    def run_with(self, *options, environment=None):
        command = [support.VMBUS, "run", *options, "--", support.PYTHON, "-c", self.PEEK]
        program = Program(self, command, {**self.bus.environment(), **(environment or {})})
        return program.check().decode().strip()

    def test_a_setting_changes_one_row(self):
        self.assertEqual(self.run_with(), "b'x'")
        self.assertEqual(self.run_with("--quirk", "peek=off"), "ENOTSUP")
        self.assertEqual(self.run_with("--profile", "strict"), "ENOTSUP")
        self.assertEqual(self.run_with("--profile", "strict", "--quirk", "peek=off",
                                       "--quirk", "peek=on"), "b'x'")

    def test_the_option_counts_more_than_the_variable(self):
        variables = {"VMBUS_PROFILE": "strict", "VMBUS_QUIRKS": "peek=on,vintage=6.6"}
        self.assertEqual(self.run_with(environment=variables), "b'x'")
        self.assertEqual(self.run_with("--quirk", "peek=refuse", environment=variables), "ENOTSUP")

    def test_ps_shows_whose_sockets_they_are(self):
        code = ("import socket; s = socket.socket(socket.AF_VSOCK); s.bind((-1, 5001)); s.listen();"
                "print('up', flush=True); s.accept()")
        program = Program(self, [support.VMBUS, "run", "--profile", "virtio", "--quirk", "vintage=6.6",
                                 "--", support.PYTHON, "-c", code], self.bus.environment())
        program.wait_for_output(b"up")
        [row] = self.bus.json("ps")["sockets"]
        self.assertEqual(row["profile"], "virtio+vintage=6.6")

    def test_a_wrong_name_brings_the_nearest(self):
        for options, hint in ((("--profile", "strct"), "did you mean 'strict'?"),
                              (("--quirk", "peak=off"), "did you mean 'peek'?"),
                              (("--quirk", "outq=count"), "did you mean 'counted'?"),
                              (("--quirk", "hup=on"), "nothing obeys that yet")):
            with self.subTest(options):
                program = Program(self, [support.VMBUS, "run", *options, "--", "true"],
                                  self.bus.environment())
                self.assertEqual(program.finish(), 2, program)
                self.assertIn(hint.encode(), program.errors)

    def test_the_table_is_shown_for_people_and_scripts(self):
        table = self.bus.vmbus("profiles").stdout
        self.assertRegex(table, r"(?m)^peek +Q1 +on +off +on +refuse +on +obeyed$")
        self.assertIn("peek=off", self.bus.vmbus("profiles", "strict").stdout)
        report = self.bus.json("profiles")
        self.assertEqual([profile["name"] for profile in report["profiles"]],
                         ["default", "strict", "virtio", "freebsd", "windows"])
        [peek] = [row for row in report["quirks"] if row["name"] == "peek"]
        self.assertEqual(peek["values"]["freebsd"], "refuse")


class BadValues(support.BusTest):
    """Each is one line that names the value, and exit status 2."""

    COMMANDS = (
        ("frobnicate",), ("run",), ("run", "--as", "nobody", "--", "true"),
        ("run", "--profile", "odd", "--", "true"), ("run", "--quirk", "peek", "--", "true"),
        ("run", "--quirk", "peek=odd", "--", "true"), ("profiles", "odd"), ("run", "--mode", "odd", "--", "true"),
        ("run", "--vm", "x,cid=odd", "--", "true"), ("vm",), ("vm", "add"),
        ("vm", "add", "x", "--cid", "2"), ("vm", "add", "x", "--cid", "-1"),
        ("vm", "add", "x", "--cid", "4294967295"), ("vm", "add", "x", "--cid", "4294967296"), ("vm", "add", "x", "--id", "odd"),
        ("vm", "add", "x", "--flavour", "beos"), ("vm", "add", "host"),
        ("vm", "add", b"\xff"), ("vm", "add", "x", "--id", b"\xff"),
        ("vm", "add", "x", "--flavour", b"\xff"), ("vm", "remove", b"\xff"),
        ("messages", "--guest", b"\xff"), ("run", "--vm", b"\xff", "--", "true"),
        ("run", "--as", b"\xff", "--", "true"),
        ("messages", "--connection", "third"), ("messages", "--relid", "odd"), ("ps", "extra"))
    VARIABLES = {"VMBUS_MODE": "odd", "VMBUS_SPIN_US": "long", "VMBUS_PROFILE": "odd", "VMBUS_QUIRKS": "odd", "VMBUS_LOG": "loud",
                 "VMBUS_PARTITION": "nobody", "VMBUS_SOCKET": "relative", "VMBUS_PYTHON": "7",
                 "VMBUS_LOOP": "odd", "VMBUS_DAEMON": "/no/such/vmbusd"}

    def check(self, program, word):
        self.assertEqual(program.finish(), 2, program)
        self.assertEqual((program.output, program.errors.count(b"\n")), (b"", 1), program)
        self.assertIn(word.encode(), program.errors)

    def test_of_a_command(self):
        for command in self.COMMANDS:
            with self.subTest(command):
                program = Program(self, [support.VMBUS, *command], self.bus.environment())
                self.check(program, "vmbus: ")

    def test_a_bad_name_starts_no_daemon(self):
        for command in (("vm", "add", b"\xff"), ("vm", "add", "a b"), ("run", "--vm", "a b", "--", "true")):
            with self.subTest(command):
                self.assertEqual(self.bus.vmbus(*command).returncode, 2)
                self.assertFalse(os.path.exists(self.bus.socket + ".lock"))

    def test_a_cid_is_told_the_range_and_where_to_read_on(self):
        for cid in ("2", "-1", "4294967296"):
            error = self.bus.vmbus("vm", "add", "x", "--cid", cid).stderr
            self.assertIn("3 to 4294967294", error)
            self.assertIn("vmbus vm add --help", error)

    def test_of_a_variable(self):
        for name, value in self.VARIABLES.items():
            with self.subTest(name):
                environment = {**self.bus.environment(), name: value}
                program = Program(self, [support.VMBUS, "run", "--", "true"], environment)
                self.check(program, value)

    def test_of_the_daemon(self):
        for arguments, variable in ((("--loop", "odd"), {}), (("--log", "odd"), {}),
                                    (("--vm", "x,cid=odd"), {}), (("odd",), {}),
                                    ((), {"VMBUS_LOOP": "odd"}), ((), {"VMBUS_LOG": "odd"}),
                                    ((), {"VMBUS_SOCKET": "odd"})):
            with self.subTest(arguments=arguments, variable=variable):
                environment = {**self.bus.environment(), **variable}
                self.check(Program(self, [VMBUSD, "--foreground", *arguments], environment), "odd")

    def test_of_the_bare_library(self):
        code = ("import errno, socket\ntry:\n    socket.socket(socket.AF_VSOCK)\n"
                "except OSError as error: print(errno.errorcode[error.errno])")
        for name in ("VMBUS_MODE", "VMBUS_SPIN_US", "VMBUS_PROFILE", "VMBUS_QUIRKS", "VMBUS_SOCKET"):
            value = self.VARIABLES[name]
            with self.subTest(name):
                program = self.bus.preload(support.PYTHON, "-c", code, environment={name: value})
                self.assertEqual((program.check(), program.errors), (b"EINVAL\n", b""))
                told = self.bus.preload(support.PYTHON, "-c", code,
                                        environment={name: value, "VMBUS_LOG": "on"})
                self.assertEqual(told.check(), b"EINVAL\n")
                self.assertIn(value.encode(), told.errors)


class Output(support.BusTest):
    """What could not be written is no success: one line on standard error, exit status 1."""

    COMMANDS = (("status", "--json"), ("status",), ("ps",), ("vm", "list"), ("--help",),
                ("run", "--help"), ("--version",))

    def check(self, redirection):
        self.bus.start_daemon()
        for command in self.COMMANDS:
            with self.subTest(command):
                program = Program(self, ["/bin/sh", "-c", f'exec "$@" {redirection}', "sh",
                                         support.VMBUS, *command], self.bus.environment())
                self.assertEqual(program.finish(), 1, program)
                self.assertEqual((program.output, program.errors.count(b"\n")), (b"", 1), program)
                self.assertIn(b"cannot write", program.errors)

    def test_into_a_full_device(self):
        self.check(">/dev/full")

    def test_into_a_closed_stream(self):
        self.check(">&-")

    def test_a_command_inherits_the_closed_stream(self):
        program = self.bus.start("/bin/sh", "-c",
                                 f'exec "$@" >&-', "sh", support.VMBUS, "run", "--", support.PYTHON,
                                 "-c", "import os, sys\ntry: os.fstat(1)\n"
                                       "except OSError: sys.exit(7)")
        self.assertEqual(program.finish(), 7, program)


class Help(unittest.TestCase):

    def test_names_what_takes_the_family_from_python(self):
        program = Program(self, [support.VMBUS, "run", "--help"], support.clean_environment())
        self.assertIn(b"-I`, -E and -S", program.check())

    def test_teaches_with_examples(self):
        for command in ((), ("run",), ("status",), ("ps",), ("stop",), ("messages",), ("profiles",), ("vm",),
                        ("vm", "add"), ("vm", "list"), ("vm", "remove")):
            with self.subTest(command):
                program = Program(self, [support.VMBUS, *command, "--help"],
                                  support.clean_environment())
                self.assertIn(b"Examples:\n  vmbus ", program.check())
        program = Program(self, [VMBUSD, "--help"], support.clean_environment())
        self.assertIn(b"Examples:\n  vmbusd ", program.check())


if __name__ == "__main__":
    support.main()
