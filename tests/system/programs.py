"""The programs that nobody here wrote, as a table: a new one is a new row.

What cannot be a row, because the test talks while the programs run, has a file of its own
(socat_test.py, ncat_test.py).
"""

import random

from program_row import FAILS, GUEST_SERVES, HOST_SERVES, RUNS_ON, Row, Run
from support import ANY

MEGABYTE = 1 << 20
DISK = random.Random(4100).randbytes(4 * MEGABYTE)
PATTERN = b"".join(offset.to_bytes(8, "big") for offset in range(0, 8 * MEGABYTE, 8))

# --- what several rows say

# --exit-with-parent: no disk is served any longer than the test lives.
NBDKIT = "nbdkit --foreground --exit-with-parent --vsock --port {port} "
NBD_URI = "nbd+vsock://{cid}:{port}"
# qemu 7.2 knows NBD over vsock as an option of its block driver only, not as an URI.
QEMU_NBD = "driver=nbd,server.type=vsock,server.cid={cid},server.port={port}"
NBD_PACKAGES, NBD_PROGRAMS = "nbdkit libnbd-bin", "nbdkit nbdinfo nbdcopy"

QEMU_GA = "qemu-ga -m vsock-listen -t {dir} -f {dir}/agent.pid -p "
ASK = "/usr/bin/python3 -B {programs}/qemu_ga_client.py {cid} {port} "
AGENT = {
    "packages": "qemu-guest-agent", "needs": "qemu-ga", "sides": (GUEST_SERVES,),
    # The last three: one host after the other.
    "clients": (Run(ASK + "guest-sync=1234 guest-ping guest-sync=5", printed="1234\n{{}}\n5\n"),
                *(Run(ASK + f"guest-sync={number}", printed=f"{number}\n") for number in range(3))),
}

# systemd-socket-activate starts programs with a fresh environment. One that only reads and writes
# needs nothing of ours; one that accepts does.
KEEP_SHIM = "".join(f"--setenv {name} " for name in (
    "LD_PRELOAD", "VMBUS_SOCKET", "VMBUS_PARTITION", "VMBUS_PROFILE"))

SSH = ("ssh -F none -i user_key -o BatchMode=yes -o StrictHostKeyChecking=accept-new"
       " -o UserKnownHostsFile=known_hosts"
       " -o ProxyCommand='socat - VSOCK-CONNECT:{cid}:{port}' over.vsock ")
SSHD_CONFIG = """
HostKey {dir}/host_key
AuthorizedKeysFile {dir}/user_key.pub
PermitRootLogin yes
StrictModes no
UsePAM no
PidFile none
"""
# For root alone, and what the package's service does at its start.
SSHD_FOLDER = """sh -c 'test "$(id -u)" -ne 0 || mkdir -p -m 755 /run/sshd'"""
# sshd starts whatever it is asked for through it.
LOGIN_SHELL = """sh -c '"$(getent passwd "$(id -u)" | cut -d: -f7)" -c true'"""
SSHD = {
    "packages": "openssh-server systemd socat",
    "needs": "sshd ssh ssh-keygen systemd-socket-activate socat",
    "files": {"sshd_config": SSHD_CONFIG},
    "condition": LOGIN_SHELL,
    "prepare": ("ssh-keygen -q -t ed25519 -N '' -f {dir}/host_key",
                "ssh-keygen -q -t ed25519 -N '' -f {dir}/user_key", SSHD_FOLDER),
    "clients": (Run(SSH + "cat", input=DISK, printed=DISK), Run(SSH + "exit 7", status=7)),
}


def sshd(options):
    return Run(f"systemd-socket-activate --listen vsock:{{bind}}:{{port}} --accept --inetd {options}"
               "/usr/sbin/sshd -i -e -f {dir}/sshd_config", status=RUNS_ON)


