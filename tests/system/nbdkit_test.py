#!/usr/bin/env python3
"""nbdkit --vsock serves a disk; nbdinfo and nbdcopy use it through nbd+vsock://."""

import json

import support
from support import GUEST, HOST

setUpModule = support.require_shim
PORT = 10809
MEGABYTE = 1 << 20

# Who serves, as which CID, and who dials it.
SIDES = [("host", HOST, "guest"), ("guest", GUEST, "host")]


class Nbdkit(support.BusTest):

    def setUp(self):
        self.nbdkit = support.require_program("nbdkit")
        self.nbdinfo = support.require_program("nbdinfo")
        self.nbdcopy = support.require_program("nbdcopy")
        super().setUp()

    def serve(self, *plugin, as_):
        words = [self.nbdkit, "--foreground", "--exit-with-parent", "--vsock", "--port", PORT]
        server = self.bus.start(*words, *plugin, as_=as_)
        self.bus.wait_for_listener(PORT, partition=as_)
        return server

    def stop(self, server):
        server.kill()
        server.finish()
        self.bus.wait_for_sockets(0)

    def run_client(self, *words, as_):
        return self.bus.start(*words, as_=as_).check()

    def test_nbdinfo(self):
        for server, cid, client in SIDES:
            with self.subTest(server=server):
                disk = self.serve("pattern", "size=1G", as_=server)
                words = [self.nbdinfo, "--json", f"nbd+vsock://{cid}:{PORT}"]
                (export,) = json.loads(self.run_client(*words, as_=client))["exports"]
                self.assertEqual(export["export-size"], 1 << 30)
                self.stop(disk)

    def test_nbdcopy_reads_the_whole_disk(self):
        expected = b"".join(offset.to_bytes(8, "big") for offset in range(0, 8 * MEGABYTE, 8))
        for server, cid, client in SIDES:
            with self.subTest(server=server):
                disk = self.serve("pattern", "size=8M", as_=server)
                words = [self.nbdcopy, f"nbd+vsock://{cid}:{PORT}", "-"]
                self.assertTrue(self.run_client(*words, as_=client) == expected)
                self.stop(disk)

    def test_nbdcopy_writes_and_reads_back(self):
        source = self.bus.directory / "source"
        target = self.bus.directory / "target"
        source.write_bytes(bytes(range(256)) * (4 * MEGABYTE // 256))
        for server, cid, client in SIDES:
            with self.subTest(server=server):
                disk, uri = self.serve("memory", "size=4M", as_=server), f"nbd+vsock://{cid}:{PORT}"
                self.run_client(self.nbdcopy, source, uri, as_=client)
                target.write_bytes(b"")
                self.run_client(self.nbdcopy, uri, target, as_=client)
                self.assertTrue(target.read_bytes() == source.read_bytes())
                self.stop(disk)

    def test_several_connections_to_one_disk(self):
        self.serve("data", "data=(0x55 0xAA)*524288", as_="guest")
        words = [self.nbdcopy, "--connections=4", f"nbd+vsock://{GUEST}:{PORT}", "-"]
        self.assertTrue(self.run_client(*words, as_="host") == b"\x55\xaa" * (MEGABYTE // 2))


if __name__ == "__main__":
    support.main()
