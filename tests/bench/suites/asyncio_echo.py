"""200 asyncio clients and their server in one process: 50 messages each, there and back."""

import asyncio
import os
import socket

CLIENTS, MESSAGES, BYTES, PORT = 200, 50, 100, 7000


async def serve(reader, writer):
    while data := await reader.read(4096):
        writer.write(data)
        await writer.drain()
    writer.close()


async def ask(loop):
    with socket.socket(socket.AF_VSOCK) as sock:
        sock.setblocking(False)
        await loop.sock_connect(sock, (int(os.environ["VMBUS_CID"]), PORT))
        for _ in range(MESSAGES):
            await loop.sock_sendall(sock, b"x" * BYTES)
            received = 0
            while received < BYTES:
                received += len(await loop.sock_recv(sock, BYTES))


async def main():
    listener = socket.socket(socket.AF_VSOCK)
    listener.bind((socket.VMADDR_CID_ANY, PORT))
    listener.listen(CLIENTS)
    listener.setblocking(False)
    served = []

    async def accept_all(loop):
        while True:
            sock, _ = await loop.sock_accept(listener)
            served.append(loop.create_task(serve(*await asyncio.open_connection(sock=sock))))
    loop = asyncio.get_running_loop()
    accepting = loop.create_task(accept_all(loop))
    await asyncio.gather(*(ask(loop) for _ in range(CLIENTS)))
    accepting.cancel()
    await asyncio.gather(*served)


asyncio.run(main())
