"""The executor `ray`: tasks on the machines of a Ray cluster, or in a Ray of this machine alone.

The same tasks are done by the same function as locally, each as a Ray task of one CPU. Only tasks and their counts go
through Ray: what tasks read and write lies in folders that every node sees, or on a store, so that nothing has to fit
Ray's own and a run that broke off continues under any executor. Ray places the tasks, starts workers and notices when
one dies.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from dedup.errors import DedupError, RunError, UserError, one_line
from dedup.io import copies
from dedup.io.files import TEMPORARY, touch
from dedup.io.place import Place, Remote, at
from dedup.recipe import Recipe
from dedup.runner.environment import environment_key, warm_kernels
from dedup.runner.local import ONE_THREAD, PATIENCE_SECONDS, Ended, Progress, give_back_memory
from dedup.runner.task import Task, look_up
from dedup.runner.worker import outcome

STORE_BYTES = 100 << 20  # of shared memory for a Ray of our own, about its least: only counts go through it
CONNECT_SECONDS = 10
LOOK_SECONDS = 2  # between looks of a task at a store
GRACE_SECONDS = 5  # for tasks to see that the run has ended; most look after every batch
_begun: set[str] = set()  # in a worker: the run whose tasks it does


class Ray:
    """Does tasks on a Ray.

    recipe   as run; its `workers` bounds the tasks at once, 0: the CPUs there are; its `address` names a cluster
    folders  what every node has to see: output and work, as far as they are folders, and work on a store
    key      of what makes the bytes: every node has to have the same
    quiet    whether what stages print in workers stays there

    A Ray that this process is connected to is used whatever the address and left as it is. Without an address it is
    RAY_ADDRESS, as Ray's own job submission sets it, else a Ray of our own that ends with the run.
    """

    def __init__(self, recipe: Recipe, folders: Sequence[Place], key: str, *, quiet: bool) -> None:
        self._ray = _imported()
        self._recipe, self._key = recipe, key
        self._run = copies.current() or uuid.uuid4().hex
        self._markers = [_whole(folder) / f"{TEMPORARY}{self._run}" for folder in folders]
        self._stop = at(f"{self._markers[0]}-stop")  # there: the run has ended; a folder, if there is one, comes first
        self._peaks: dict[tuple[str, int], int] = {}
        self._ready: set[str] = set()
        address = recipe.address or os.environ.get("RAY_ADDRESS") or "local"
        self._connected = not self._ray.is_initialized()
        self._alone = self._connected and address == "local"  # the only node is this machine, and the driver is ready
        if self._connected:
            _connect(self._ray, address, quiet)
        # We count deaths ourselves: Ray tries without end what it ended for want of memory.
        self._options = {"max_retries": 0, "runtime_env": {"env_vars": {ONE_THREAD: "1"}}}
        self._do = self._ray.remote(num_cpus=1, **self._options)(do)

    @property
    def workers(self) -> int:
        """The tasks at once."""
        there = max(1, int(self._ray.cluster_resources().get("CPU", 1)))
        return min(self._recipe.workers or there, there)

    @property
    def workers_of_a_node(self) -> int:
        """The tasks at once on the node of most CPUs."""
        cpus = [int(node["Resources"].get("CPU", 0)) for node in self._ray.nodes() if node["Alive"]]
        return min(self.workers, max([1, *cpus]))

    def at_most(self, workers: int) -> int:
        """Have a node do no more tasks at once than its memory is enough for; the tasks at once of all nodes."""
        cpus = -(-self.workers_of_a_node // workers)  # that a task takes, whole ones, as Ray wants
        if cpus > 1:
            self._do = self._ray.remote(num_cpus=cpus, **self._options)(do)
        return max(1, self.workers // cpus)

    def map(self, tasks: Sequence[Task], progress: Progress, ended: Ended = lambda tasks: None) -> list[dict[str, Any]]:
        """Do all tasks; a task whose worker died is tried once more, then named. Progress comes task by task."""
        give_back_memory()
        results = look_up(tasks, self.workers)
        waiting = [number for number in reversed(range(len(tasks))) if results[number] is None]
        ended(len(tasks) - len(waiting))
        if waiting:
            self._make_ready()
        died: set[int] = set()
        running: dict[Any, int] = {}
        with self._ending(running):
            while waiting or running:
                while waiting and len(running) < self._room():
                    number = waiting.pop()
                    running[self._do.remote(tasks[number], self._run, str(self._stop), os.getcwd())] = number
                for done in self._ray.wait(list(running))[0]:
                    number = running.pop(done)
                    how, message = self._outcome(done)
                    if how == "died" and number not in died:
                        died.add(number)
                        waiting.append(number)
                    elif how == "died":
                        task = tasks[number]
                        raise RunError(
                            f"a worker ended twice ({message}) at {task.function} in {task.folder}; "
                            "where memory is short, run again with fewer --workers"
                        )
                    else:
                        results[number], worker, peak, seen = message
                        self._peaks[worker] = peak
                        progress(*seen)
                        ended(1)
        return results

    def _room(self) -> int:
        """Tasks to hand to Ray. Without a bound twice its CPUs: none waits for us, and a cluster that grows does."""
        return self._recipe.workers or 2 * self.workers

    def _outcome(self, reference: Any) -> tuple[str, Any]:
        """ "done" or "died" with what belongs to it; any other end is raised."""
        errors = self._ray.exceptions
        try:
            message = self._ray.get(reference)
        except (
            errors.WorkerCrashedError,
            errors.OutOfMemoryError,
            errors.NodeDiedError,
            errors.LocalRayletDiedError,
        ) as e:
            return "died", type(e).__name__
        except errors.RayError as error:
            cause = getattr(error, "cause", None) or error
            line = str(cause).strip().splitlines()[-1:] or [""]
            raise RunError(
                f"Ray could not run a task ({type(cause).__name__}: {line[0]}); "
                "dedup and what it needs have to be installed on every node"
            ) from error
        if message[0] == "error":
            raise message[1]
        return message[0], message[1:]

    def _make_ready(self) -> None:
        """See that every node that does tasks can, and compile the kernels there; also of nodes that came later."""
        if self._alone:
            return
        fresh = self._alive_nodes() - self._ready
        if not fresh:
            return
        running: dict[Any, int] = {}
        names = [str(marker) for marker in self._markers]
        try:
            for marker in self._markers:
                touch(marker)
            with self._ending(running):
                for number, node in enumerate(sorted(fresh)):
                    # No CPU: a node that others keep busy is not waited for.
                    remote = self._ray.remote(num_cpus=0, scheduling_strategy=_on(node), **self._options)(make_ready)
                    running[remote.remote(self._recipe, names, self._key, self._run, os.getcwd())] = number
                while running:
                    for done in self._ray.wait(list(running))[0]:
                        del running[done]
                        self._outcome(done)
        finally:
            for marker in self._markers:
                marker.unlink(missing_ok=True)
        self._ready |= fresh

    @contextlib.contextmanager
    def _ending(self, running: dict[Any, int]) -> Iterator[None]:
        """Whatever ends the block, nothing of it runs on: the output is not ours any more.

        Tasks end by themselves first. To cancel one that Ray is just handing to a worker can abort this process: Ray
        fails the task, and does not expect the answer that comes all the same.
        """
        try:
            yield
        finally:
            if running:
                with contextlib.suppress(OSError, DedupError):  # where the disk is full, all are cancelled
                    touch(self._stop)
                _, left = self._ray.wait(list(running), num_returns=len(running), timeout=GRACE_SECONDS)
                for reference in left:
                    self._ray.cancel(reference, force=True)
                if left:
                    self._ray.wait(left, num_returns=len(left), timeout=PATIENCE_SECONDS)
                with contextlib.suppress(DedupError):  # it goes with the work
                    self._stop.unlink(missing_ok=True)

    def close(self) -> None:
        """End a Ray of our own; leave a cluster, and no copy of what lay on a store on its nodes."""
        if copies.current() is not None and not self._alone:
            with contextlib.suppress(self._ray.exceptions.RayError):
                self._forget_copies()
        if self._connected:
            self._ray.shutdown()

    def _forget_copies(self) -> None:
        waiting = []
        for node in self._alive_nodes():
            remote = self._ray.remote(num_cpus=0, scheduling_strategy=_on(node), **self._options)(copies.end)
            waiting.append(remote.remote(self._run))
        if waiting:  # a node that does not answer removes them when it next takes part in a run
            self._ray.wait(waiting, num_returns=len(waiting), timeout=GRACE_SECONDS)

    def _alive_nodes(self) -> set[str]:
        """The ids of the nodes that do tasks."""
        return {n["NodeID"] for n in self._ray.nodes() if n["Alive"] and n["Resources"].get("CPU")}

    def peak_rss_bytes(self) -> int:
        """Sum of the peaks of all workers there were, on all nodes."""
        return sum(self._peaks.values())


def _imported() -> Any:
    try:
        import ray
    except ImportError:
        raise UserError("executor = \"ray\" needs one more package: pip install 'dedup[ray]'") from None
    return ray


def _connect(ray: Any, address: str, quiet: bool) -> None:
    """Connect to a cluster, or start a Ray of our own, without banner, dashboard and reports to its makers."""
    for name, value in {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}.items():
        os.environ.setdefault(name, value)
    here: dict[str, Any] = {"include_dashboard": False, "object_store_memory": STORE_BYTES}
    try:
        _knock(address)
        ray.init(
            address=address,
            log_to_driver=not quiet,
            logging_level=logging.CRITICAL,
            **(here if address == "local" else {}),
        )
    except Exception as error:  # Ray raises bare ones, too
        reason = one_line(error)
        if address == "local":
            raise RunError(f"Ray did not start on this machine ({reason}); its logs are below /tmp/ray") from None
        raise UserError(
            f"no Ray answers at {address} ({reason}); start one with `ray start --head`, "
            "name host:port of its head, or leave --address out for a Ray of this machine alone"
        ) from None


def _on(node: str) -> Any:
    """Has a task done by a node, or by another one if that is gone."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    return NodeAffinitySchedulingStrategy(node, soft=True)


