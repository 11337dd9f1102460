"""libc's socket calls with raw names, waiting as CPython's C code waits.

Who calls   methods.py, for sockets of family AF_HYPERV. Nothing here knows that family, so the
            tests run it over TCP and AF_UNIX.
Libc        Reached through ctypes in the process' own scope, where a preloaded library comes first.
            ctypes lets other threads run during a call.
Waiting     A socket with a timeout is non-blocking in the kernel: poll first, call second, and
            again while the call says EAGAIN. The timeout covers all of it.
Signals     A call cut short by a signal is repeated once the signal's Python handler has returned
            (it runs between two bytecodes, so here); a handler that raises ends the call.
"""

import ctypes
import errno
import os
import select
import socket
import time

_MAX_NAME_BYTES = 128  # sizeof(struct sockaddr_storage)
_LONGEST_POLL_MS = 2**31 - 1  # its argument is an int; longer waits take several

_libc = ctypes.CDLL(None, use_errno=True)


def _declare(name, result, *arguments):
    function = getattr(_libc, name)
    function.restype = result
    function.argtypes = arguments
    return function


_Length = ctypes.POINTER(ctypes.c_uint)
_bind = _declare("bind", ctypes.c_int, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
_connect = _declare("connect", ctypes.c_int, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
_accept4 = _declare("accept4", ctypes.c_int, ctypes.c_int, ctypes.c_void_p, _Length, ctypes.c_int)
_getsockname = _declare("getsockname", ctypes.c_int, ctypes.c_int, ctypes.c_void_p, _Length)
_getpeername = _declare("getpeername", ctypes.c_int, ctypes.c_int, ctypes.c_void_p, _Length)
_sendto = _declare("sendto", ctypes.c_ssize_t, ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t,
                   ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)


def error_of(number):
    """The exception for an errno value: OSError or the subclass that belongs to it."""
    return OSError(number, os.strerror(number))


class _Deadline:
    """What is left of a socket's timeout."""

    def __init__(self, timeout):
        self._end = None if timeout is None else time.monotonic() + timeout

    def wait_for(self, sock, events):
        """Waits for `events`; socket.timeout when time is up. A closed socket is ready: it will fail."""
        fd = sock.fileno()
        if fd < 0:
            return
        poll = select.poll()
        poll.register(fd, events)
        while not poll.poll(self._left_ms()):
            pass

    def _left_ms(self):
        """How long one poll may wait, None for ever; socket.timeout when time is up."""
        if self._end is None:
            return None
        left_ms = (self._end - time.monotonic()) * 1000
        if left_ms < 0:
            raise socket.timeout("timed out")
        return min(left_ms, _LONGEST_POLL_MS)


def _repeat(sock, events, call):
    """call() until it succeeds (a result not below zero) or fails for good."""
    timeout = sock.gettimeout()
    deadline = _Deadline(timeout)
    while True:
        if timeout:
            deadline.wait_for(sock, events)
        result = call()
        if result >= 0:
            return result
        number = ctypes.get_errno()
        if number == errno.EINTR:
            continue
        if number in (errno.EAGAIN, errno.EWOULDBLOCK) and timeout:
            continue
        raise error_of(number)


def _name_of(call, sock):
    name = ctypes.create_string_buffer(_MAX_NAME_BYTES)
    length = ctypes.c_uint(_MAX_NAME_BYTES)
    if call(sock.fileno(), name, length) < 0:
        raise error_of(ctypes.get_errno())
    return name.raw[:length.value]


def bind(sock, name):
    if _bind(sock.fileno(), name, len(name)) < 0:
        raise error_of(ctypes.get_errno())


def getsockname(sock):
    return _name_of(_getsockname, sock)


def getpeername(sock):
    return _name_of(_getpeername, sock)


def accept(sock):
    """A new descriptor (close-on-exec) and its peer's name."""
    name = ctypes.create_string_buffer(_MAX_NAME_BYTES)
    length = ctypes.c_uint()

    def call():
        length.value = _MAX_NAME_BYTES
        return _accept4(sock.fileno(), name, length, socket.SOCK_CLOEXEC)

    fd = _repeat(sock, select.POLLIN, call)
    return fd, name.raw[:length.value]


def connect(sock, name):
    """Connects; returns 0 or an errno value. socket.timeout when the socket's timeout has passed.

    An attempt that a signal cut short goes on in the kernel: connecting again would be a second
    attempt, so the end of the first is awaited instead, as for one that takes its time.
    """
    if _connect(sock.fileno(), name, len(name)) == 0:
        return 0
    number = ctypes.get_errno()
    timeout = sock.gettimeout()
    is_under_way = timeout != 0 if number == errno.EINTR else (
        number == errno.EINPROGRESS and timeout is not None and timeout > 0)
    if not is_under_way:
        return number
    _Deadline(timeout).wait_for(sock, select.POLLOUT | select.POLLERR)
    number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    return 0 if number == errno.EISCONN else number


def sendto(sock, data, flags, name):
    def call():
        return _sendto(sock.fileno(), data, len(data), flags, name, len(name))

    return _repeat(sock, select.POLLOUT, call)
