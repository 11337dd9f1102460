"""AF_HYPERV for CPython on Linux: the names, address forms and errors of CPython 3.12 on Windows.

A program that was written for Windows says

    s = socket.socket(socket.AF_HYPERV, socket.SOCK_STREAM, socket.HV_PROTOCOL_RAW)
    s.connect((vm_id, service_id))

and the `socket` module of Linux has none of these names; its C code also refuses to encode an
address of family 34. install() adds the names and teaches socket.socket to call libc by itself where
the C code would refuse, and there only: other families, and send and recv of this one, run
the code they always ran. libc's functions are looked up in the process, so what answers them is
the preloaded VMBus shim.

`vmbus run` does this for every Python program (site/sitecustomize.py). By hand:

    import vmbus_hyperv
    vmbus_hyperv.install()
"""

from vmbus_hyperv.patch import install

__all__ = ["install"]
