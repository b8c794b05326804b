"""
Debian systems in directories, to install packages in: a bare one, and one with the programs that users may have. Both are
made once, below build/packages, and tests work in copies. Needs root.
"""

import os
import shutil
import subprocess

BARE, FULL = "bare", "full"

# What the packages depend on or recommend, and what their users use them with.
PROGRAMS = ["python3", "python3-pytest", "gcc", "libc6-dev", "make", "binutils", "pkg-config", "man-db", "bash-completion",
            "zsh", "fish"]

# With a /proc, and in namespaces of its own, so that neither it nor a process is left when the command has ended.
ENTER = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]


def run(root, *command, check=True, timeout=600, **options):
    """Run a command in a system; what it prints, errors too."""
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LC_ALL": "C.UTF-8", "TERM": "xterm",
                   "DEBIAN_FRONTEND": "noninteractive", **options}
    done = subprocess.run([*ENTER, f"--mount-proc={root}/proc", "chroot", root, *command], env=environment,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=timeout,
                          check=False, text=True, errors="replace")
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(command)}: exit status {done.returncode}\n{done.stdout}")
    return done.stdout


def base(directory, kind):
    """The directory of a system, which is made unless it is there. Not to be changed."""
    root = os.path.join(directory, kind)
    if os.path.exists(root):
        return root
    new = root + ".new"
    shutil.rmtree(new, ignore_errors=True)
    if kind == BARE:
        log = subprocess.run(["debootstrap", "--variant=minbase", "bookworm", new], stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, timeout=1200, check=False, text=True)
        if log.returncode != 0:
            raise AssertionError(f"debootstrap: {log.stdout[-2000:]}")
    else:
        subprocess.run(["cp", "-a", "--reflink=auto", base(directory, BARE), new], check=True)
        run(new, "apt-get", "update", "-qq")
        run(new, "apt-get", "install", "-y", "-qq", "--no-install-recommends", *PROGRAMS)
        run(new, "apt-get", "clean")
    os.rename(new, root)
    return root


def copy(directory, kind, name):
    """A copy of a system, to be changed and removed."""
    root = os.path.join(directory, name)
    shutil.rmtree(root, ignore_errors=True)
    subprocess.run(["cp", "-a", "--reflink=auto", base(directory, kind), root], check=True)
    return root


def listing(root):
    """Every name in a system but those of logs and of what dpkg and apt note for themselves."""
    left_out = {os.path.join(root, *path.split("/")) for path in ("var/log", "var/cache", "var/lib/dpkg", "var/lib/apt",
                                                                  "tmp", "dev", "root")}
    found = set()
    for directory, directories, names in os.walk(root):
        directories[:] = [name for name in directories if os.path.join(directory, name) not in left_out]
        found.update(os.path.relpath(os.path.join(directory, name), root) for name in [*directories, *names])
    return found
