"""Puts AF_HYPERV into the `socket` module.

socket.socket keeps its identity: methods are replaced, not the class. So subclasses made before and
after (ssl.SSLSocket, a program's own), isinstance(), repr() and the reducers of multiprocessing all go
on working.

Cost        A program that imports `socket` and has no such socket pays for this file alone. What
            serves the family (ctypes above all) is imported at the first call that needs it.
"""

import _socket
import functools
import sys

from vmbus_hyperv.constants import AF_HYPERV, NAMES

# Methods that CPython's C code refuses for this family or answers wrongly (methods.py).
_SERVED = ("bind", "connect", "connect_ex", "_accept", "getsockname", "getpeername", "sendto",
           "recvfrom", "recvfrom_into", "recvmsg", "recvmsg_into")

_family_of = _socket.socket.family.__get__  # the plain number; no enumeration member is looked up


def _choose(name):
    """A method that asks methods.py for AF_HYPERV and the C code for every other family."""
    original = getattr(_socket.socket, name)

    @functools.wraps(original)
    def method(self, *args, **kwargs):
        if _family_of(self) != AF_HYPERV:
            return original(self, *args, **kwargs)
        from vmbus_hyperv import methods
        return getattr(methods, name)(self, *args, **kwargs)

    return method


def _add_address_family(families):
    """AF_HYPERV as a member of AddressFamily, an enumeration that `socket` has closed already."""
    member = int.__new__(families, AF_HYPERV)
    member._name_ = "AF_HYPERV"
    member._value_ = AF_HYPERV
    member.__objclass__ = families
    member._sort_order_ = len(families._member_names_)
    families.AF_HYPERV = member
    families._member_names_.append("AF_HYPERV")
    families._member_map_["AF_HYPERV"] = member
    families._value2member_map_[AF_HYPERV] = member
    return member


def install(module=None):
    """Adds the names to `socket` (or to `module`, a fresh copy of it) and `_socket`. Idempotent."""
    if module is None:
        import socket as module
    if sys.platform != "linux" or hasattr(module, "AF_HYPERV"):
        return
    module.AF_HYPERV = _add_address_family(module.AddressFamily)
    _socket.AF_HYPERV = AF_HYPERV
    for name, value in NAMES.items():
        setattr(module, name, value)
        setattr(_socket, name, value)
    module.__all__.extend(["AF_HYPERV", *NAMES])
    for name in _SERVED:
        setattr(module.socket, name, _choose(name))