LANGUAGES = (
    Row("perl_packs_its_own_addresses",
        packages="perl", needs="perl",
        server=Run("perl {programs}/echo.pl listen {bind} {port}"),
        clients=(Run("perl {programs}/echo.pl dial {cid} {port}",
                     printed="{cid}:{port}\ndesserts"),)),
    Row("ruby_packs_its_own_addresses",
        packages="ruby", needs="ruby",
        server=Run("ruby {programs}/echo.rb listen {bind} {port}"),
        clients=(Run("ruby {programs}/echo.rb dial {cid} {port}",
                     printed="{cid}:{port}\nnothing yet\ndesserts\n1000001\n"),)),
    Row("rust_wraps_a_descriptor_in_a_tcp_stream",
        packages="rustc g++", needs="/usr/bin/rustc cc",
        prepare=("/usr/bin/rustc -O --edition 2021 -o {build}/echo_rs {programs}/echo.rs",),
        server=Run("{build}/echo_rs listen {bind} {port}"),
        clients=(Run("{build}/echo_rs dial {cid} {port}",
                     printed="nodelay: Some(92)\n"  # ENOPROTOOPT
                             "peer_addr: InvalidInput\n"
                             "no answer: true\n"
                             "desserts 1000010\n"
                             "so_error: None\n"),)),
)

