"""
The Debian packages: built twice in different places they are the same bytes; in a bare system they install, work and
leave nothing behind. `tools/test packages` runs this, as root.
"""

import filecmp
import glob
import os
import pty
import shutil
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import chroots  # noqa: E402
from chroots import BARE, FULL  # noqa: E402
from hypervisor import DEADLINE, SOURCE, Output, contents, main, sample_source  # noqa: E402

DIRECTORY = os.path.join(SOURCE, "build", "packages")
PACKAGES = {"mini-hypervisor", "mini-hypervisor-tools", "mini-hypervisor-sdk", "libmini-hypervisor-dev",
            "mini-hypervisor-doc"}
# Two places, of different lengths, to build in.
PLACES = (os.path.join(DIRECTORY, "one"), os.path.join(DIRECTORY, "another", "place", "with-a-longer-name"))


def git(*arguments):
    return subprocess.run(["git", "-c", f"safe.directory={SOURCE}", *arguments], cwd=SOURCE, check=True,
                          stdout=subprocess.PIPE).stdout


def copy_sources():
    """Copy the sources, as they are now, to each place, with the times of now."""
    names = git("ls-files", "-z", "--cached", "--others", "--exclude-standard")
    packed = subprocess.run(["tar", "-c", "--null", "--verbatim-files-from", "-T", "-"], cwd=SOURCE, input=names,
                            check=True, stdout=subprocess.PIPE).stdout
    for place in PLACES:
        shutil.rmtree(place, ignore_errors=True)
        os.makedirs(place)
        subprocess.run(["tar", "-x", "-m", "-C", place], input=packed, check=True)


def build(place, umask, **environment):
    done = subprocess.run([os.path.join(place, "tools", "package")], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          env={**os.environ, **environment}, umask=umask, check=False, text=True)
    if done.returncode != 0:
        raise AssertionError(done.stdout)


def setUpModule():
    copy_sources()
    time = git("log", "-1", "--format=%ct").decode().strip()
    build(PLACES[0], 0o022, SOURCE_DATE_EPOCH=time)
    build(PLACES[1], 0o077, SOURCE_DATE_EPOCH=time, TZ="Pacific/Apia", LC_ALL="C")


def packages(place=PLACES[0]):
    """The packages by name."""
    return {os.path.basename(path).split("_")[0]: path for path in glob.glob(os.path.join(place, "build/package/*.deb"))}


class BuildTest(unittest.TestCase):
    def test_the_same_bytes_twice(self):
        self.assertEqual(set(packages()), PACKAGES)
        paths = [os.path.relpath(path, PLACES[0]) for path in packages().values()]
        for path in [*paths, "build/package/tools/mini_hypervisor/mini_hypervisor",
                     "build/package/tools/packaging/libmini_hypervisor.a"]:
            with self.subTest(file=path):
                one, other = (os.path.join(place, path) for place in PLACES)
                self.assertTrue(filecmp.cmp(one, other, shallow=False), f"{one} and {other} differ")

    def test_no_path_of_the_build(self):
        for path in packages().values():
            unpacked = os.path.join(DIRECTORY, "unpacked")
            shutil.rmtree(unpacked, ignore_errors=True)
            subprocess.run(["dpkg-deb", "-R", path, unpacked], check=True)
            for directory, _, names in os.walk(unpacked):
                for name in names:
                    self.assertNotIn(PLACES[0].encode(), contents(os.path.join(directory, name)), name)
            shutil.rmtree(unpacked)


class SystemCase(unittest.TestCase):
    kind = FULL
    installed = PACKAGES

    @classmethod
    def setUpClass(cls):
        cls.root = chroots.copy(DIRECTORY, cls.kind, cls.__name__)
        cls.addClassCleanup(shutil.rmtree, cls.root)
        cls.before = chroots.listing(cls.root)
        for name in cls.installed:
            shutil.copy(packages()[name], os.path.join(cls.root, "tmp"))
        chroots.run(cls.root, "sh", "-c", "dpkg -i /tmp/*.deb")

    def run_in(self, *command, **options):
        return chroots.run(self.root, *command, timeout=DEADLINE, **options)

    def put(self, path, name):
        shutil.copy(path, os.path.join(self.root, "tmp", name))
        return "/tmp/" + name


class BareTest(SystemCase):
    """The program needs nothing but the C library."""

    kind = BARE
    installed = {"mini-hypervisor"}

    def test_program(self):
        version = self.run_in("dpkg-query", "-W", "-f", "${Version}", "mini-hypervisor")
        self.assertEqual(self.run_in("mini_hypervisor", "--version"), f"mini_hypervisor {version}\n")
        image = self.put(os.path.join(PLACES[0], "build/package/guests/hello/guest.img"), "guest.img")
        self.assertEqual(self.run_in("mini_hypervisor", "-g", image), "Hello, world!\n")


