"""A Linux guest's server: answers one line of one client.

usage: vsock_server.py PORT
"""

import socket
import sys


def main():
    (port,) = sys.argv[1:]
    with socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM) as listener:
        listener.bind((socket.VMADDR_CID_ANY, int(port)))
        listener.listen()
        print("listening on port", port, flush=True)
        connection, (cid, _) = listener.accept()
        with connection, connection.makefile("rw", encoding="utf-8") as stream:
            text = stream.readline().rstrip()
            print(f"CID {cid} says: {text}")
            print(f"the guest heard {text!r}", file=stream, flush=True)


main()
