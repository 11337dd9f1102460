"""What a row of programs.py is made of, and how it is run.

Commands    Strings, cut into words as a shell would and then filled in:
              {cid} {port}   what the clients dial
              {bind}         the CID that the server binds: its own, if the profile tells it that
              {dir}          a folder of this run; it holds the row's files
              {programs}     tests/system/programs, our halves of a conversation
              {build}        a folder for what `prepare` compiles; it is shared and written once
Order       prepare, start the server, wait until it listens, the clients one after the other, end
            the server, wait until no socket is left, compare files.
"""

import dataclasses
import functools
import pathlib
import shlex
import subprocess

import support

PORT = 4100
PROGRAMS = pathlib.Path(__file__).resolve().parent / "programs"

# The server's partition, its CID, and the partition of the clients.
GUEST_SERVES = ("guest", support.GUEST, "host")
HOST_SERVES = ("host", support.HOST, "guest")

FAILS = "any status but 0"
RUNS_ON = "no status: it is killed when the clients are done"


@dataclasses.dataclass(frozen=True)
class Run:
    """One program, and what must come of it."""
    command: str
    input: bytes = b""
    status: object = 0      # or FAILS, or RUNS_ON
    printed: object = None  # all of its output: str (filled in) or bytes; None: does not matter
    says: str = ""          # somewhere in its output or errors
    within: str = ""        # the partition, where it is not that of all clients


@dataclasses.dataclass(frozen=True)
class Row:
    name: str               # a sentence, as the name of a test
    packages: str           # Debian packages, each of them in a list of tools/dev
    needs: str              # programs by name or path, and files by path: without them it is skipped
    server: Run
    clients: tuple
    sides: tuple = (GUEST_SERVES, HOST_SERVES)
    guests: tuple = ()      # more guests, as `vmbusd --vm` wants them
    files: dict = dataclasses.field(default_factory=dict)  # name -> content, in {dir} before the start
    condition: str = ""     # a command that must succeed; otherwise it is skipped
    prepare: tuple = ()     # commands that need no bus
    same: tuple = ()        # pairs of files in {dir} that must be equal at the end


def run_alone(command):
    """Runs a command that has nothing to do with the bus; its status."""
    return subprocess.run(shlex.split(command), env=support.clean_environment(), check=False,
                          stdout=subprocess.DEVNULL, timeout=support.LIMIT).returncode


@functools.cache
def prepare_once(command):
    """Runs a `prepare` command; what goes to the shared folder is made once for all rows."""
    if (status := run_alone(command)) != 0:
        raise AssertionError(f"{command} ended with {status}")


class RowTest(support.BusTest):
    """Runs rows; each test method runs one of them in one direction."""

    profile = "default"
    quirks = ()

    @classmethod
    def add(cls, rows):
        """A test method for each row and direction."""
        for row in rows:
            for side in row.sides:
                setattr(cls, f"test_{row.name}__{side[0]}_serves",
                        lambda self, row=row, side=side: self.run_row(row, side))

    def run_row(self, row, side):
        for need in row.needs.split():
            support.require_program(need, row.packages)
        if row.condition and run_alone(row.condition) != 0:
            self.skipTest(f"fails here: {row.condition}")
        self.partition, self.cid, self.dialling = side
        self.arrange(row)
        server = self.start(row.server, self.partition)
        self.wait_for_server(server)
        for client in row.clients:
            self.expect(client, self.start(client, client.within or self.dialling))
        self.end(row.server, server)
        self.bus.wait_for_sockets(0)
        for one, other in row.same:
            self.assertTrue((self.folder / one).read_bytes() == (self.folder / other).read_bytes(),
                            f"{one} and {other} differ")

    def arrange(self, row):
        self.folder = self.bus.directory / "row"
        self.folder.mkdir()
        for name, content in row.files.items():
            (self.folder / name).write_bytes(self.fill(content).encode()
                                             if isinstance(content, str) else content)
        for command in row.prepare:
            prepare_once(self.fill(command))
        if row.guests:
            self.bus.start_daemon(*(word for guest in row.guests for word in ("--vm", guest)))

    def fill(self, text):
        # A Hyper-V guest is told that its CID is 0xFFFFFFFF, and may bind no other.
        knows_its_cid = self.profile == "default" or self.partition == "host"
        return text.format(cid=self.cid, bind=self.cid if knows_its_cid else support.ANY, port=PORT,
                           dir=self.folder, programs=PROGRAMS, build=support.scratch())

    def start(self, run, partition):
        words = [self.fill(word) for word in shlex.split(run.command)]
        options = ["--profile", self.profile]
        for quirk in self.quirks:
            options += ["--quirk", quirk]
        return self.bus.start(*words, as_=partition, options=options, cwd=self.folder)

    def wait_for_server(self, server):
        def listens_or_ended():
            return server.process.poll() is not None or any(
                row["state"] == "listening" and row["local"].endswith(f":{PORT}")
                for row in self.bus.sockets(partition=self.partition))
        support.wait_until(listens_or_ended, f"a listener: {server}")
        self.assertIsNone(server.process.poll(), f"ended too early: {server}")

    def end(self, run, program):
        if run.status == RUNS_ON:
            self.assertIsNone(program.process.poll(), f"ended by itself: {program}")
            program.kill()
        self.expect(run, program)

    def expect(self, run, program):
        status = program.finish(run.input)
        if run.status != RUNS_ON:
            self.assertEqual(status != 0 if run.status == FAILS else status,
                             run.status == FAILS or run.status, str(program))
        printed = self.fill(run.printed).encode() if isinstance(run.printed, str) else run.printed
        self.assertTrue(printed is None or program.output == printed,
                        f"wanted {str(printed)[:300]} of {program}")
        self.assertIn(run.says.encode(), program.output + program.errors)
