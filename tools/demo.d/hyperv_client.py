"""A Hyper-V host's client, written for CPython 3.12 on Windows: says a line to a service of a VM.

usage: hyperv_client.py VM_ID SERVICE_ID TEXT
"""

import socket
import sys


def main():
    vm_id, service_id, text = sys.argv[1:]
    with socket.socket(socket.AF_HYPERV, socket.SOCK_STREAM, socket.HV_PROTOCOL_RAW) as sock:
        sock.setsockopt(socket.HV_PROTOCOL_RAW, socket.HVSOCKET_CONNECT_TIMEOUT, 5000)
        sock.connect((vm_id, service_id))
        with sock.makefile("rw", encoding="utf-8") as stream:
            print(text, file=stream, flush=True)
            print("answer:", stream.readline().rstrip())


main()
