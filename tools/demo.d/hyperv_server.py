"""A Hyper-V host's server, written for CPython 3.12 on Windows: answers one line of one VM.

usage: hyperv_server.py SERVICE_ID
"""

import socket
import sys


def main():
    (service_id,) = sys.argv[1:]
    with socket.socket(socket.AF_HYPERV, socket.SOCK_STREAM, socket.HV_PROTOCOL_RAW) as listener:
        listener.bind((socket.HV_GUID_WILDCARD, service_id))
        listener.listen()
        print("listening for", service_id, flush=True)
        connection, (vm_id, _) = listener.accept()
        with connection, connection.makefile("rw", encoding="utf-8") as stream:
            text = stream.readline().rstrip()
            print(f"VM {vm_id} says: {text}")
            print(f"the host heard {text!r}", file=stream, flush=True)


main()