def _whole(folder: Place) -> Place:
    return folder.resolve() if isinstance(folder, Path) else folder


def _knock(address: str) -> None:
    """OSError where nobody listens at host:port: Ray itself would try for minutes, and say so on stderr."""
    host, colon, port = address.rpartition("://")[2].rpartition(":")
    if colon and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()


# In a worker

_ENDED = "the run has ended"


def do(task: Task, run: str, stop: str, folder: str) -> tuple[Any, ...]:
    """Do a task: "done" with counts, worker, its peak memory and what progress there was; or "error" with the error.

    stop     a file or object that appears when the run has ended, and nobody waits for the task
    folder   the driver's current one, which relative paths begin from
    """
    _begin(run, folder)
    seen = [0, 0]
    watch = _Watch(stop)
    try:
        watch.check()
    except DedupError as error:
        return "error", error

    def note(documents: int, size: int) -> None:
        watch.check()
        seen[0] += documents
        seen[1] += size

    with contextlib.redirect_stdout(sys.stderr):  # the driver's stdout is for results
        how, *message = outcome(task, note)
    if how == "error":
        return how, message[0]
    counts, peak = message
    return how, counts, (socket.gethostname(), os.getpid()), peak, seen


class _Watch:
    """Looks whether a run has ended: on a folder every time, on a store now and then."""

    def __init__(self, stop: str) -> None:
        self._stop, self._next = at(stop), 0.0

    def check(self) -> None:
        """RunError where it has."""
        if time.monotonic() < self._next:
            return
        if self._stop.is_file():
            raise RunError(_ENDED)
        if isinstance(self._stop, Remote):
            self._next = time.monotonic() + LOOK_SECONDS


