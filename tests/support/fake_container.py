# SPDX-License-Identifier: Apache-2.0
"""Becomes a container's first process: python3 fake_container.py SPEC.json

Runs in mount and PID namespaces of its own (unshare). Builds the root file system out of bind
mounts, drops what the security context says, and executes the command. What must exist in a
container exists at its real path: /dev/termination-log, emptyDirs, /proc.
"""

import ctypes
import json
import os
import stat
import sys

LIBC = ctypes.CDLL(None, use_errno=True)
MS_RDONLY, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 1, 32, 4096, 16384, 1 << 18
PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 24, 38


def mount(source, target, kind=None, flags=0):
    def text(value):
        return None if value is None else str(value).encode()
    if LIBC.mount(text(source), text(target), text(kind), flags, None) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"mount {source} on {target}: {os.strerror(error)}")


def bind(source, target, read_only=False):
    """The mount point is made if it is missing."""
    if os.path.isdir(source):
        os.makedirs(target, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        if not os.path.exists(target):
            open(target, "wb").close()
    mount(source, target, None, MS_BIND | MS_REC)
    if read_only:
        mount(None, target, None, MS_BIND | MS_REMOUNT | MS_RDONLY)


def host_root(root):
    """The programs of this machine as an image: read-only, without what belongs to its users."""
    for name in os.listdir("/"):
        path = "/" + name
        if os.path.islink(path):
            os.symlink(os.readlink(path), root + path)
        elif name in ("usr", "etc", "opt", "bin", "sbin") or name.startswith("lib"):
            bind(path, root + path, read_only=True)
    for name in ("tmp", "root", "var", "var/tmp", "home", "run"):
        os.makedirs(f"{root}/{name}", exist_ok=True)
    os.chmod(root + "/tmp", 0o1777)
    os.chmod(root + "/var/tmp", 0o1777)


def build(spec):
    root = spec["root"]
    mount(None, "/", None, MS_REC | MS_PRIVATE)
    mount("tmpfs", root, "tmpfs")
    os.chmod(root, 0o755)
    if spec["host"]:
        host_root(root)
    for source, target in spec["image_binds"]:
        bind(source, root + target, read_only=True)
    os.makedirs(root + "/proc", exist_ok=True)
    mount("proc", root + "/proc", "proc")
    os.makedirs(root + "/dev")
    mount("tmpfs", root + "/dev", "tmpfs")
    for name in ("null", "zero", "full", "random", "urandom", "tty"):
        bind("/dev/" + name, f"{root}/dev/{name}")
    os.symlink("/proc/self/fd", root + "/dev/fd")
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        os.symlink(f"/proc/self/fd/{number}", f"{root}/dev/{name}")
    os.makedirs(root + "/dev/shm")
    os.chmod(root + "/dev/shm", 0o1777)
    for source, target, read_only in sorted(spec["mounts"], key=lambda m: m[1]):
        bind(source, root + target, read_only)
    if spec["read_only_root"]:
        mount(None, root, None, MS_BIND | MS_REMOUNT | MS_RDONLY)


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        spec = json.load(file)
    os.umask(0)
    build(spec)
    os.umask(0o022)
    os.chroot(spec["root"])
    os.chdir("/")
    if spec["cwd"]:
        os.chdir(spec["cwd"])
    if spec["drop_all"]:
        for capability in range(64):
            LIBC.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)
    if spec["no_new_privileges"]:
        LIBC.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if spec["uid"] is not None:
        os.setgroups([])
        os.setgid(spec["gid"])
        os.setuid(spec["uid"])
    argv = spec["argv"]
    for folder in [""] if "/" in argv[0] else spec["env"].get("PATH", "/usr/bin:/bin").split(":"):
        program = os.path.join(folder, argv[0])
        if os.path.exists(program) and stat.S_ISREG(os.stat(program).st_mode):
            os.execve(program, argv, spec["env"])
    print(f"exec: {argv[0]}: no such file or directory", file=sys.stderr)
    sys.exit(128)


main()
