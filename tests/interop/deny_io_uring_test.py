#!/usr/bin/env python3
"""Run under deny_io_uring ERROR: io_uring_setup must fail with just that error, and other calls work."""

import ctypes
import errno
import os
import sys

IO_URING_SETUP = 425  # The same number on every architecture.

libc = ctypes.CDLL(None, use_errno=True)
result = libc.syscall(IO_URING_SETUP, 1, None)
wanted = getattr(errno, sys.argv[1])
assert result == -1 and ctypes.get_errno() == wanted, (result, os.strerror(ctypes.get_errno()))
assert os.getpid() > 0
