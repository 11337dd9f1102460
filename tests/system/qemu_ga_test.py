#!/usr/bin/env python3
"""qemu-ga -m vsock-listen: the agent of a guest answers its host."""

import support
from support import ANY, GUEST

setUpModule = support.require_shim
PORT = 4003

# The host's end: asks the agent each command and prints what it returns, one JSON value a line.
CLIENT = r"""
import json, socket, sys
sock = socket.socket(socket.AF_VSOCK)
sock.connect((int(sys.argv[1]), int(sys.argv[2])))
stream = sock.makefile("rw")
for command in sys.argv[3:]:
    name, _, argument = command.partition("=")
    request = {"execute": name}
    if argument:
        request["arguments"] = {"id": int(argument)}
    print(json.dumps(request), file=stream, flush=True)
    print(json.dumps(json.loads(stream.readline())["return"]), flush=True)
"""


class Agent(support.BusTest):

    def setUp(self):
        self.qemu_ga = support.require_program("qemu-ga")
        super().setUp()

    def start_agent(self, cid):
        words = [self.qemu_ga, "-m", "vsock-listen", "-p", f"{cid}:{PORT}",
                 "-t", self.bus.directory, "-f", self.bus.directory / "agent.pid"]
        agent = self.bus.start(*words, as_="guest")
        self.bus.wait_for_listener(PORT, partition="guest")
        return agent

    def ask(self, *commands):
        lines = self.bus.python(CLIENT, GUEST, PORT, *commands, as_="host").check().splitlines()
        return [line.decode() for line in lines]

    def test_ping_and_sync(self):
        for cid in (GUEST, ANY):
            with self.subTest(cid=cid):
                agent = self.start_agent(cid)
                self.assertEqual(self.ask("guest-sync=1234", "guest-ping", "guest-sync=5"),
                                 ["1234", "{}", "5"])
                agent.kill()
                agent.finish()
                self.bus.wait_for_sockets(0)

    def test_one_host_after_the_other(self):
        self.start_agent(GUEST)
        for number in range(3):
            self.assertEqual(self.ask(f"guest-sync={number}"), [str(number)])


if __name__ == "__main__":
    support.main()
