"""A small program, not a module of orch: starts bubblewrap, one run after the other, in namespaces of its own.

    SHARED=HEX python -I -S launcher.py SOCKET

Orch puts it into control groups once, because that takes the kernel 10 ms, and what it starts is in them. In place of
six programs (unshare, setpriv, sh, mount, ...) it makes the system calls itself: to start a program costs 1 ms each.
What is the same for every run it does once: it has a user and a mount namespace of its own, in which what SHARED says
(marshal; as workplace.Launcher makes it) lies in memory, and signals, limits and umask as a build has them.

An order is one byte on the socket and five descriptors: what is to be done (marshal), bubblewrap's options, its filter,
its status, and where output goes. The answer is the status. Anything else that comes meanwhile means: kill it. When
the other end is closed, orch is gone, and so is all this.

A run has namespaces below these: in them all that is seen inside is mounted, and with the run they end, so that nothing
can stay mounted. (Bubblewrap would read the list of all mounts again after each.) Bubblewrap is the first process of
the pid namespace: when that is gone the kernel has killed and reaped all in it, before orch hears of the end. The
command is in a user namespace below again, and has no right over any of this.
"""

# Of the standard library only what is quick to import
# ruff: noqa: PTH102, PTH211
from __future__ import annotations

# Not the modules signal and socket, nor json: what these bring takes twice as long to import as Python to start.
import _signal as signal  # type: ignore[import-not-found]
import _socket as socket
import ctypes
import marshal
import os
import resource
import select
import sys
from itertools import count, product

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    Order = dict[str, Any]  # as bubblewrap.order makes it
    Shared = dict[str, Any]
    Tree = dict[str, Any]

CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWPID = 0x20000, 0x10000000, 0x20000000
CLONE = {"x86_64": 56, "aarch64": 220}[os.uname().machine]
CLOSE_RANGE = 436
MOUNT_SETATTR, AT_FDCWD, AT_RECURSIVE = 442, -100, 0x8000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC, MS_PRIVATE = 1, 2, 4, 8, 4096, 16384, 1 << 18
PR_SET_PDEATHSIG = 1
UNAME26 = 0x20000
SOURCE_DATE_EPOCH = 315532800  # as spec.py has it
MEMORY = "memory"  # as mounts.py has it
LIMITS = {  # soft limits; diagnosis.check_limits was asked
    resource.RLIMIT_NOFILE: 1024,
    resource.RLIMIT_STACK: 8192 << 10,
    resource.RLIMIT_FSIZE: resource.RLIM_INFINITY,
    resource.RLIMIT_CPU: resource.RLIM_INFINITY,
    resource.RLIMIT_DATA: resource.RLIM_INFINITY,
    resource.RLIMIT_AS: resource.RLIM_INFINITY,
}

LETTERS = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
skeletons: dict[bytes, str] = {}  # where those are that were made
names: dict[str, str] = {}  # of trees, below memory/lower

# Not CDLL: that lets go of the interpreter's lock, and a child would have to get it back.
libc = ctypes.PyDLL(None, use_errno=True)


def call(what: str, result: int) -> int:
    """The result of a call of libc; OSError, which begins with what failed."""
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def what_failed(error: BaseException) -> str:
    """What went wrong, without the numbers of errors."""
    if not isinstance(error, OSError):
        return str(error)
    return f"{error.strerror}: {error.filename}" if error.filename else str(error.strerror)


def mount(source: str | None, target: str, kind: str | None, flags: int, options: str | None = None) -> None:
    words = [None if word is None else os.fsencode(word) for word in (source, target, kind)]
    data = None if options is None else os.fsencode(options)
    call(f"mount {kind or source} on {target}", libc.mount(*words, ctypes.c_ulong(flags), data))


def bind(source: str, target: str, flags: int) -> None:
    """Let `source`, with all that is mounted below it, be seen at `target`; flags are added to those it has."""
    mount(source, target, None, MS_BIND | MS_REC)
    if flags:
        add_flags(target, flags)


