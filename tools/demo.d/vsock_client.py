"""A Linux guest's client: says a line to a port of its host.

usage: vsock_client.py PORT TEXT
"""

import socket
import sys


def main():
    port, text = sys.argv[1:]
    with socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM) as sock:
        sock.connect((socket.VMADDR_CID_HOST, int(port)))
        with sock.makefile("rw", encoding="utf-8") as stream:
            print(text, file=stream, flush=True)
            print("answer:", stream.readline().rstrip())


main()
