"""What `trace-cmd record -N` sends to `trace-cmd listen`, in place of a recorder, which needs ftrace.

One connection carries messages: three big-endian words (length of all, command, length of the fixed
part), then the command's own bytes. The listener answers the first with one port for each CPU, and there
it reads the CPU's pages. When all is said it joins both into a file and closes.
"""

import pathlib
import random
import select
import socket
import struct
import sys
import time

TINIT, RINIT, SEND_DATA, FIN_DATA, CLOSE = 1, 2, 3, 4, 0
CPUS, PAGE = 2, 4096
# A header of trace.dat that ends right after its fixed part: version 6, little-endian, 8-byte longs.
HEADER = b"\x17\x08\x44tracing6\0" + struct.pack("<BBI", 0, 8, PAGE)


def send(sock, command, fixed=b"", data=b""):
    length = 12 + len(fixed) + len(data)
    sock.sendall(struct.pack(">III", length, command, len(fixed)) + fixed + data)


def receive(stream):
    """(command, all that follows its header) of the next message."""
    length, command, _ = struct.unpack(">III", stream.read(12))
    return command, stream.read(length - 12)


def connect(cid, port):
    """The listener announces the ports of its readers before these listen there."""
    end = time.monotonic() + 60
    while True:
        sock = socket.socket(socket.AF_VSOCK)
        sock.settimeout(60)
        try:
            sock.connect((cid, port))
            return sock
        except ConnectionResetError:
            sock.close()
            if time.monotonic() > end:
                raise


def expect(stream, wanted):
    got = stream.read(len(wanted))
    if got != wanted:
        sys.exit(f"{got!r} instead of {wanted!r}")


def main():
    cid, port, folder = int(sys.argv[1]), int(sys.argv[2]), pathlib.Path(sys.argv[3])
    pages = [random.Random(cpu).randbytes(100 * PAGE) for cpu in range(CPUS)]
    sock = connect(cid, port)
    stream = sock.makefile("rb")
    expect(stream, b"tracecmd")
    sock.sendall(b"-1V3\0")
    expect(stream, b"V3\0")
    sock.sendall(b"766679\0")
    expect(stream, b"OK")
    send(sock, TINIT, struct.pack(">III", CPUS, PAGE, 1), b"vsock\0")
    command, answer = receive(stream)
    if command != RINIT:
        sys.exit(f"message {command} instead of ports")
    ports = [int(word) for word in answer[4:].split(b"\0")[:CPUS]]
    recorders = [connect(cid, cpu_port) for cpu_port in ports]
    for recorder, content in zip(recorders, pages):
        recorder.sendall(content)
    # The listener takes the end of a CPU's stream for an interrupted call on this one, and stops
    # reading the streams a second after the last message: so the streams stay open, and come first.
    while sum(file.stat().st_size for file in folder.glob("trace.*.cpu*")) < CPUS * len(pages[0]):
        select.select([sock], [], [], 0.01)
    send(sock, SEND_DATA, data=HEADER)
    send(sock, FIN_DATA)
    send(sock, CLOSE)
    stream.read()
    (trace,) = folder.glob("trace.*.dat")
    content = trace.read_bytes()
    print(len(ports), content.startswith(HEADER), *(cpu_pages in content for cpu_pages in pages))


if __name__ == "__main__":
    main()
