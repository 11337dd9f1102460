"""What the tests of this folder share.

No test here needs a daemon or the shim, nor makes a socket of family 34: a socket object of
that family is built over a descriptor of another one, and libc's answers come from TCP and AF_UNIX.
"""

import os
import pathlib
import socket
import subprocess
import sys

import vmbus_hyperv

ROOT = pathlib.Path(__file__).resolve().parents[1]
SITE = ROOT / "site"

VM_ID = "12345678-9abc-def0-1122-334455667788"
SERVICE_ID = "000004d2-facb-11e6-bd58-64006a7986d3"
NAME = (b"\x22\x00\x00\x00"
        b"\x78\x56\x34\x12\xbc\x9a\xf0\xde\x11\x22\x33\x44\x55\x66\x77\x88"
        b"\xd2\x04\x00\x00\xcb\xfa\xe6\x11\xbd\x58\x64\x00\x6a\x79\x86\xd3")

vmbus_hyperv.install()


def as_hyperv(sock, protocol=socket.HV_PROTOCOL_RAW):
    """`sock` taken over by a socket object that believes it is AF_HYPERV."""
    return socket.socket(socket.AF_HYPERV, socket.SOCK_STREAM, protocol, fileno=sock.detach())


def run_python(code, *, folders=(), arguments=(), **environment):
    """`python3 ARGUMENTS -c CODE` as `vmbus run` would start it; `folders` come after ours."""
    variables = {name: value for name, value in os.environ.items()
                 if not name.startswith(("PYTHON", "VMBUS_"))}
    variables["PYTHONPATH"] = os.pathsep.join(str(folder) for folder in (SITE, *folders))
    variables.update(environment)
    return subprocess.run([sys.executable, *arguments, "-c", code], env=variables, text=True,
                          capture_output=True, timeout=60)