def make_ready(recipe: Recipe, markers: Sequence[str], key: str, run: str, folder: str) -> tuple[Any, ...]:
    """Compile a recipe's kernels on this node: "done"; or "error" where it cannot take part.

    markers  a file or object in everything that it has to see
    key      of the driver's code
    """
    _begin(run, folder)
    node = socket.gethostname()
    try:
        for marker in markers:
            _see(marker, node)
        if environment_key(recipe) != key:
            raise RunError(
                f"{node} has other versions of dedup, its libraries or the recipe's modules than the driver; "
                "install the same on every node"
            )
        warm_kernels(recipe, lambda text: print(f"dedup: {node}: {text}", file=sys.stderr))
    except DedupError as error:
        return "error", error
    return "done", None


def _see(marker: str, node: str) -> None:
    """RunError where a node does not see what the driver put there."""
    try:
        if at(marker).is_file():
            return
    except DedupError as error:
        raise RunError(f"{node}: {error}") from None
    raise RunError(
        f"{node} does not see {os.path.dirname(marker)}; recipe, input, output and work have to lie on a store or in "
        "folders that every node sees under the same path"
    )


def _begin(run: str, folder: str) -> None:
    """Make this process a worker of a run: Ray uses one for many, and in a notebook for run after run."""
    if run in _begun:
        return
    _begun.clear()
    _begun.add(run)
    copies.begin(run)
    with contextlib.suppress(OSError):  # not on this node: then paths are absolute, or their absence is told
        os.chdir(folder)
    for name in [name for name in sys.modules if name.startswith("_dedup_user_")]:
        del sys.modules[name]  # the user may have edited it since

    import pyarrow as pa

    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
