# A conversation in Perl, which has no AF_VSOCK: the program packs its own addresses.
use strict; use warnings; use Socket; use IO::Handle;

my ($role, $cid, $port) = @ARGV;
my $name = pack "S S L L C x3", 40, 0, $port, $cid, 0;  # sockaddr_vm: family, -, port, CID, flags
socket(my $sock, 40, SOCK_STREAM, 0) or die "socket: $!";

if ($role eq "listen") {
    bind($sock, $name) or die "bind: $!";
    listen($sock, 5) or die "listen: $!";
    accept(my $client, $sock) or die "accept: $!";
    $client->autoflush(1);
    while (my $line = <$client>) { print $client scalar reverse($line); }
    close($client) or die "close: $!";
} else {
    connect($sock, $name) or die "connect: $!";
    my (undef, undef, $peer_port, $peer_cid) = unpack "S S L L", getpeername($sock);
    print "$peer_cid:$peer_port";
    $sock->autoflush(1);
    print $sock "stressed\n";
    shutdown($sock, 1) or die "shutdown: $!";
    print while <$sock>;
}