def add_flags(target: str, flags: int) -> None:
    """Add flags to all that is mounted at `target` and below."""
    added = (ctypes.c_uint64 * 4)(flags, 0, 0, 0)  # struct mount_attr; its flags are those of mount()
    at, size = os.fsencode(target), ctypes.c_size_t(ctypes.sizeof(added))
    result = libc.syscall(MOUNT_SETATTR, AT_FDCWD, at, AT_RECURSIVE, ctypes.byref(added), size)
    call(f"mount_setattr of {target}", result)


def make_mounts(order: Order) -> None:
    """All that the command sees, at its place below the root to come."""
    os.chdir(f"{order['place']}/{MEMORY}/lower")  # the overlay's lower directories are named from there
    for source, target, kind, flags, options in order["mounts"]:
        if kind == "bind":
            bind(source, target, flags)
        elif kind == "overlay":
            mount(kind, target, kind, flags, f"lowerdir={':'.join(names[lower] for lower in lowers(order))}")
        else:
            mount(kind, target, kind, flags, options)
    os.chdir(order["place"])


def write(path: str, text: str, flags: int = 0) -> None:
    descriptor = os.open(path, os.O_WRONLY | flags, 0o644)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


def be_root(uid: int, gid: int) -> None:
    """Let the caller, and nobody else, be root in the user namespace that this process has got."""
    write("/proc/self/uid_map", f"0 {uid} 1")
    write("/proc/self/gid_map", f"0 {gid} 1")


def share(shared: Shared) -> None:
    """What all runs have in common. Its mounts are gone with the last process that is in the namespace."""
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_DFL)  # what the caller ignores, a build does not
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for number, soft in LIMITS.items():
        resource.setrlimit(number, (soft, resource.getrlimit(number)[1]))
    os.umask(0o022)
    uid, gid = os.geteuid(), os.getegid()
    call("unshare: new namespaces", libc.unshare(CLONE_NEWUSER | CLONE_NEWNS))
    write("/proc/self/setgroups", "deny")
    be_root(uid, gid)
    mount(None, "/", None, MS_REC | MS_PRIVATE)
    # A build started by the real root owns the host's device nodes and could chmod them.
    bind("/dev", "/dev", MS_RDONLY)
    top = f"{shared['place']}/{MEMORY}"
    mount("tmpfs", top, "tmpfs", MS_NOSUID | MS_NODEV, "mode=755")
    os.mkdir(f"{top}/lower")
    fixed = f"{top}/fixed"
    make_tree(fixed, shared["tree"])
    bind(fixed, fixed, MS_RDONLY)
    for device in shared["devices"]:
        bind(device, fixed + device, MS_NOSUID | MS_NOEXEC)
    name_lowers(shared)


def make_tree(top: str, tree: Tree) -> None:
    """Make the folders (parents first), files and links of a tree, at paths below `top`; every time is the build's
    fixed date."""
    for inside in tree["folders"]:
        os.mkdir(top + inside, 0o755)
    for inside, text in tree["files"].items():
        write(top + inside, text, os.O_CREAT | os.O_EXCL)
    for inside, target in tree["links"].items():
        os.symlink(target, top + inside)
    for inside in (*tree["files"], *tree["links"], *reversed(tree["folders"])):
        os.utime(top + inside, (SOURCE_DATE_EPOCH, SOURCE_DATE_EPOCH), follow_symlinks=False)


def short_names() -> Iterator[str]:
    """Different names, the shortest first: all lower directories of a run are named in one option string."""
    for length in count(1):
        yield from map("".join, product(LETTERS, repeat=length))


fresh = short_names()


def lowers(order: Order) -> list[str]:
    """The trees that are merged, the skeleton first."""
    return [skeletons[marshal.dumps(order["skeleton"])], *order["lowers"]] if order["skeleton"] else []


def name_lowers(order: Order) -> None:
    """Make the skeleton, and names for all that is merged, unless earlier runs had them."""
    if order["skeleton"]:
        form = marshal.dumps(order["skeleton"])
        if form not in skeletons:
            top = f"{order['place']}/skeleton-{os.getpid()}-{len(skeletons)}"
            make_tree(top, order["skeleton"])
            skeletons[form] = top
    for lower in lowers(order):
        if lower not in names:
            name = next(fresh)
            os.symlink(lower, f"{order['place']}/{MEMORY}/lower/{name}")
            names[lower] = name


