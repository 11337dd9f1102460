"""What each id of the kernel's vsock_test comes to, under each profile.

Written from the transport's source before the first run. Under `virtio` every id is to pass. Under
`strict` the suite, which was written for virtio, meets a Linux guest of Hyper-V: what it expects and
does not get is the row, with the function that decides and a word of it (kernel_suite_test.py looks
whether they are still there). Files are those of net/vmw_vsock.

The suite's client dials and its server accepts, each in a process of its own, one in the guest and
one on the host; rows whose outcome depends on who is who say so. The host of these rows is AF_VSOCK
as CID 2, which no Windows host has: it keeps to the rules that hold for both ends.
"""

import dataclasses


@dataclasses.dataclass(frozen=True)
class GivesUp:
    """One end stops at what it did not expect and says so; the other then misses it."""
    end: str  # "client" or "server"
    says: str


@dataclasses.dataclass(frozen=True)
class Id:
    name: str                  # as the suite lists it
    guest_dials: object = None  # strict: a GivesUp, or None where it passes
    host_dials: object = None
    source: tuple = ()         # (file, function, word): what predicts that
    # strict where programs have the rings' exact room (VMBUS_MODE=ring), if that differs: a pair, guest
    # dials and host dials. NEVER_ENDS: it is not run.
    ring: tuple | None = None
    ring_source: tuple = ()

    def outcome(self, dialler, mode):
        if mode == "ring" and self.ring is not None:
            return self.ring[dialler == "host"]
        return self.host_dials if dialler == "host" else self.guest_dials


def both(name, end, says, *source):
    return Id(name, GivesUp(end, says), GivesUp(end, says), source)


TIMED_OUT = "unexpected connect(2) errno 110"
NOT_SUPPORTED = "setsockopt err: Operation not supported (95)"
NEVER_ENDS = "never ends"
STILL_WRITABLE = GivesUp("server", "bogus send(2) return value 1 (expected -32)")


# Behind an unread packet a FIN is not known, so nothing shows RDHUP. The kernel's buffer hides that in PUMP.
def fin_unseen(end):
    return {"ring": (GivesUp(end, "epoll_wait timed out"),) * 2,
            "ring_source": ("hyperv_transport.c", "hvs_stream_has_data", "SEND_SHUTDOWN")}


def refused(name):
    """The host does not answer; the connect's own time limit does."""
    return both(name, "client", TIMED_OUT, "af_vsock.c", "vsock_connect_timeout", "ETIMEDOUT")


def no_seqpacket(name):
    return both(f"SOCK_SEQPACKET {name}", "client", "connect: Socket type not supported",
                "af_vsock.c", "vsock_assign_transport", "ESOCKTNOSUPPORT")


def no_low_water(name, end):
    return both(f"SOCK_STREAM {name}", end, NOT_SUPPORTED,
                "hyperv_transport.c", "hvs_notify_set_rcvlowat", "EOPNOTSUPP")


IDS = (
    refused("SOCK_STREAM connection reset"),
    refused("SOCK_STREAM bind only"),
    # A guest that closes says FIN and keeps the channel; the host may still write.
    Id("SOCK_STREAM client close", guest_dials=STILL_WRITABLE,
       source=("hyperv_transport.c", "hvs_close_lock_held", "hvs_shutdown_lock_held"),
       **fin_unseen("server")),
    Id("SOCK_STREAM server close",
       host_dials=GivesUp("client", STILL_WRITABLE.says),
       source=("hyperv_transport.c", "hvs_close_lock_held", "hvs_shutdown_lock_held"),
       **fin_unseen("client")),
    Id("SOCK_STREAM multiple connections"),
    # The host reads by its own rules; a guest cannot look without taking.
    Id("SOCK_STREAM MSG_PEEK", host_dials=GivesUp("server", "recv: Operation not supported"),
       source=("hyperv_transport.c", "hvs_stream_dequeue", "MSG_PEEK")),
    no_seqpacket("msg bounds"),
    no_seqpacket("MSG_TRUNC flag"),
    no_seqpacket("timeout"),
    no_seqpacket("invalid receive buffer"),
    no_low_water("poll() + SO_RCVLOWAT", "client"),
    no_seqpacket("big message"),
    Id("SOCK_STREAM test invalid buffer"),
    no_seqpacket("test invalid buffer"),
    # Reads end with their packet, but this test reads on until it has what it wants.
    Id("SOCK_STREAM virtio skb merge"),
    no_seqpacket("MSG_PEEK"),
    Id("SOCK_STREAM SHUT_WR"),
    # No message tells the peer.
    both("SOCK_STREAM SHUT_RD", "client", "expected send(2) failure, got 1",
         "hyperv_transport.c", "hvs_shutdown", "SEND_SHUTDOWN"),
    both("SOCK_STREAM MSG_ZEROCOPY", "client", NOT_SUPPORTED,
         "af_vsock.c", "vsock_connectible_setsockopt", "vsock_msgzerocopy_allow"),
    no_seqpacket("MSG_ZEROCOPY"),
    Id("SOCK_STREAM MSG_ZEROCOPY empty MSG_ERRQUEUE"),
    # The host, which did not close, keeps the guest's port taken for up to 8 seconds.
    Id("SOCK_STREAM double bind connect",
       guest_dials=GivesUp("client", "bind: Address already in use"),
       source=("hyperv_transport.c", "hvs_close_lock_held", "HVS_CLOSE_TIMEOUT")),
    Id("SOCK_STREAM virtio credit update + SO_RCVLOWAT",
       guest_dials=GivesUp("server", NOT_SUPPORTED),
       host_dials=GivesUp("server", "unexpected 'recv()' return: -1"),
       source=("hyperv_transport.c", "hvs_stream_dequeue", "MSG_PEEK"),
       # The host looks until 128 KiB are there, which no ring of 24 KiB holds.
       ring=(NEVER_ENDS, GivesUp("server", "unexpected 'recv()' return: -1")),
       ring_source=("hyperv_transport.c", "hvs_open_connection", "RINGBUFFER_HVS_SND_SIZE")),
    no_low_water("virtio credit update + low rx_bytes", "server"),
    # Not supported either, which the suite takes for a pass.
    Id("SOCK_STREAM ioctl(SIOCOUTQ) 0 unsent bytes"),
    no_seqpacket("ioctl(SIOCOUTQ) 0 unsent bytes"),
)
