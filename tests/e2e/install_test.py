"""What `cmake --install` installs: it works from where it is, and knows nothing of where it was built."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from hypervisor import BUILD, DEADLINE, SOURCE, Case, contents, main, sample_source  # noqa: E402

TOOLS = {"gdbtest", "core_report", "coverage_report", "grade", "recording_report", "report_source"}


class InstallTest(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.cache = dict(re.findall(r"^(\w+):\w+=(.*)$", contents(os.path.join(BUILD, "CMakeCache.txt")).decode(), re.M))
        cls.root = tempfile.mkdtemp(prefix="mh-e2e-")
        cls.addClassCleanup(shutil.rmtree, cls.root)
        subprocess.run([cls.cache["CMAKE_COMMAND"], "--install", BUILD, "--prefix", "/opt/mh"], check=True,
                       env={**os.environ, "DESTDIR": cls.root}, stdout=subprocess.DEVNULL, timeout=DEADLINE)
        cls.prefix = os.path.join(cls.root, "opt", "mh")

    def run_in(self, directory, *command, **environment):
        """What a command prints; it must succeed."""
        done = subprocess.run(command, cwd=directory, env={**os.environ, **environment}, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=DEADLINE, check=False, text=True)
        self.assertEqual(done.returncode, 0, f"{command}: {done.stdout}")
        return done.stdout

    def installed(self, *names):
        return os.path.join(self.prefix, *names)

    def files(self):
        return [os.path.join(directory, name) for directory, _, names in os.walk(self.root) for name in names]

    def library_flags(self):
        """What pkg-config would make of the file, which is little."""
        found, = (path for path in self.files() if path.endswith("/mini_hypervisor.pc"))
        variables = {"pcfiledir": os.path.dirname(found)}
        flags = ""
        for line in contents(found).decode().splitlines():
            line = re.sub(r"\$\{(\w+)\}", lambda match: variables[match[1]], line)
            name, _, value = line.partition("=")
            if re.fullmatch(r"\w+", name):
                variables[name] = value
            if line.startswith(("Cflags:", "Libs:")):
                flags += line.split(":", 1)[1]
        return shlex.split(flags)

    def test_program_runs_a_sample_of_the_sdk(self):
        shutil.copytree(self.installed("share", "mini_hypervisor", "hello"), self.path("mine"))
        self.run_in(self.path("mine"), "make", "-s", f"SDK={self.installed('share', 'mini_hypervisor', 'sdk')}",
                    MAKEFLAGS="")
        printed = self.run_in(self.dir, self.installed("bin", "mini_hypervisor"), "--accel", "soft", "-g",
                              self.path("mine", "guest.img"))
        self.assertEqual(printed.encode(), contents(sample_source("hello", "expected.txt")))

    def test_all_samples_build_side_by_side(self):
        share = self.path("share")
        shutil.copytree(self.installed("share", "mini_hypervisor"), share)
        for name in ("files", "paging", "seed"):
            self.run_in(os.path.join(share, name), "make", "-s", MAKEFLAGS="")
            self.assertTrue(os.path.exists(os.path.join(share, name, "guest.img")))

    def test_samples_build_in_a_path_with_a_space(self):
        tree = self.path("my files", "tree")
        shutil.copytree(os.path.join(SOURCE, "include"), os.path.join(tree, "include"))
        shutil.copytree(os.path.join(SOURCE, "guests"), os.path.join(tree, "guests"))
        with open(os.path.join(tree, "CMakeLists.txt"), "w", encoding="utf-8") as project:
            project.write("cmake_minimum_required(VERSION 3.25)\nproject(tree NONE)\nadd_subdirectory(guests)\n")
        cmake = [self.cache["CMAKE_COMMAND"], f"-DCMAKE_C_COMPILER={self.cache['CMAKE_C_COMPILER']}",
                 "-DCMAKE_INSTALL_DATADIR=share", "-G", self.cache["CMAKE_GENERATOR"], "-S", tree, "-B"]
        build = os.path.join(tree, "build")
        self.run_in(self.dir, *cmake, build)
        self.run_in(self.dir, self.cache["CMAKE_COMMAND"], "--build", build, "--target", "guest_hello", "guest_seed")
        self.assertTrue(os.path.exists(os.path.join(build, "guests", "hello", "guest.img")))

        elsewhere = subprocess.run([*cmake, self.path("my build")], stdout=subprocess.DEVNULL,
                                   stderr=subprocess.PIPE, timeout=DEADLINE, check=False, text=True)
        self.assertNotEqual(elsewhere.returncode, 0)
        self.assertIn("because of the space in the path", " ".join(elsewhere.stderr.split()))

    def test_library(self):
        program = self.path("run_guest")
        self.run_in(self.dir, self.cache["CMAKE_C_COMPILER"], "-std=c11", "-pedantic", "-Wall", "-Wextra", "-Werror",
                    os.path.join(SOURCE, "examples", "run_guest.c"), *self.library_flags(), "-o", program,
                    *shlex.split(self.sanitizers()))
        printed = self.run_in(self.dir, program, os.path.join(BUILD, "guests", "hello", "guest.img"))
        self.assertEqual(printed, "Hello, world!\nstopped: halted\n")

    def sanitizers(self):
        return f"-fsanitize={self.cache['MH_SANITIZE']}" if self.cache["MH_SANITIZE"] else ""

    def test_names_of_the_library(self):
        library, = (path for path in self.files() if path.endswith("/libmini_hypervisor.a"))
        names = re.findall(r"^\w+ [^U] (\w+)$", self.run_in(self.dir, "nm", "-g", "--defined-only", library), re.M)
        self.assertIn("mh_vm_run", names)
        if not self.cache["MH_SANITIZE"]:
            self.assertEqual([name for name in names if not name.startswith("mh_")], [])

    def test_headers(self):
        self.assertEqual(sorted(os.listdir(self.installed("include", "mh"))),
                         sorted(os.listdir(os.path.join(SOURCE, "include", "mh"))))

    def test_tools(self):
        for name in TOOLS:
            tool = self.installed("bin", "mini_hypervisor-" + name.replace("_", "-"))
            self.assertNotEqual(self.run_in(self.dir, tool, "--help"), "")
        self.assertEqual(len(os.listdir(self.installed("bin"))), len(TOOLS) + 1)

    def test_module(self):
        module, = (os.path.dirname(path) for path in self.files() if path.endswith("/py.typed"))
        script = "import mini_hypervisor as m; print(m.__file__, m.run('%s', ['--accel', 'soft']).output)" % (
            os.path.join(BUILD, "guests", "hello", "guest.img"))
        printed = self.run_in(self.dir, sys.executable, "-B", "-c", script, PYTHONPATH=os.path.dirname(module),
                              PATH=f"{self.installed('bin')}:{os.environ['PATH']}", MINI_HYPERVISOR="")
        self.assertEqual(printed, f"{module}/__init__.py b'Hello, world!\\n'\n")

    def test_version_is_the_same_everywhere(self):
        version = re.search(r"^project\(\w+ VERSION (\S+)", contents(os.path.join(SOURCE, "CMakeLists.txt")).decode(),
                            re.M)[1]
        self.assertEqual(self.run_in(self.dir, self.installed("bin", "mini_hypervisor"), "--version"),
                         f"mini_hypervisor {version}\n")
        for end in ("/mini_hypervisor.pc", ".dist-info/METADATA"):
            path, = (path for path in self.files() if path.endswith(end))
            self.assertIn(f"Version: {version}\n", contents(path).decode())
        newest = re.search(r"^## \[([^]]+)\]", contents(os.path.join(SOURCE, "CHANGELOG.md")).decode(), re.M)[1]
        self.assertIn(newest, (version, "Unreleased"))

    def test_nothing_knows_where_it_was_built(self):
        for path in self.files():
            text = contents(path)
            if text.startswith((b"\x7fELF", b"!<arch>")):
                continue  # have debug information: tests/packages looks at what is packed
            for place in (SOURCE, BUILD, self.root):
                name = re.escape(os.path.realpath(place).encode())  # not a part of another path
                self.assertNotRegex(text, rb"(?<![\w.<-])" + name + rb"(?![\w.-])", path)


if __name__ == "__main__":
    main()
