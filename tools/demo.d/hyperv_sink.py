"""A Hyper-V host's server, written for CPython 3.12 on Windows: takes all that one VM sends.

usage: hyperv_sink.py SERVICE_ID
"""

import hashlib
import socket
import sys
import time


def main():
    (service_id,) = sys.argv[1:]
    with socket.socket(socket.AF_HYPERV, socket.SOCK_STREAM, socket.HV_PROTOCOL_RAW) as listener:
        listener.bind((socket.HV_GUID_CHILDREN, service_id))
        listener.listen()
        print("listening for", service_id, flush=True)
        connection, _ = listener.accept()
        received = []
        start = time.perf_counter()
        with connection:
            while data := connection.recv(1 << 20):
                received.append(data)
        seconds = time.perf_counter() - start
    digest = hashlib.sha256()
    for data in received:
        digest.update(data)
    print(f"{sum(map(len, received))} bytes in {seconds:.3f} s, SHA-256 {digest.hexdigest()}")


main()
