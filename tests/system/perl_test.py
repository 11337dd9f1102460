#!/usr/bin/env python3
"""Perl, which has no AF_VSOCK: programs that pack their own addresses."""

import support
from support import GUEST, HOST

setUpModule = support.require_shim
PORT = 4004

PREAMBLE = r"""
use strict; use warnings; use Socket;
sub vsock { pack "S S L L C x3", 40, 0, $_[0], $_[1], 0 }  # sockaddr_vm: family, port, CID, flags
socket(my $sock, 40, SOCK_STREAM, 0) or die "socket: $!";
"""

SERVER = PREAMBLE + r"""
bind($sock, vsock($ARGV[1], $ARGV[0])) or die "bind: $!";
listen($sock, 5) or die "listen: $!";
accept(my $client, $sock) or die "accept: $!";
$client->autoflush(1);
while (my $line = <$client>) { print $client scalar reverse($line); }
close($client) or die "close: $!";
"""

CLIENT = PREAMBLE + r"""
connect($sock, vsock($ARGV[1], $ARGV[0])) or die "connect: $!";
my (undef, undef, $port, $cid) = unpack "S S L L", getpeername($sock);
print "$cid:$port";
$sock->autoflush(1);
print $sock "stressed\n";
shutdown($sock, 1) or die "shutdown: $!";
print while <$sock>;
"""


class Perl(support.BusTest):

    def test_both_sides(self):
        perl = support.require_program("perl")
        for server, cid, client in (("guest", GUEST, "host"), ("host", HOST, "guest")):
            with self.subTest(server=server):
                listener = self.bus.start(perl, "-e", SERVER, cid, PORT, as_=server)
                self.bus.wait_for_listener(PORT, partition=server)
                dialler = self.bus.start(perl, "-e", CLIENT, cid, PORT, as_=client)
                self.assertEqual(dialler.check(), b"%d:%d\ndesserts" % (cid, PORT))
                listener.check()


if __name__ == "__main__":
    support.main()
