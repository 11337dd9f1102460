"""The demonstration itself; tools/demo runs it on a bus of its own, under `vmbus run --private`.

The programs it starts are the ones beside it and socat. They know nothing of vmbus: what they need to
be told, a VM id or a port, they get on their command lines, as they would on a real machine.
"""

import hashlib
import json
import os
import pathlib
import re
import select
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
PATIENCE_S = 30

GUEST_PORT, HOST_PORT, SINK_PORT = 5000, 5001, 5002
MEBIBYTE = 1 << 20
FILE_BYTES = 64 * MEBIBYTE


def service_id(port):
    """The service that a port is, as a Linux guest and its host both reckon it."""
    return f"{port:08x}-facb-11e6-bd58-64006a7986d3"


class Program:
    """One program on the bus; what it prints is shown under the side it plays."""

    def __init__(self, side, *command):
        self.side = side
        print(f"\n    {side:5} $ vmbus run -- {' '.join(self._readable(word) for word in command)}")
        executable = [sys.executable, HERE / command[1], *command[2:]] \
            if command[0] == "python3" else command
        self.process = subprocess.Popen(
            ["vmbus", "run", "--", *executable], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, bufsize=0)

    @staticmethod
    def _readable(word):
        return f"'{word}'" if " " in word else word

    def _show(self, line):
        line = line.decode(errors="replace").rstrip()
        if line:
            print(f"          | {line}")
        return line

    def wait_until_ready(self):
        """Servers say one line once they listen."""
        if not select.select([self.process.stdout], [], [], PATIENCE_S)[0]:
            self.process.kill()
        self._show(self.process.stdout.readline())
        return self

    def finish(self, stop=False):
        """Its exit status, and the last line that it printed. `stop`: nobody will talk to it any more."""
        if stop:
            self.process.kill()
        try:
            output, _ = self.process.communicate(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            output, _ = self.process.communicate()
        lines = [self._show(line) for line in output.splitlines()]
        return self.process.returncode, lines[-1] if lines else ""


class Checks:

    def __init__(self):
        self.failed = 0

    def expect(self, good, text):
        self.failed += not good
        print(f"    {'ok' if good else 'FAILED'}: {text}")


def show_conversation(checks, server, client, heard):
    """A server and a client, each on its side; both must end well, the client with the answer."""
    server.wait_until_ready()
    client = client()
    client_status, answer = client.finish()
    print(f"    {server.side} again:")
    server_status, seen = server.finish(stop=client_status != 0)
    good = (client_status, server_status) == (0, 0) and heard in answer and "says: " in seen
    checks.expect(good, f"{client.side} asked, {server.side} answered")


def show_python(checks):
    vm_id = os.environ["VMBUS_VM_ID"]
    print("(a) Python written for Windows on the host, Python with AF_VSOCK in the guest")
    show_conversation(
        checks, Program("guest", "python3", "vsock_server.py", str(GUEST_PORT)),
        lambda: Program("host", "python3", "hyperv_client.py", vm_id, service_id(GUEST_PORT),
                        "hello, guest"),
        "the guest heard 'hello, guest'")
    show_conversation(
        checks, Program("host", "python3", "hyperv_server.py", service_id(HOST_PORT)),
        lambda: Program("guest", "python3", "vsock_client.py", str(HOST_PORT), "hello, host"),
        "the host heard 'hello, host'")


def make_file(folder):
    """A file of random bytes, and its SHA-256."""
    path = pathlib.Path(folder, "64MiB")
    digest = hashlib.sha256()
    with open(path, "wb") as file:
        for _ in range(FILE_BYTES // MEBIBYTE):
            block = os.urandom(MEBIBYTE)
            digest.update(block)
            file.write(block)
    return path, digest.hexdigest()


def show_socat(checks):
    print("\n(b) socat in the guest sends 64 MiB to Python on the host")
    with tempfile.TemporaryDirectory(prefix="vmbus-demo-") as folder:
        path, sent = make_file(folder)
        server = Program("host", "python3", "hyperv_sink.py", service_id(SINK_PORT))
        server.wait_until_ready()
        status, _ = Program("guest", "socat", "-u", f"OPEN:{path}",
                            f"VSOCK-CONNECT:2:{SINK_PORT}").finish()
        print(f"    {server.side} again:")
        server_status, line = server.finish(stop=status != 0)
    match = re.match(r"(\d+) bytes in ([\d.]+) s, SHA-256 (\w+)$", line)
    count, seconds, received = match.groups() if match else ("0", "1", "nothing")
    good = (status, server_status, int(count), received) == (0, 0, FILE_BYTES, sent)
    speed = int(count) / MEBIBYTE / float(seconds)
    checks.expect(good, f"same SHA-256 on both sides, {speed:.0f} MiB/s" if good else
                  f"sent {FILE_BYTES} bytes, SHA-256 {sent}; received {count}, {received}")


def ask_daemon(*arguments):
    result = subprocess.run(["vmbus", *arguments], stdout=subprocess.PIPE, text=True,
                            timeout=PATIENCE_S)
    return result.stdout


def released_names():
    """Names of the first connection's messages, once its channel is released: soon after it ended."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        report = json.loads(ask_daemon("messages", "--connection", "first", "--json"))
        names = [message["name"] for message in report.get("messages", ())]
        if "RELID_RELEASED" in names or time.monotonic() > deadline:
            return names


def show_messages(checks):
    print("\n(c) The control messages of the first of these connections\n")
    names = released_names()
    print("    $ vmbus messages --connection first")
    for line in ask_daemon("messages", "--connection", "first").splitlines():
        print(f"    {line}")
    expected = ["INITIATE_CONTACT", "VERSION_RESPONSE", "REQUEST_OFFERS", "ALL_OFFERS_DELIVERED",
                "OFFER_CHANNEL", "GPADL_HEADER", "GPADL_CREATED", "OPEN_CHANNEL",
                "OPEN_CHANNEL_RESULT", "RELID_RELEASED"]
    checks.expect([name for name in names if name in expected] == expected,
                  f"{len(names)} messages, from INITIATE_CONTACT to RELID_RELEASED")


def main():
    # The programs' output comes between ours.
    sys.stdout.reconfigure(line_buffering=True)
    start = time.monotonic()
    checks = Checks()
    print("A Hyper-V host and a Linux guest on this machine; unmodified programs on both sides.\n")
    show_python(checks)
    show_socat(checks)
    show_messages(checks)
    seconds = time.monotonic() - start
    print(f"\n{'All went well' if not checks.failed else f'{checks.failed} of 4 checks failed'}; "
          f"{seconds:.1f} s.")
    return 1 if checks.failed else 0


if __name__ == "__main__":
    sys.exit(main())
