"""A filter of system calls for the sandbox: no namespaces, mounts, debugging or keys from inside.

Bubblewrap takes it as compiled BPF (seccomp(2)). What is filtered needs no right of its own where user namespaces are
allowed, and is what escapes from sandboxes have gone through.
"""

import errno
import platform
import struct

LOAD, EQUAL, AT_LEAST, ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06  # BPF opcodes
KILL, ERROR, ALLOW = 0x80000000, 0x00050000, 0x7FFF0000  # what seccomp makes of a call
NEW_USER = 0x10000000  # clone's flag for a user namespace
FOREIGN = 0x40000000  # numbers from here on are another ABI's (x32)
ARCHITECTURES = {  # seccomp's name of it, clone, and the numbers of the refused calls that differ between architectures
    "x86_64": (0xC000003E, 56, {
        "unshare": 272, "setns": 308, "mount": 165, "umount2": 166, "pivot_root": 155, "chroot": 161, "ptrace": 101,
        "process_vm_readv": 310, "process_vm_writev": 311, "bpf": 321, "perf_event_open": 298, "userfaultfd": 323,
        "keyctl": 250, "add_key": 248, "request_key": 249,
    }),
    "aarch64": (0xC00000B7, 220, {
        "unshare": 97, "setns": 268, "mount": 40, "umount2": 39, "pivot_root": 41, "chroot": 51, "ptrace": 117,
        "process_vm_readv": 270, "process_vm_writev": 271, "bpf": 280, "perf_event_open": 241, "userfaultfd": 282,
        "keyctl": 219, "add_key": 217, "request_key": 218,
    }),
}  # fmt: skip
REFUSED = {"io_uring_setup": 425, "open_tree": 428, "move_mount": 429, "fsopen": 430, "fsmount": 432,
           "mount_setattr": 442}  # fmt: skip
CLONE3 = 435  # its flags lie in memory, where a filter cannot look: "not there", and libc takes clone


def program() -> bytes | None:
    """The filter for this machine; none for an architecture whose calls are not listed here."""
    if platform.machine() not in ARCHITECTURES:
        return None
    architecture, clone, numbers = ARCHITECTURES[platform.machine()]
    refused = sorted([*numbers.values(), *REFUSED.values()])
    tests = [(AT_LEAST, FOREIGN, "refuse"), *((EQUAL, number, "refuse") for number in refused)]
    tests += [(EQUAL, CLONE3, "absent"), (EQUAL, clone, "flags")]
    lines = [(LOAD, 0, 0, 4), (EQUAL, 1, 0, architecture), (RETURN, 0, 0, KILL), (LOAD, 0, 0, 0)]
    places = {"allow": len(tests), "flags": len(tests) + 1, "refuse": len(tests) + 4, "absent": len(tests) + 5}
    lines += [(code, places[to] - place - 1, 0, number) for place, (code, number, to) in enumerate(tests)]
    lines += [(RETURN, 0, 0, ALLOW)]
    lines += [(LOAD, 0, 0, 16), (ANY_BIT, 1, 0, NEW_USER), (RETURN, 0, 0, ALLOW)]  # 16: the first argument
    lines += [(RETURN, 0, 0, ERROR | errno.EPERM), (RETURN, 0, 0, ERROR | errno.ENOSYS)]
    return b"".join(struct.pack("HBBI", *line) for line in lines)
