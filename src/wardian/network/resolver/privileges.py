"""What this process may do: it reads what strangers send, so it keeps only what it uses (capabilities(7)).

It is nobody, as root without capabilities still owns root's files; what is open by then stays open. Questions that are
asked from a sandbox's namespace need two capabilities: the ioctl that finds the namespace CAP_NET_ADMIN there
(linux/sockios.h, SIOCGSKNS), and setns(2) CAP_SYS_ADMIN.
"""

import ctypes
import os

NOBODY = 65534
_NET_ADMIN, _SYS_ADMIN = 12, 21
_KEPT = 1 << _NET_ADMIN | 1 << _SYS_ADMIN
_VERSION_3 = 0x20080522  # linux/capability.h
_PR_SET_KEEPCAPS, _PR_SET_NO_NEW_PRIVS = 8, 38


def give_up() -> None:
    """For good: with no_new_privs, no program that this process would start gets more. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(_VERSION_3, 0)
    sets = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable: of the lower 32 capabilities, and the upper
    _checked(libc.capget(header, sets), "capget")
    permitted = sets[1] & _KEPT
    if os.geteuid() == 0:
        _set(libc, _PR_SET_KEEPCAPS)
        os.setgroups(())
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
    sets[:] = [permitted, permitted, 0, 0, 0, 0]
    _set(libc, _PR_SET_NO_NEW_PRIVS)
    _checked(libc.capset(header, sets), "capset")


def _set(libc: ctypes.CDLL, option: int) -> None:
    _checked(libc.prctl(option, *map(ctypes.c_ulong, (1, 0, 0, 0))), "prctl")


def _checked(result: int, call: str) -> None:
    if result:
        code = ctypes.get_errno()
        raise OSError(code, f"{call}: {os.strerror(code)}")