DISKS = (
    Row("nbdinfo_asks_nbdkit",
        packages=NBD_PACKAGES, needs=NBD_PROGRAMS,
        server=Run(NBDKIT + "pattern size=1G", status=RUNS_ON),
        clients=(Run(f"nbdinfo --size {NBD_URI}", printed="1073741824\n"),
                 Run(f"nbdinfo --json {NBD_URI}", says='"export-size": 1073741824'))),
    Row("nbdcopy_reads_a_whole_disk",
        packages=NBD_PACKAGES, needs=NBD_PROGRAMS,
        server=Run(NBDKIT + "pattern size=8M", status=RUNS_ON),
        clients=(Run(f"nbdcopy {NBD_URI} -", printed=PATTERN),)),
    Row("nbdcopy_writes_and_reads_back",
        packages=NBD_PACKAGES, needs=NBD_PROGRAMS,
        files={"disk": DISK, "copy": b""},
        server=Run(NBDKIT + "memory size=4M", status=RUNS_ON),
        clients=(Run(f"nbdcopy disk {NBD_URI}"), Run(f"nbdcopy {NBD_URI} copy")),
        same=(("disk", "copy"),)),
    Row("nbdcopy_opens_several_connections",
        packages=NBD_PACKAGES, needs=NBD_PROGRAMS,
        server=Run(NBDKIT + "data 'data=(0x55 0xAA)*524288'", status=RUNS_ON),
        clients=(Run(f"nbdcopy --connections=4 {NBD_URI} -",
                     printed=b"\x55\xaa" * (MEGABYTE // 2)),)),
    Row("nbdkit_lets_in_the_guest_it_is_told_to",
        packages=NBD_PACKAGES, needs=NBD_PROGRAMS,
        sides=(HOST_SERVES,), guests=("second,cid=7",),
        server=Run(NBDKIT + "--filter=ip memory 1M allow=vsock-cid:7 deny=all", status=RUNS_ON,
                   says="client not permitted to connect"),
        clients=(Run(f"nbdinfo --size {NBD_URI}", within="second", printed="1048576\n"),
                 Run(f"nbdinfo --size {NBD_URI}", within="guest", printed="", status=FAILS),
                 Run(f"nbdinfo --size {NBD_URI}", within="second", printed="1048576\n"))),
    Row("nbdkit_lets_in_the_host",
        packages=NBD_PACKAGES, needs=NBD_PROGRAMS,
        sides=(GUEST_SERVES,),
        server=Run(NBDKIT + "--filter=ip memory 1M allow=vsock-cid:2 deny=all", status=RUNS_ON),
        clients=(Run(f"nbdinfo --size {NBD_URI}", printed="1048576\n"),)),
    Row("qemu_img_copies_a_disk_of_nbdkit",
        packages="qemu-utils nbdkit", needs="qemu-img nbdkit",
        files={"disk": DISK, "served": b"\0" * len(DISK)},
        server=Run(NBDKIT + "file {dir}/served", status=RUNS_ON),
        clients=(Run(f"qemu-img info --image-opts {QEMU_NBD}", says="virtual size: 4 MiB"),
                 Run(f"qemu-img convert -n -f raw --target-image-opts disk {QEMU_NBD}"),
                 Run(f"qemu-img compare --image-opts {QEMU_NBD} driver=raw,file.filename=disk",
                     printed="Images are identical.\n"),
                 Run(f"qemu-img convert --image-opts {QEMU_NBD} -O raw copy")),
        same=(("disk", "served"), ("disk", "copy"))),
    Row("qemu_storage_daemon_serves_a_disk",
        packages="qemu-system-common qemu-utils libnbd-bin",
        needs="qemu-storage-daemon qemu-img nbdcopy",
        files={"disk": DISK, "served": b"\0" * len(DISK), "copy": b""},
        server=Run("qemu-storage-daemon"
                   " --blockdev driver=file,node-name=disk,filename={dir}/served"
                   " --nbd-server addr.type=vsock,addr.cid={bind},addr.port={port}"
                   " --export type=nbd,id=export,node-name=disk,name=,writable=on", status=RUNS_ON),
        clients=(Run(f"nbdcopy disk {NBD_URI}"),
                 Run(f"qemu-img compare --image-opts {QEMU_NBD} driver=raw,file.filename=disk",
                     printed="Images are identical.\n"),
                 Run(f"nbdcopy {NBD_URI} copy")),
        same=(("disk", "served"), ("disk", "copy"))),
    Row("libnbd_in_python",
        packages="nbdkit python3-libnbd",
        needs="nbdkit /usr/lib/python3/dist-packages/nbd.py",
        server=Run(NBDKIT + "memory 4M", status=RUNS_ON),
        clients=(Run("/usr/bin/python3 -B {programs}/libnbd_client.py {cid} {port}",
                     printed="4194304 newstyle-fixed\nb'from Python'\nTrue\n4194304\n"),)),
)

SERVICES = (
    Row("systemd_socket_activate_starts_a_program_for_each",
        packages="systemd socat", needs="systemd-socket-activate socat",
        server=Run("systemd-socket-activate --listen vsock:{bind}:{port} --accept --inetd cat",
                   status=RUNS_ON),
        clients=(Run("socat - VSOCK-CONNECT:{cid}:{port}", input=b"once", printed="once"),
                 Run("socat - VSOCK-CONNECT:{cid}:{port}", input=b"twice", printed="twice"))),
    Row("systemd_socket_activate_hands_over_the_listener",
        packages="systemd libnbd-bin nbdkit", needs="systemd-socket-activate nbdkit nbdinfo",
        server=Run("systemd-socket-activate --listen vsock:{bind}:{port} " + KEEP_SHIM +
                   "nbdkit --foreground --exit-with-parent memory 1M", status=RUNS_ON),
        clients=(Run(f"nbdinfo --size {NBD_URI}", printed="1048576\n"),
                 Run(f"nbdinfo --size {NBD_URI}", printed="1048576\n"))),
    Row("sshd_serves_behind_a_proxy_command", **SSHD, server=sshd("")),
    Row("sshd_serves_with_the_shim_inside", **SSHD, server=sshd(KEEP_SHIM)),
)

AGENTS = (
    Row("qemu_ga_listens_at_the_cid_of_its_guest", **AGENT,
        server=Run(QEMU_GA + "{bind}:{port}", status=RUNS_ON)),
    Row("qemu_ga_listens_at_any_cid", **AGENT,
        server=Run(QEMU_GA + f"{ANY}:{{port}}", status=RUNS_ON)),
    Row("trace_cmd_listens_for_a_recorder",
        packages="trace-cmd", needs="trace-cmd",
        server=Run("trace-cmd listen -V -p {port} -d {dir}", status=RUNS_ON),
        clients=(Run("/usr/bin/python3 -B {programs}/trace_cmd_client.py {cid} {port} {dir}",
                     printed="2 True True True\n"),)),
)

ROWS = LANGUAGES + DISKS + SERVICES + AGENTS