def become(order: Order) -> None:
    """What is done in the new namespaces, up to the start of bubblewrap."""
    os.setsid()
    be_root(0, 0)
    if order["cpus"]:
        os.sched_setaffinity(0, order["cpus"])
    if order["old_kernel_release"]:
        call("personality", libc.personality(ctypes.c_ulong(libc.personality(0xFFFFFFFF) | UNAME26)))
    if order["processes"]:  # inside the user namespace, whose own processes are then counted
        resource.setrlimit(resource.RLIMIT_NPROC, (order["processes"], order["processes"]))
    if os.access("/proc/sys/user/max_user_namespaces", os.W_OK):
        write("/proc/sys/user/max_user_namespaces", "1")
    make_mounts(order)


def child(order: Order, descriptors: list[int], alive: tuple[int, int]) -> None:
    """Never returns: becomes bubblewrap, or says why it could not."""
    options, filter_, status, output = descriptors
    try:
        for number in (0, 1, 2):
            os.dup2(output if number else os.open("/dev/null", os.O_RDONLY), number)
        os.close(output)
        call("prctl", libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0))
        os.close(alive[1])
        try:
            os.read(alive[0], 1)  # the end: whoever started this was gone before the signal was asked for
            os._exit(125)
        except BlockingIOError:
            pass
        become(order)
        for number in (options, filter_, status):
            os.set_inheritable(number, True)
        read = ("--args", str(options), "--seccomp", str(filter_), "--json-status-fd", str(status))
        os.execve(order["bwrap"], ["bwrap", *read, "--", *order["command"]], order["environment"])
    except BaseException as error:
        os.write(2, f"{what_failed(error)}\n".encode())
    finally:
        os._exit(126)


def start(order: Order, descriptors: list[int], alive: tuple[int, int]) -> int:
    flags = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | signal.SIGCHLD
    pid = libc.syscall(CLONE, ctypes.c_ulong(flags), None, None, None, None)
    if pid == 0:
        child(order, descriptors, alive)
    return call("unshare: new namespaces", pid)


def carry_out(server: socket.socket, fds: list[int], alive: tuple[int, int], failed: OSError | None) -> bool:
    """Do one order, unless what comes before all of them has failed; whether there may be another."""
    order_fd, *descriptors = fds
    try:
        with os.fdopen(order_fd, "rb") as file:
            order = marshal.loads(file.read())
        if failed is not None:
            raise failed
        name_lowers(order)
        pid = start(order, descriptors, alive)
    except OSError as error:
        os.write(descriptors[-1], f"{what_failed(error)}\n".encode())
        server.send(b"126")
        return True
    finally:
        for number in descriptors:
            os.close(number)
    gone = os.pidfd_open(pid)
    there = True
    poll = select.poll()
    poll.register(gone, select.POLLIN)
    poll.register(server, select.POLLIN)
    while not any(number == gone for number, _ in poll.poll()):
        if not server.recv(16):
            there = False
            poll.unregister(server)
        os.kill(pid, signal.SIGKILL)
    os.close(gone)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if there:
        server.send(b"%d" % (status if status >= 0 else 128 - status))
    return there


def main() -> None:
    server = socket.socket(fileno=int(sys.argv[1]))
    # What others have left open for orch is not for a build.
    first, most = ctypes.c_uint(server.fileno() + 1), ctypes.c_uint(0xFFFFFFFF)
    call("close_range", libc.syscall(CLOSE_RANGE, first, most, ctypes.c_uint(0)))
    os.set_inheritable(server.fileno(), False)
    os.chdir("/")  # whoever runs orch may want to remove his directory
    failed = None
    try:
        share(marshal.loads(bytes.fromhex(os.environ["SHARED"])))
    except OSError as error:
        failed = error
    alive = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    there = True
    while there:
        data, parts, _, _ = server.recvmsg(16, socket.CMSG_SPACE(5 * 4))
        if not data:
            os._exit(0)  # at once: orch waits for it
        fds = [number for _, kind, part in parts if kind == socket.SCM_RIGHTS for number in memoryview(part).cast("i")]
        if len(fds) == 5:  # else it was too late to kill what had ended
            there = carry_out(server, fds, alive, failed)


if __name__ == "__main__":
    main()