class FullTest(SystemCase):
    def test_sdk_and_program(self):
        for name in ("hello", "fibonacci", "seed"):
            with self.subTest(sample=name):
                printed = self.run_in("sh", "-c", f"cp -r /usr/share/mini_hypervisor/{name} /tmp && cd /tmp/{name} && "
                                      "make -s SDK=/usr/share/mini_hypervisor/sdk && mini_hypervisor -g guest.img")
                self.assertEqual(printed.encode(), contents(sample_source(name, "expected.txt")))

    def test_manual_page(self):
        page = self.run_in("man", "-P", "cat", "mini_hypervisor", MANWIDTH="80")
        self.assertIn("SYNOPSIS", page)
        self.assertNotIn("warning", page)

    def test_library(self):
        source = self.put(os.path.join(SOURCE, "examples", "run_guest.c"), "run_guest.c")
        image = self.put(os.path.join(PLACES[0], "build/package/guests/hello/guest.img"), "hello.img")
        self.run_in("sh", "-c", f"cc -std=c11 -Wall -Werror {source} $(pkg-config --cflags --libs mini_hypervisor) "
                    "-o /tmp/run_guest")
        self.assertEqual(self.run_in("/tmp/run_guest", image), "Hello, world!\nstopped: halted\n")

    def test_tools_and_module(self):
        samples = os.path.join(PLACES[0], "build/package/guests")
        self.put(os.path.join(samples, "crash/guest.elf"), "crash.elf")
        # the plugin is found without being named
        printed = self.run_in("python3", "-B", "-m", "pytest", "-p", "no:cacheprovider", "-q",
                              "/usr/share/doc/mini_hypervisor/examples/test_crash.py", GUEST="/tmp/crash.elf")
        self.assertIn("3 passed", printed)
        printed = self.run_in("sh", "-c", "cd /tmp; mini_hypervisor -g crash.elf --core cores 2>&1; "
                              "mini_hypervisor-core-report cores/1-crash.core")
        self.assertEqual(printed.count("page fault (#PF)"), 2)

    def test_completion_in_bash(self):
        script = ("source /usr/share/bash-completion/bash_completion; _completion_loader mini_hypervisor; "
                  "complete -p mini_hypervisor; COMP_WORDS=(mini_hypervisor --gdb-lo) COMP_CWORD=1; "
                  "_mini_hypervisor mini_hypervisor --gdb-lo mini_hypervisor; echo ${COMPREPLY[*]}")
        self.assertEqual(self.run_in("bash", "-c", script).splitlines(),
                         ["complete -F _mini_hypervisor mini_hypervisor", "--gdb-lost"])

    def test_completion_in_fish(self):
        for line, wanted in (("mini_hypervisor --gdb-lo", "--gdb-lost"), ("mini_hypervisor --accel k", "kvm"),
                             ("mini_hypervisor -m ", "8M")):
            offered = self.run_in("fish", "-c", f"complete -C '{line}'")
            self.assertIn(wanted, [each.split("\t")[0] for each in offered.splitlines()])

    def test_completion_in_zsh(self):
        """zsh completes on terminals only."""
        pid, fd = pty.fork()
        if pid == 0:
            os.execvpe("chroot", ["chroot", self.root, "zsh", "-f", "-i"],
                       {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "TERM": "dumb", "PS1": "at once> ", "HOME": "/root"})
        terminal = Output(zsh=fd)
        try:
            terminal.wait_for("zsh", b"at once> ")
            os.write(fd, b"autoload -U compinit; compinit -D; echo rea''dy\n")
            terminal.wait_for("zsh", b"ready")
            for typed, completed in ((b"mini_hypervisor --gdb-lo\t", b"--gdb-lost"), (b"k\t", b"kill "),
                                     (b"--accel s\t", b"soft "), (b"-m 8\t", b"8M ")):
                terminal.bytes["zsh"] = b""
                os.write(fd, typed)
                terminal.wait_for("zsh", completed)
        finally:
            os.close(fd)
            os.waitpid(pid, 0)

    def test_zz_removal(self):
        """Removed, the packages leave nothing behind, not even what Python has compiled. Runs after the others."""
        self.run_in("python3", "-c", "import mini_hypervisor")
        self.run_in("mini_hypervisor-grade", "--help")
        chroots.run(self.root, "dpkg", "-P", *sorted(PACKAGES))
        self.assertEqual(chroots.listing(self.root) - self.before, set())


if __name__ == "__main__":
    main()
