"""The host's end of qemu-ga: asks each command and prints what it returns, one JSON value a line."""

import json
import socket
import sys

sock = socket.socket(socket.AF_VSOCK)
sock.connect((int(sys.argv[1]), int(sys.argv[2])))
stream = sock.makefile("rw")
for command in sys.argv[3:]:
    name, _, argument = command.partition("=")
    request = {"execute": name}
    if argument:
        request["arguments"] = {"id": int(argument)}
    print(json.dumps(request), file=stream, flush=True)
    print(json.dumps(json.loads(stream.readline())["return"]), flush=True)
