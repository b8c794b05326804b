"""What the program does, and says, when the host lacks something: KVM, descriptors, memory."""

import contextlib
import errno
import os
import resource
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from gdb_driver import Wire  # noqa: E402
from hypervisor import EXIT_HOST, EXIT_IO, EXIT_TIMEOUT, JIT, Case, drop_file_capabilities, guest  # noqa: E402
from hypervisor import has_kvm, is_sanitized, main, sample  # noqa: E402
from mounts import MS_BIND, may_mount, mount, own_mounts  # noqa: E402
from refused_calls import refuse_calls, refuse_executable_memory  # noqa: E402

MREMAP = 25


class KvmTest(Case):
    def setUp(self):
        super().setUp()
        if not may_mount():
            self.skipTest("this user may not hide /dev/kvm in a mount namespace")

    def refused(self, prepare, *says):
        """Run it after `prepare` in mounts of its own: KVM is refused, and nothing else needs it."""
        def before_exec():
            own_mounts()
            prepare()
        result = self.run_vm("-g", sample("seed"), "--accel", "kvm", preexec_fn=before_exec)
        self.check(result, EXIT_HOST, b"", ["/dev/kvm", "; or use --accel soft, which needs no KVM", *says])
        self.assertEqual(result.messages.count("\n"), 1, result)
        for accel in ((), ("--accel", "auto"), ("--accel", "soft")):
            result = self.run_vm("-g", sample("seed"), *accel, preexec_fn=before_exec)
            self.check(result, 0, b"Hello, world!\n", "")

    def test_missing(self):
        self.refused(lambda: mount("tmpfs", "/dev", b"tmpfs"), "does not exist", "modprobe", "kvm_intel", "kvm_amd",
                     "nested")

    def test_no_permission(self):
        """A device of another user, for a root that may not ignore permissions."""
        path = self.write("somebody's", b"")
        os.chown(path, 65534, 65534)
        os.chmod(path, 0o600)

        def prepare():
            mount(path, "/dev/kvm", flags=MS_BIND)
            drop_file_capabilities()
        self.refused(prepare, "permission", "group", "usermod")

    def test_something_else(self):
        self.refused(lambda: mount("/dev/null", "/dev/kvm", flags=MS_BIND), "does not answer as KVM")

    def test_probe(self):
        result = self.run_vm("--probe", "--accel", "auto",
                             preexec_fn=lambda: (own_mounts(), mount("tmpfs", "/dev", b"tmpfs")))
        self.check(result, 0, err="")
        self.assertTrue(result.out.startswith(b"accel: soft\nkvm: "), result)
        self.assertIn(b"/dev/kvm does not exist", result.out)
        result = self.run_vm("--probe", "--accel", "kvm",
                             preexec_fn=lambda: (own_mounts(), mount("tmpfs", "/dev", b"tmpfs")))
        self.check(result, EXIT_HOST, b"", "/dev/kvm does not exist")

    def test_help_needs_no_kvm(self):
        def before_exec():
            own_mounts()
            mount("tmpfs", "/dev", b"tmpfs")
        for option in ("--help", "--version"):
            self.check(self.run_vm(option, preexec_fn=before_exec), 0, err="")


class NoGeneratedCodeTest(Case):
    """Where the host allows no memory for generated code, everything is interpreted."""

    def interpreted(self, prepare):
        arguments = ("--accel", "soft", "-g", sample("compute"), "--stats")
        usual, refused = self.run_vm(*arguments), self.run_vm(*arguments, preexec_fn=prepare)
        if JIT == "on":
            self.check(usual, 0, err="generated code: ")
        self.check(refused, 0, usual.out)
        self.assertNotIn("generated code: ", refused.messages)
        self.assertEqual(*(result.messages.split("instructions: ")[1].split()[0] for result in (usual, refused)))

    def test_no_executable_memory(self):
        self.interpreted(refuse_executable_memory)

    def test_no_second_mapping(self):
        self.interpreted(lambda: refuse_calls([MREMAP], errno.ENOSYS))

    def test_little_address_space(self):
        """Code gets a part of it."""
        if is_sanitized():
            self.skipTest("sanitizers need terabytes of it")
        result = self.run_vm("--accel", "soft", "-g", *[sample("compute")] * 2, "--stats",
                             preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (100 << 20, 100 << 20)))
        self.check(result, 0)
        self.assertEqual(result.messages.count("generated code: "), 2 if JIT == "on" else 0)


class ResourcesTest(Case):
    def setUp(self):
        super().setUp()
        if is_sanitized():
            self.skipTest("the program is built with a sanitizer, which needs resources of its own")

    def test_too_few_descriptors(self):
        """Where each machine needs one of its own, nothing is started with fewer, and nothing hangs."""
        result = self.run_vm("-g", *[guest("spin")] * 40, "--serial", "file:out-%n",
                             preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40)))
        self.check(result, EXIT_IO, b"", "open files")
        self.assertEqual(result.messages.count("\n"), 1, result)

    def test_too_few_descriptors_for_kvm(self):
        """Machines for which there are no descriptors are reported; the others run, and nothing hangs."""
        if not has_kvm():
            return  # software needs none
        result = self.run_vm("-g", *[guest("spin")] * 40, "--accel", "kvm", "--label", "always", "--timeout", "2",
                             preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40)))
        self.assertNotEqual(result.code, 0)
        self.assertIn("open files", result.messages)
        self.assertGreater(result.out.count(b"a line\n"), 0)

    def test_no_descriptors_at_all(self):
        """One is what loading the C library takes."""
        result = self.run_vm("-g", sample("seed"),
                             preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (4, 4)))
        self.check(result, EXIT_HOST, b"")
        self.assertEqual(result.messages.count("\n"), 1, result)

    def test_a_debugger_comes_when_there_is_a_descriptor_again(self):
        """Also to a guest that computes, prints nothing, and never leaves the processor."""
        run = self.start("-g", guest("spin"), "--gdb", "unix:socket", "--gdb-run")
        run.wait_for(b"type: gdb", "err")
        run.wait_for(b"unfinished")
        pid = run.process.pid
        enough = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (4, enough[1]))
        with contextlib.closing(Wire(self.path("socket"))) as wire:
            run.wait_for(b"cannot accept a debugger at the moment", "err")
            resource.prlimit(pid, resource.RLIMIT_NOFILE, enough)
            wire.send("?")
            self.assertTrue(wire.receive().startswith(b"T"))
            wire.send("k")
        self.assertEqual(run.finish().code, 0)

    def test_descriptor_limit_is_raised(self):
        """The soft limit does not matter."""
        def lower():
            resource.setrlimit(resource.RLIMIT_NOFILE, (16, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        result = self.check(self.run_vm("-g", *[sample("seed")] * 30, preexec_fn=lower), 0, err="")
        self.assertEqual(result.out.count(b"Hello, world!\n"), 30)

    def test_too_little_memory(self):
        """Machines that cannot be created are reported, one line each; nothing crashes or hangs."""
        result = self.run_vm("-m", 8, "-g", *[guest("spin")] * 60, "--timeout", 2, "--serial", "null",
                             preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (96 << 20, 96 << 20)))
        self.assertIn(result.code, (EXIT_HOST, EXIT_IO, EXIT_TIMEOUT), result)
        self.assertRegex(result.messages, "no memory for (8 MB of guest RAM|a processor)")
        for line in result.messages.splitlines():
            self.assertTrue(line.startswith("mini_hypervisor: "), line)


if __name__ == "__main__":
    main()
