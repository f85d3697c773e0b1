"""A filter of system calls for the sandbox: no second process, no memory beside the address space, no way out.

One process, all of whose memory is in its address space, is held by one limit (RLIMIT_AS). So there is no fork, and no
memfd, shared memory or message queue, which live on where no address space has them. There are no sockets but those of
Unix and of the internet, which end in the namespace: one for virtual machines (vsock) would not.

Bubblewrap takes it as compiled BPF (seccomp(2)). What is filtered needs no right of its own where user namespaces are
allowed, and is what escapes from sandboxes have gone through.
"""

import errno
import platform
import struct

LOAD, EQUAL, AT_LEAST, ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06  # BPF opcodes
KILL, ERROR, ALLOW = 0x80000000, 0x00050000, 0x7FFF0000  # what seccomp makes of a call
THREAD = 0x00010000  # clone's flag for a thread; without it, it makes a process
FAMILIES = (1, 2, 10)  # of sockets that may be made: Unix, internet, internet 6
FOREIGN = 0x40000000  # numbers from here on are another ABI's (x32)
ARCHITECTURES = {  # seccomp's name of it, clone, socket, and the numbers of refused calls that differ between these
    "x86_64": (0xC000003E, 56, 41, {
        "unshare": 272, "setns": 308, "mount": 165, "umount2": 166, "pivot_root": 155, "chroot": 161, "ptrace": 101,
        "process_vm_readv": 310, "process_vm_writev": 311, "bpf": 321, "perf_event_open": 298, "userfaultfd": 323,
        "keyctl": 250, "add_key": 248, "request_key": 249, "fork": 57, "vfork": 58, "memfd_create": 319, "shmget": 29,
        "msgget": 68, "semget": 64, "mq_open": 240,
    }),
    "aarch64": (0xC00000B7, 220, 198, {
        "unshare": 97, "setns": 268, "mount": 40, "umount2": 39, "pivot_root": 41, "chroot": 51, "ptrace": 117,
        "process_vm_readv": 270, "process_vm_writev": 271, "bpf": 280, "perf_event_open": 241, "userfaultfd": 282,
        "keyctl": 219, "add_key": 217, "request_key": 218, "memfd_create": 279, "shmget": 194, "msgget": 186,
        "semget": 190, "mq_open": 180,
    }),
}  # fmt: skip
REFUSED = {"io_uring_setup": 425, "open_tree": 428, "move_mount": 429, "fsopen": 430, "fsmount": 432,
           "mount_setattr": 442, "memfd_secret": 447}  # fmt: skip
CLONE3 = 435  # its flags lie in memory, where a filter cannot look: "not there", and libc takes clone


def program() -> bytes | None:
    """The filter for this machine; none for an architecture whose calls are not listed here."""
    if platform.machine() not in ARCHITECTURES:
        return None
    architecture, clone, socket, numbers = ARCHITECTURES[platform.machine()]
    refused = sorted([*numbers.values(), *REFUSED.values()])
    tests = [(AT_LEAST, FOREIGN, "refuse"), *((EQUAL, number, "refuse") for number in refused)]
    tests += [(EQUAL, CLONE3, "absent"), (EQUAL, clone, "flags"), (EQUAL, socket, "family")]
    lines = [(LOAD, 0, 0, 4), (EQUAL, 1, 0, architecture), (RETURN, 0, 0, KILL), (LOAD, 0, 0, 0)]
    ends = len(tests)
    places = {"allow": ends, "flags": ends + 1, "family": ends + 3, "refuse": ends + 8, "absent": ends + 9}
    lines += [(code, places[to] - place - 1, 0, number) for place, (code, number, to) in enumerate(tests)]
    lines += [(RETURN, 0, 0, ALLOW)]
    lines += [(LOAD, 0, 0, 16), (ANY_BIT, 4, 5, THREAD), (LOAD, 0, 0, 16)]  # 16: the first argument
    lines += [(EQUAL, 2 - place, place // 2, family) for place, family in enumerate(FAMILIES)]  # the last: or refuse
    lines += [(RETURN, 0, 0, ALLOW)]
    lines += [(RETURN, 0, 0, ERROR | errno.EPERM), (RETURN, 0, 0, ERROR | errno.ENOSYS)]
    return b"".join(struct.pack("HBBI", *line) for line in lines)
