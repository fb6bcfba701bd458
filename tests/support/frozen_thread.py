"""One thread of a process that stands still while the others go on, as a debugger can do it."""

import ctypes
import os

_SEIZE, _INTERRUPT, _DETACH = 0x4206, 0x4207, 17
_WALL = 0x40000000

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
_libc.ptrace.restype = ctypes.c_long


class FrozenThread:
    """Freezes the thread `tid` until thaw() or wait_end(), which the thread that made this must
    call. PermissionError where this process may trace no other."""

    def __init__(self, tid):
        self._tid = tid
        self._ptrace(_SEIZE)
        self._ptrace(_INTERRUPT)
        os.waitpid(tid, _WALL)

    def thaw(self):
        self._ptrace(_DETACH)

    def wait_end(self):
        """The process ends: it can't before its tracer has heard of the thread's end."""
        while True:
            _, status = os.waitpid(self._tid, _WALL)
            if os.WIFEXITED(status) or os.WIFSIGNALED(status):
                return

    def _ptrace(self, request):
        if _libc.ptrace(request, self._tid, None, None) != 0:
            error = ctypes.get_errno()
            raise OSError(error, os.strerror(error))
