"""libnbd from Python: synchronous and asynchronous calls on a disk served over vsock."""

import sys

import nbd

cid, port = int(sys.argv[1]), int(sys.argv[2])
BLOCK = 1 << 18

disk = nbd.NBD()
disk.connect_vsock(cid, port)
print(disk.get_size(), disk.get_protocol())
disk.pwrite(b"from Python", 4096)
print(bytes(disk.pread(11, 4096)))

# Many requests under way at once, on one connection, driven by libnbd's own poll.
buffers = [nbd.Buffer.from_bytearray(bytearray([number]) * BLOCK) for number in range(8)]
for number, buffer in enumerate(buffers):
    disk.aio_pwrite(buffer, number * BLOCK)
while disk.aio_in_flight() > 0:
    disk.poll(-1)
read = bytes(disk.pread(8 * BLOCK, 0))
print(read == b"".join(bytes([number]) * BLOCK for number in range(8)))
disk.shutdown()

by_address = nbd.NBD()
by_address.connect_uri(f"nbd+vsock://{cid}:{port}")
print(by_address.get_size())
by_address.shutdown()
