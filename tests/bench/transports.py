"""The sockets that `compare` measures, by name.

    unix  tcp  socket-wrapper  guest-to-host  host-to-guest  loopback

A name of the bus may go on with how it is to run, each part after a slash and in any order: a mode, a
profile, variables of the environment. What it does not say comes from --mode and --profile.

    guest-to-host/pump    guest-to-host/ring/strict    loopback/VMBUS_SPIN_US=0
"""

import itertools
from typing import NamedTuple

BASE = "unix"
BUS = {"guest-to-host": "guest → host", "host-to-guest": "host → guest", "loopback": "in one guest"}
TITLES = {BASE: "AF_UNIX", "tcp": "TCP", "socket-wrapper": "socket_wrapper", **BUS}
MODES = ("auto", "pump", "ring")


class Transport(NamedTuple):
    name: str
    route: str  # what the worker is told
    mode: str = ""
    profile: str = ""
    variables: tuple = ()  # of NAME=VALUE

    @property
    def on_bus(self):
        return self.route in BUS

    @property
    def environment(self):
        return dict(word.split("=", 1) for word in self.variables)


def parse(name, mode="auto", profile="default"):
    """ValueError: no such route, or a route of the kernel's with parts."""
    route, *parts = name.split("/")
    if route not in TITLES or (parts and route not in BUS):
        raise ValueError(f"bad transport '{name}': want some of {', '.join(TITLES)}; "
                         "those of the bus may have /MODE, /PROFILE and /NAME=VALUE")
    variables = tuple(part for part in parts if "=" in part)
    for part in parts:
        if part in MODES:
            mode = part
        elif part not in variables:
            profile = part  # vmbus knows which there are
    return Transport(name, route, mode, profile, variables)


def title(name):
    route, *parts = name.split("/")
    return ", ".join([TITLES[route], *parts])


def expand(names, modes, profiles):
    """Each transport of the bus once for each mode and profile, where there are several."""
    result = []
    for name in names:
        one = parse(name)
        tails = [""]
        if one.on_bus:
            tails = ["".join(f"/{word}" for word, many in zip(pair, (modes, profiles))
                             if len(many) > 1)
                     for pair in itertools.product(modes, profiles)]
        result += [name + tail for tail in tails]
    return list(dict.fromkeys(result))
