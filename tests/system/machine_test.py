#!/usr/bin/env python3
"""What happens to the machine: registered services, and guests that are paused and moved."""

import unittest

import support
from support import ANY, GUEST, OUTCOME, Program

setUpModule = support.require_shim
PORT = 4300
SERVICE = f"{PORT:08x}-facb-11e6-bd58-64006a7986d3"

BIND = OUTCOME + f"""
print(outcome(vsock().bind, (2, {PORT})))
"""

# The host listens; then, for each line of standard input, says what the guest has sent by now.
HOST = OUTCOME + f"""
listener = vsock()
listener.bind((2, {PORT}))
listener.listen()
print("up", flush=True)
sock = listener.accept()[0]
sock.sendall(b"hello")
print("accepted", flush=True)
for line in sys.stdin:
    sock.sendall(line.encode())
    print("sent", flush=True)
    print(sock.recv(100), flush=True)
"""

GUEST_END = OUTCOME + f"""
sock = vsock()
sock.connect((2, {PORT}))
print(sock.recv(5), flush=True)
for line in sys.stdin:
    sock.sendall(line.encode())
    print("sent", flush=True)
    print(sock.recv(100), flush=True)
"""


class Services(support.BusTest):

    def setUp(self):
        super().setUp()
        self.file = self.bus.directory / "services.txt"

    def write(self, text):
        self.file.write_text(text, encoding="utf-8")
        return str(self.file)

    def registered(self):
        report = self.bus.json("service", "list")
        return report["listed"], [(row["service"], row["port"], row["name"])
                                  for row in report["services"]]

    def binds(self, *options, environment=None):
        return self.bus.python(BIND, as_="host", options=("--profile", "windows", *options),
                               environment=environment).check().decode().strip()

    def refused(self, status, words, *arguments):
        done = self.bus.vmbus(*arguments)
        self.assertEqual((done.returncode, done.stdout), (status, ""), done)
        self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
        self.assertIn(words, done.stderr)

    def test_a_profile_alone_needs_no_registration(self):
        self.assertEqual(self.binds(), "fine")

    def test_run_registers_what_a_file_lists(self):
        other = self.write("# another\n0x7 seven\n")
        self.assertEqual(self.binds("--private", "--services", other), "EACCES")
        self.assertEqual(self.binds("--private", environment={"VMBUS_SERVICES": other}), "EACCES")
        listed = self.write(f"{PORT}\n")
        self.assertEqual(self.binds("--private", "--services", listed), "fine")

    def test_the_option_goes_before_the_variable(self):
        listed = self.write(f"{PORT}\n")
        none = self.bus.directory / "none.txt"
        none.write_text("# none\n", encoding="utf-8")
        self.assertEqual(self.binds("--private", "--services", str(none),
                                    environment={"VMBUS_SERVICES": listed}), "EACCES")
        self.assertEqual(self.binds("--private", "--services", listed,
                                    environment={"VMBUS_SERVICES": "/nowhere"}), "fine")

    def test_run_adds_to_the_list_of_a_bus_that_runs(self):
        with self.bus.held():
            self.assertEqual(self.bus.vmbus("service", "add", "8", "eight").returncode, 0)
            path = self.write(f"8 of another name\n{PORT} ours\n")
            self.assertEqual(self.binds("--services", path), "fine")
            self.assertEqual(self.registered(), (True, [
                ("00000008-facb-11e6-bd58-64006a7986d3", 8, "eight"), (SERVICE, PORT, "ours")]))

    def test_of_a_command_that_cannot_run_no_service_stays(self):
        path = self.write(f"{PORT}\n")
        with self.bus.held():
            self.bus.vmbus("run", "--services", path, "--", "/no/such/program")
            self.assertEqual(self.registered(), (False, []))
            self.bus.vmbus("service", "add", "8")
            self.bus.vmbus("run", "--services", path, "--", "/no/such/program")
            self.assertEqual([row[1] for row in self.registered()[1]], [8])

    def test_a_wrong_file_is_named_with_its_line(self):
        path = self.write(f"{PORT}\n\nhttp\n")
        with self.subTest("run"):
            self.refused(2, f"{path}:3: bad service 'http'", "run", "--services", path, "--", "true")
            self.refused(2, "cannot read the list of services '/nowhere'",
                         "run", "--services", "/nowhere", "--", "true")
            self.assertFalse(self.bus.json("status")["running"])
        for command, variables in ((("--services", path), {}), ((), {"VMBUS_SERVICES": path})):
            daemon = Program(self, [support.VMBUSD, "--foreground", *command],
                             self.bus.environment(**variables))
            self.assertEqual(daemon.finish(), 2, daemon)
            self.assertIn(f"{path}:3: bad service 'http'".encode(), daemon.errors)

    def test_a_daemon_may_have_it_from_its_start(self):
        self.bus.start_daemon("--services", self.write("# none\n"))
        self.assertEqual(self.registered(), (True, []))
        self.assertIn("no service is registered", self.bus.vmbus("service", "list").stdout)
        self.assertEqual(self.binds(), "EACCES")

    def test_add_list_remove(self):
        self.bus.start_daemon()
        self.assertIn("every service counts", self.bus.vmbus("service", "list").stdout)
        odd = "c3b2a190-1234-4567-89ab-cdef01234567"
        for arguments in (("add", hex(PORT), "an agent"), ("add", odd.upper())):
            self.assertEqual(self.bus.vmbus("service", *arguments).returncode, 0)
        self.assertEqual(self.registered(),
                         (True, [(SERVICE, PORT, "an agent"), (odd, None, "")]))
        self.assertIn("an agent", self.bus.vmbus("service", "list").stdout)
        self.assertEqual(self.binds(), "fine")
        self.assertEqual(self.bus.vmbus("service", "remove", SERVICE).returncode, 0)
        self.assertEqual(self.binds(), "EACCES")
        self.refused(1, f"service {PORT} is not registered", "service", "remove", str(PORT))
        self.assertEqual(self.bus.vmbus("service", "remove", "--all").returncode, 0)
        self.assertEqual((self.registered(), self.binds()), ((False, []), "fine"))

    def test_what_is_no_service(self):
        self.refused(2, "bad service 'http'", "service", "add", "http")
        self.refused(2, "bad service '4294967296'", "service", "remove", "4294967296")
        self.refused(2, "bad name of a service", "service", "add", "1", "n" * 128)
        self.refused(2, "", "service", "remove")
        self.refused(1, "no bus runs at", "service", "add", "1")
        self.refused(1, "no bus runs at", "service", "list")


