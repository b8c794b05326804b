"""What stands around a build: namespaces and limits, by the programs of util-linux."""

from __future__ import annotations

import dataclasses
import os
import socket
import subprocess
from collections.abc import Sequence

# Of one build.
PROCESSES_MAX = 256
FILE_MAX = 256 << 20
MEMORY_MAX = 4 << 30
# root's builds run as users of these numbers, one for each worker of each grader on the host; they own nothing else.
FIRST_USER = 60800
USERS_MAX = 4096

NAMESPACES = ("--pid", "--net", "--ipc", "--fork", "--kill-child")


@dataclasses.dataclass(frozen=True)
class Claim:
    """A user that no other grader on this host uses, as long as the socket is open."""
    user: int
    socket: socket.socket


@dataclasses.dataclass(frozen=True)
class Sandbox:
    """How builds are started on this host."""
    is_root: bool
    has_namespaces: bool  # processes that a build leaves behind end with it, and it has no network
    claims: Sequence[Claim]  # root only: each worker builds as a user of its own; or there are none
    problem: str  # why one of them is missing; "": nothing is

    @property
    def has_users(self) -> bool:
        return bool(self.claims)

    def user(self, worker: int) -> int:
        """Who runs the builds of a worker."""
        return self.claims[worker].user if self.has_users else os.getuid()

    def command(self, command: Sequence[str], worker: int, seconds: float) -> list[str]:
        """A command with everything around it."""
        wrapped = namespaces(self.is_root) if self.has_namespaces else []
        if self.has_users:
            wrapped += as_user(self.user(worker))
        counts_alone = self.has_users or (self.has_namespaces and not self.is_root)
        return [*wrapped, *limits(PROCESSES_MAX + (0 if counts_alone else count_processes()), seconds), *command]


def namespaces(is_root: bool) -> list[str]:
    return ["unshare", *([] if is_root else ["--user", "--map-current-user"]), *NAMESPACES]


def as_user(user: int) -> list[str]:
    return ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", "--no-new-privs",
            "--bounding-set=-all", "--inh-caps=-all"]


def count_processes() -> int:
    """Processes and threads of this user, with which those of a build are counted where it has no user namespace."""
    count = 0
    for name in os.listdir("/proc"):
        try:
            if name.isdigit() and os.stat(f"/proc/{name}").st_uid == os.getuid():
                count += len(os.listdir(f"/proc/{name}/task"))
        except OSError:  # it has ended
            pass
    return count


def limits(processes: int, seconds: float) -> list[str]:
    return ["prlimit", f"--nproc={processes}", f"--fsize={FILE_MAX}", f"--as={MEMORY_MAX}", "--core=0",
            f"--cpu={int(seconds) + 1}"]


def try_command(command: Sequence[str]) -> str:
    """"", or why a command fails."""
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                              check=False)
    except OSError as error:
        return f"{command[0]}: {error.strerror}"
    return "" if done.returncode == 0 else done.stderr.decode(errors="replace").strip() or f"{command[0]} failed"


def claim_users(count: int) -> list[Claim]:
    """Users for so many workers. OSError when too many are taken."""
    claims: list[Claim] = []
    for user in range(FIRST_USER, FIRST_USER + USERS_MAX):
        if len(claims) == count:
            break
        claim = socket.socket(socket.AF_UNIX)
        try:
            claim.bind(f"\0mini_hypervisor-grade-{user}")  # no file: the name is free when the process has ended
            claims.append(Claim(user, claim))
        except OSError:
            claim.close()
    if len(claims) < count:
        raise OSError(f"fewer than {count} users are free for builds; wait for the end of other graders on this host")
    return claims


def users_problem(directories: Sequence[str]) -> str:
    """Why builds cannot run as users without rights; "": they can."""
    problem = try_command([*as_user(FIRST_USER), "true"])
    closed = [directory for directory in directories
              if not problem and try_command([*as_user(FIRST_USER), "test", "-x", directory])]
    if closed:
        problem = (f"user {FIRST_USER} cannot reach {' and '.join(closed)}; let others search the directories above "
                   "(chmod o+x), or put them elsewhere")
    return problem and f"{problem}; until then they run as root, with any number of processes"


def find_sandbox(directories: Sequence[str], workers: int) -> Sandbox:
    """Try what this host allows. `directories` are those that builds must be able to reach. OSError."""
    is_root = os.getuid() == 0
    without_namespaces = try_command([*namespaces(is_root), "true"])
    without_users = users_problem(directories) if is_root else ""
    claims = claim_users(workers) if is_root and not without_users else []
    return Sandbox(is_root, not without_namespaces, claims,
                   "; ".join(filter(None, (without_users, without_namespaces))))
