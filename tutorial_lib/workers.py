"""Where cells are computed: in this process, in a pool of processes, or on a Dask cluster."""

import contextlib
import logging
import multiprocessing
import multiprocessing.connection
import os
import platform
import re
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from pathlib import Path

from .errors import InputError


def device_name(device: str) -> str:
    """What computes, as far as the system says: the graphics card, or the number of cores and the processor's name."""
    if device.startswith("cuda"):
        import torch

        return torch.cuda.get_device_name(device)
    info = Path("/proc/cpuinfo")
    names = re.findall(r"model name\s*: (.*)", info.read_text()) if info.exists() else []
    return f"CPU, {os.cpu_count()} cores ({names[0] if names else platform.machine()})"


class InProcess(Executor):
    """An executor that computes in the calling process, at once."""

    def submit(self, fn, /, *args, **kwargs):
        future = Future()
        future.set_result(fn(*args, **kwargs))
        return future


@contextlib.contextmanager
def process_pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """A pool of `workers` fresh processes that share the cores and end with the context, or when their parent does."""
    if workers < 1:
        raise InputError(f"--workers {workers}: expected at least 1")
    threads = max(1, (os.cpu_count() or 1) // workers)
    context = multiprocessing.get_context("spawn")
    before = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(workers, context, initializer=_start_worker, initargs=(threads,))
    try:
        yield pool
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        for child in set(multiprocessing.active_children()) - before:
            child.terminate()


def _start_worker(threads: int) -> None:
    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears an interrupt, says so, and ends its workers
    torch.set_num_threads(threads)

    def end_with_parent():
        multiprocessing.connection.wait([multiprocessing.parent_process().sentinel])
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()


@contextlib.contextmanager
def dask_cluster(address: str) -> Iterator[tuple[Executor, int]]:
    """The Dask cluster at `address` as an executor, and how many cells to keep in flight on it."""
    try:
        from distributed import Client
        from distributed.comm import parse_host_port
    except ImportError as error:
        raise InputError('--dask needs the extra "cluster": pip install distributed') from error
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # it prints tracebacks of what is reported below
    try:
        parse_host_port(address.partition("://")[2] or address)
        client = Client(address, timeout=10, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        raise InputError(
            f"--dask {address}: no scheduler answers there ({error}); expected an address such as tcp://host:8786"
        ) from error
    try:
        threads = sum(client.nthreads().values())
        if not threads:
            raise InputError(
                f"--dask {address}: the scheduler there has no workers: start some (dask worker {address})"
            )
        yield client.get_executor(), 2 * threads
    finally:
        client.close()
