"""socket.socket's methods for family AF_HYPERV, where CPython's C code refuses it or answers wrongly.

patch.py sends a call here when the socket is of this family; arguments are those of the C method of
the same name. Reads and writes without an address (recv, recv_into, send, sendall, sendmsg) are
missing: the C code does them for any family.
"""

import errno
import operator
import socket

from vmbus_hyperv import calls
from vmbus_hyperv.address import decode, encode


def bind(self, address, /):
    calls.bind(self, encode(address, self.proto, "bind"))


def connect(self, address, /):
    number = calls.connect(self, encode(address, self.proto, "connect"))
    if number != 0:
        raise calls.error_of(number)


def connect_ex(self, address, /):
    try:
        return calls.connect(self, encode(address, self.proto, "connect_ex"))
    except socket.timeout:
        return errno.EWOULDBLOCK


def _accept(self):
    fd, name = calls.accept(self)
    return fd, decode(name)


def getsockname(self):
    return decode(calls.getsockname(self))


def getpeername(self):
    return decode(calls.getpeername(self))


def _bytes_of(data):
    try:
        return bytes(memoryview(data))  # bytes() alone takes a number for a length
    except TypeError:
        raise TypeError(f"a bytes-like object is required, not '{type(data).__name__}'") from None


def sendto(self, *arguments):
    if len(arguments) not in (2, 3):
        raise TypeError(f"sendto() takes 2 or 3 arguments ({len(arguments)} given)")
    data, *flags, address = arguments
    data = _bytes_of(data)
    flags = operator.index(flags[0]) if flags else 0
    return calls.sendto(self, data, flags, encode(address, self.proto, "sendto"))


# A stream names no sender, nor does this family carry ancillary data: what recvfrom and recvmsg
# add to recv is always empty.


def recvfrom(self, bufsize, flags=0, /):
    return self.recv(bufsize, flags), None


def recvfrom_into(self, buffer, nbytes=0, flags=0):
    return self.recv_into(buffer, nbytes, flags), None


def recvmsg(self, bufsize, ancbufsize=0, flags=0, /):
    return self.recv(bufsize, flags), [], 0, None


def recvmsg_into(self, buffers, ancbufsize=0, flags=0, /):
    views = [memoryview(buffer).cast("B") for buffer in buffers]
    data = memoryview(self.recv(sum(len(view) for view in views), flags))
    received = len(data)
    for view in views:
        part = data[:len(view)]
        view[:len(part)] = part
        data = data[len(part):]
    return received, [], 0, None
