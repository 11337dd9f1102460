"""Addresses of AF_HYPERV: the tuple (vm_id, service_id) <-> the 36 bytes of SOCKADDR_HV.

  offset  size  field      meaning
       0     2  Family     34, little-endian
       2     2  Reserved   0
       4    16  VmId       GUID
      20    16  ServiceId  GUID

A GUID in memory has its first three text groups as little-endian numbers and the last two as they
are written: 12345678-9abc-def0-1122-334455667788 is 78 56 34 12 bc 9a f0 de 11 22 33 44 55 66 77 88.
"""

import re
import struct

from vmbus_hyperv.constants import AF_HYPERV, HV_PROTOCOL_RAW

_HEADER = struct.Struct("=HH")
_GUID_BYTES = 16
NAME_BYTES = _HEADER.size + 2 * _GUID_BYTES

_GUID_TEXT = re.compile("[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")


def _swap(guid):
    """Text order <-> memory order; its own inverse."""
    return guid[3::-1] + guid[5:3:-1] + guid[7:5:-1] + guid[8:]


def _guid_to_bytes(text, caller, part):
    if not _GUID_TEXT.fullmatch(text):
        raise ValueError(f"{caller}(): AF_HYPERV address {part} is not a valid UUID string")
    return _swap(bytes.fromhex(text.replace("-", "")))


def _guid_to_text(guid):
    digits = _swap(guid).hex()
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def encode(address, protocol, caller):
    """SOCKADDR_HV of `address`. Checks, their order and their words are CPython's.

    `protocol` is the socket's; `caller` is the method's name, for the message.
    """
    if protocol != HV_PROTOCOL_RAW:
        raise OSError(f"{caller}(): unsupported AF_HYPERV protocol: {protocol}")
    if not isinstance(address, tuple):
        raise TypeError(
            f"{caller}(): AF_HYPERV address must be tuple, not {type(address).__name__}")
    if len(address) != 2 or not all(isinstance(part, str) for part in address):
        raise TypeError("AF_HYPERV address must be a str tuple (vm_id, service_id)")
    vm_id, service_id = address
    return (_HEADER.pack(AF_HYPERV, 0) + _guid_to_bytes(vm_id, caller, "vm_id") +
            _guid_to_bytes(service_id, caller, "service_id"))


def decode(name):
    """What a kernel's name reads as in Python; None for an empty one.

    A name that is no SOCKADDR_HV becomes (family, bytes), CPython's form for what it does not know.
    """
    if not name:
        return None
    (family,) = struct.unpack_from("=H", name)
    if family != AF_HYPERV or len(name) != NAME_BYTES:
        return family, name[2:]
    vm_id = name[_HEADER.size:_HEADER.size + _GUID_BYTES]
    return _guid_to_text(vm_id), _guid_to_text(name[_HEADER.size + _GUID_BYTES:])
