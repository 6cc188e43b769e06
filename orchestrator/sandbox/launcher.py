"""A small program, not a module of orch: starts bubblewrap, one run after the other, in namespaces of its own.

    python -I -S launcher.py SOCKET GROUP...

It joins the control groups once, because that takes the kernel 10 ms, and what it starts is in them. In the place of
six programs (unshare, setpriv, sh, mount, ...) it makes the system calls itself: to start a program costs 1 ms each.

An order is one byte on the socket and five descriptors: what is to be done (marshal), bubblewrap's options, its filter,
its status, and where output goes. The answer is the status. Anything else that comes meanwhile means: kill it. When
the other end is closed, orch is gone, and so is all this.

The outer user namespace mounts all that is seen inside, in a mount namespace that ends with the run: nothing can stay
mounted. (Bubblewrap would read the list of all mounts again after each.) Bubblewrap is the first process of the pid
namespace: when that is gone the kernel has killed and reaped all in it, before orch hears of the end. The command is in
a user namespace below, and has no right over any of this.
"""

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

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Order = dict[str, Any]  # as bubblewrap.order makes it

CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWPID = 0x20000, 0x10000000, 0x20000000
CLONE = {"x86_64": 56, "aarch64": 220}
CLOSE_RANGE = 436
MOUNT_SETATTR, AT_FDCWD, AT_RECURSIVE = 442, -100, 0x8000
MS_RDONLY, MS_BIND, MS_REC, MS_PRIVATE = 1, 4096, 16384, 1 << 18
PR_SET_PDEATHSIG = 1
UNAME26 = 0x20000
LIMITS = {  # soft limits; diagnosis.check_limits was asked
    resource.RLIMIT_NOFILE: 1024,
    resource.RLIMIT_STACK: 8192 << 10,
    resource.RLIMIT_FSIZE: resource.RLIM_INFINITY,
    resource.RLIMIT_CPU: resource.RLIM_INFINITY,
    resource.RLIMIT_DATA: resource.RLIM_INFINITY,
    resource.RLIMIT_AS: resource.RLIM_INFINITY,
}

# Not CDLL: that lets go of the interpreter's lock, and a child would have to get it back.
libc = ctypes.PyDLL(None, use_errno=True)


def call(what: str, result: int) -> int:
    """The result of a call of libc; OSError, which begins with what failed."""
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def mount(source: str | None, target: str, kind: str | None, flags: int, options: str | None = None) -> None:
    names = [None if name is None else os.fsencode(name) for name in (source, target, kind)]
    data = None if options is None else os.fsencode(options)
    call(f"mount {kind or source} on {target}", libc.mount(*names, ctypes.c_ulong(flags), data))


def bind(source: str, target: str, flags: int) -> None:
    """Let `source`, with all that is mounted below it, be seen at `target`; flags are added to those it has."""
    mount(source, target, None, MS_BIND | MS_REC)
    added = (ctypes.c_uint64 * 4)(flags, 0, 0, 0)  # struct mount_attr; its flags are those of mount()
    at, size = os.fsencode(target), ctypes.c_size_t(ctypes.sizeof(added))
    result = libc.syscall(MOUNT_SETATTR, AT_FDCWD, at, AT_RECURSIVE, ctypes.byref(added), size)
    call(f"mount_setattr of {target}", result)


def make_mounts(order: Order) -> None:
    """All that the command sees, at its place below the root to come."""
    os.chdir(order["place"] + "/lower")  # the overlay's lower directories are named from there
    for source, target, kind, flags, options in order["mounts"]:
        if kind == "bind":
            bind(source, target, flags)
        else:
            mount(kind, target, kind, flags, options)
    os.chdir(order["place"])


def write(path: str, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


def become(order: Order, uid: int, gid: int) -> None:
    """What is done in the new namespaces, up to the start of bubblewrap."""
    os.setsid()
    write("/proc/self/setgroups", "deny")
    write("/proc/self/uid_map", f"0 {uid} 1")
    write("/proc/self/gid_map", f"0 {gid} 1")
    mount(None, "/", None, MS_REC | MS_PRIVATE)
    if order["cpus"]:
        os.sched_setaffinity(0, order["cpus"])
    if order["old_kernel_release"]:
        call("personality", libc.personality(ctypes.c_ulong(libc.personality(0xFFFFFFFF) | UNAME26)))
    if order["processes"]:  # inside the user namespace, whose own processes are then counted
        resource.setrlimit(resource.RLIMIT_NPROC, (order["processes"], order["processes"]))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for number, soft in LIMITS.items():
        resource.setrlimit(number, (soft, resource.getrlimit(number)[1]))
    os.umask(0o022)
    if os.access("/proc/sys/user/max_user_namespaces", os.W_OK):
        write("/proc/sys/user/max_user_namespaces", "1")
    # A build started by the real root owns the host's device nodes and could chmod them.
    bind("/dev", "/dev", MS_RDONLY)
    make_mounts(order)


def child(order: Order, descriptors: list[int], alive: tuple[int, int], uid: int, gid: int) -> None:
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
        become(order, uid, gid)
        for number in (options, filter_, status):
            os.set_inheritable(number, True)
        for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
            signal.signal(number, signal.SIG_DFL)  # what the caller ignores, a build does not
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        read = ("--args", str(options), "--seccomp", str(filter_), "--json-status-fd", str(status))
        os.execve(order["bwrap"], ["bwrap", *read, "--", *order["command"]], order["environment"])
    except BaseException as error:
        said = error.strerror if isinstance(error, OSError) and error.filename is None else error
        os.write(2, f"{said}\n".encode())
    finally:
        os._exit(126)


def start(order: Order, descriptors: list[int], alive: tuple[int, int]) -> int:
    uid, gid = os.geteuid(), os.getegid()
    flags = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | signal.SIGCHLD
    pid = libc.syscall(CLONE[os.uname().machine], ctypes.c_ulong(flags), None, None, None, None)
    if pid == 0:
        child(order, descriptors, alive, uid, gid)
    return call("unshare: new namespaces", pid)


def carry_out(server: socket.socket, fds: list[int], alive: tuple[int, int]) -> bool:
    """Do one order; whether there may be another."""
    order_fd, *descriptors = fds
    try:
        with os.fdopen(order_fd, "rb") as file:
            order = marshal.loads(file.read())
        pid = start(order, descriptors, alive)
    except OSError as error:
        os.write(descriptors[-1], f"{error.strerror}\n".encode())
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
    for group in sys.argv[2:]:
        write(group, "0")
    alive = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    there = True
    while there:
        data, parts, _, _ = server.recvmsg(16, socket.CMSG_SPACE(5 * 4))
        if not data:
            os._exit(0)  # at once: orch waits for it
        fds = [number for _, kind, part in parts if kind == socket.SCM_RIGHTS for number in memoryview(part).cast("i")]
        if len(fds) == 5:  # else it was too late to kill what had ended
            there = carry_out(server, fds, alive)


if __name__ == "__main__":
    main()