class Pauses(support.BusTest):

    def act(self, *arguments):
        done = self.bus.vmbus("vm", *arguments)
        self.assertEqual((done.returncode, done.stderr), (0, ""), done)

    def refused(self, words, *arguments):
        done = self.bus.vmbus("vm", *arguments)
        self.assertEqual((done.returncode, done.stdout), (1, ""), done)
        self.assertIn(words, done.stderr)

    def connect(self, *options):
        host = self.bus.python(HOST, as_="host", options=options)
        host.wait_for_output(b"up")
        guest = self.bus.python(GUEST_END, as_="guest", options=options)
        guest.wait_for_output(b"hello")
        host.wait_for_output(b"accepted")
        return host, guest

    def received(self):
        return {row["partition"]: row["bytes_received"] for row in self.bus.sockets(state="connected")}

    def test_who_is_paused_is_shown(self):
        self.bus.start_daemon()
        self.connect()
        self.act("pause", "guest")
        [guest] = self.bus.json("vm", "list")["guests"]
        self.assertTrue(guest["paused"])
        self.assertIn("paused", self.bus.vmbus("vm", "list").stdout)
        self.assertEqual({row["partition"]: row["paused"] for row in self.bus.sockets(state="connected")},
                         {"guest": True, "host": False})
        self.assertIn("connected, paused", self.bus.vmbus("ps").stdout)
        self.act("resume", "guest")
        self.assertFalse(self.bus.json("vm", "list")["guests"][0]["paused"])
        self.assertNotIn("paused", self.bus.vmbus("ps").stdout)

    def test_what_cannot_be_done(self):
        self.refused("no bus runs at", "pause", "guest")
        self.bus.start_daemon()
        for action in ("pause", "resume", "migrate", "reset-device"):
            self.refused('no guest is called "nobody"', action, "nobody")
        self.refused('"guest" is not paused', "resume", "guest")
        self.act("pause", "guest")
        self.refused('"guest" is paused already', "pause", "guest")

    def test_data_waits(self):
        self.bus.start_daemon()
        self.bus.add_guest("second")
        host, guest = self.connect()
        before = self.received()
        self.act("pause", "guest")
        host.write(b"to the guest\n")
        guest.write(b"to the host\n")
        host.wait_for_output(b"sent")
        guest.wait_for_output(b"sent")
        # The daemon has had its turns since: another guest was served meanwhile.
        probe = OUTCOME + f"print(outcome(vsock().connect, (2, {PORT})))"
        self.bus.python(probe, as_="second").check()
        self.assertEqual(self.received(), before)
        self.act("resume", "guest")
        host.wait_for_output(b"to the host")
        guest.wait_for_output(b"to the guest")

    def test_the_withdrawal_is_on_the_wire(self):
        self.bus.start_daemon()
        host, guest = self.connect("--profile", "strict")
        self.act("migrate", "guest")
        messages = [message["name"] for message in self.bus.json("messages")["messages"]]
        self.assertIn("RESCIND_CHANNEL_OFFER", messages)
        self.assertEqual(messages.count("INITIATE_CONTACT"), 1)
        guest.write(b"x\n")
        self.assertNotEqual(guest.finish(), 0)
        self.assertIn(b"BrokenPipeError", guest.errors)
        host.write(b"x\n")
        self.assertNotEqual(host.finish(), 0)
        self.assertIn(b"ConnectionResetError", host.errors)

    def test_a_paused_guest_can_be_removed(self):
        self.bus.start_daemon()
        self.bus.add_guest("second", "--cid", "9")
        code = OUTCOME + f"""
listener = vsock()
listener.bind(({ANY}, {PORT}))
listener.listen()
print("up", flush=True)
sys.stdin.readline()
print(outcome(listener.accept))
"""
        server = self.bus.python(code, as_="second")
        server.wait_for_output(b"up")
        self.act("pause", "second")
        self.act("remove", "second", "--force")
        self.assertEqual(server.check(b"\n").split()[-1], b"ENODEV")

    def test_a_bus_whose_guest_is_paused_ends_with_its_last_user(self):
        host, guest = self.connect()
        pid = self.bus.json("status")["pid"]
        self.act("pause", "guest")
        guest.kill()
        host.kill()
        self.assertTrue(support.wait_for_end(pid), "the daemon is still there")

    def test_a_connect_waits_for_its_own_limit(self):
        self.bus.start_daemon()
        self.act("pause", "guest")
        code = OUTCOME + f"print(outcome(vsock().connect, ({GUEST}, {PORT})))"
        self.assertEqual(self.bus.python(code).check().strip(), b"ETIMEDOUT")


if __name__ == "__main__":
    support.main()
