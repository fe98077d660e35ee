"""Networks of a test's own. Nothing of the machine's network is touched; all is gone when the threads are."""

import concurrent.futures
import ctypes
import os
import subprocess
import threading

CLONE_NEWNET = 0x40000000   # linux/sched.h


class Network:
    """A thread in a network namespace of its own. Sockets and processes made by run() belong to it for good."""

    def __init__(self):
        self.executor = concurrent.futures.ThreadPoolExecutor(1)
        self.tid = self.executor.submit(self._enter).result()

    @staticmethod
    def _enter() -> int:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.unshare(CLONE_NEWNET) != 0:
            error = ctypes.get_errno()
            raise OSError(error, os.strerror(error))
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        return threading.get_native_id()

    def run(self, call, *args, **options):
        return self.executor.submit(call, *args, **options).result()

    def command(self, *words: str, check: bool = True) -> subprocess.CompletedProcess:
        return self.run(subprocess.run, list(words), check=check, capture_output=True, text=True)

    def link(self, name: str, address: str, other: "Network", other_name: str, other_address: str):
        """A cable between two networks; addresses with their prefix."""
        self.command("ip", "link", "add", name, "type", "veth", "peer", "name", other_name, "netns", str(other.tid))
        for network, end, own in ((self, name, address), (other, other_name, other_address)):
            network.command("ip", "address", "add", own, "dev", end)
            network.command("ip", "link", "set", end, "up")

    def close(self):
        self.executor.shutdown()
