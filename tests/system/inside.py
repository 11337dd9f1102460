"""For tests that run on the bus themselves: sockets of both sides in one process.

A dialled CID says who the dialler is: the guest's own CID, the host; CID 2, the guest.
"""

import os
import select
import socket

import support
from support import ANY, HOST

GUEST = int(os.environ.get("VMBUS_CID", support.GUEST))

EVENT_NAMES = {select.POLLIN: "IN", select.POLLOUT: "OUT", select.POLLRDHUP: "RDHUP",
               select.POLLHUP: "HUP", select.POLLERR: "ERR", select.POLLPRI: "PRI"}


def closing(test, sock):
    test.addCleanup(sock.close)
    return sock


def vsock(test):
    """A fresh socket that waits no longer than a test may."""
    sock = closing(test, socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM))
    sock.settimeout(support.LIMIT)
    return sock


def listener(test, side="guest", port=ANY, backlog=16):
    """(listening socket, the address that reaches it)."""
    sock = vsock(test)
    sock.bind((HOST if side == "host" else ANY, port))
    sock.listen(backlog)
    return sock, (HOST if side == "host" else GUEST, sock.getsockname()[1])


def connection(test, server_side="guest"):
    """(the dialler's end, the server's end) of a new connection."""
    listening, address = listener(test, server_side)
    client = vsock(test)
    client.connect(address)
    server, _ = listening.accept()
    listening.close()
    server.settimeout(support.LIMIT)
    return client, closing(test, server)


def exchange(test, one, other):
    """Both directions of a connection carry bytes."""
    for source, target, words in ((one, other, b"there"), (other, one, b"and back")):
        source.sendall(words)
        test.assertEqual(receive(target, len(words)), words)


def receive(sock, count):
    """Just `count` bytes, or fewer at the end of the stream."""
    data = b""
    while len(data) < count and (part := sock.recv(count - len(data))):
        data += part
    return data


def events(fd):
    """What poll says of a descriptor right now, e.g. {"IN", "OUT"}."""
    poller = select.poll()
    poller.register(fd, select.POLLIN | select.POLLOUT | select.POLLRDHUP | select.POLLPRI)
    return {name for _, mask in poller.poll(0) for bit, name in EVENT_NAMES.items() if mask & bit}


def wait_for_events(fd, wanted):
    support.wait_until(lambda: events(fd) == wanted, f"{wanted}; there is {events(fd)}")


def fill(sock):
    """Sends until nothing fits any more; how many bytes that took."""
    sock.setblocking(False)
    count = 0
    while True:
        try:
            count += sock.send(b"x" * 4096)
        except BlockingIOError:
            # What the daemon moves on makes room again, until the peer's side is full too.
            if not select.select([], [sock], [], 0.5)[1]:
                return count
