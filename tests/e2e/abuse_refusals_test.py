"""
The host refuses: every call on the way to a guest fails once, one by one, and by chance. Whatever fails, the program says
what in one line, ends with a documented status, and disturbs no other machine.
"""

import contextlib
import errno
import os
import re
import resource
import socket
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import abuse  # noqa: E402
from gdb_driver import Wire  # noqa: E402
from hypervisor import EXIT_CRASHED, EXIT_HOST, EXIT_IMAGE, EXIT_IO, Case, guest, is_sanitized, sample  # noqa: E402
from hypervisor import on, sample_source  # noqa: E402
from refusing_host import KINDS, Refusal  # noqa: E402

# what a refused call says, for each kind
ERRORS = {"kvm": errno.ENOMEM, "run": errno.EFAULT, "map": errno.ENOMEM, "open": errno.EMFILE, "socket": errno.ENOBUFS,
          "thread": errno.EAGAIN, "memory": errno.ENOMEM, "file": errno.EIO, "terminal": errno.EIO}
HELLO = b"Hello, world!\n"
REFUSED = (EXIT_HOST, EXIT_IMAGE, EXIT_IO)

LINES = {
    "one": ["-g", sample("seed")],
    "three": ["-g", *[sample("seed")] * 3],
    "labels": ["-g", sample("seed"), sample("seed"), "--label", "always", "-m", "8", "-p", "4"],
    "crash": ["-g", sample("crash")],
    "files": ["-g", sample("files"), "-f", sample_source("files", "notes.txt")],
    "gdb": ["-g", sample("seed"), "--gdb", "unix:socket", "--gdb-run"],
    "gdb-all": ["-g", sample("seed"), sample("seed"), "--gdb-all", "unix:socket", "--gdb-run"],
    "pty": ["-g", sample("seed"), sample("seed"), "--serial", "pty", "--timeout", "0.05"],
    "serial files": ["-g", sample("seed"), sample("seed"), "--serial", "file:out-%n"],
}


class RefusalCase(Case):
    def run_refused(self, line, refusal):
        self.addCleanup(refusal.close)
        return self.run_vm(*LINES[line], env=refusal.environment())

    def calls(self, line, kind):
        """How many calls of a kind there are when all goes well."""
        refusal = Refusal(kind)
        self.run_refused(line, refusal)
        return refusal.count()

    def some(self, calls, most):
        """Which of the calls fail: at most so many, but all of them where the abuse lasts longer."""
        nths = range(1, calls + 1)
        return sorted(abuse.chance(self).sample(nths, most)) if abuse.FACTOR == 1 and calls > most else nths

    def check_refused(self, result, line, refusal):
        about = f"{line}: {refusal}: {result}"
        allowed = REFUSED + {"crash": (EXIT_CRASHED,), "pty": (0, 124)}.get(line, (0,))
        self.assertIn(result.code, allowed, about)
        self.assertFalse(os.path.exists(self.path("socket")), about)
        if result.code in REFUSED:
            says = result.messages
            self.assertTrue(says.startswith("mini_hypervisor: "), about)
            # the C library makes one error of all it meets while it starts a thread, and core one of registers that
            # KVM does not give
            self.assertRegex(says, re.escape(os.strerror(refusal.error)) + "|[mM]emory|no thread|give the registers", about)
        if line in ("one", "three", "labels"):
            self.check_others(result, about, LINES[line].count(sample("seed")))

    def check_others(self, result, about, machines):
        """Machines that no message names have printed all they have to print."""
        named = set(re.findall(r"VM (\d+) \(", result.messages))
        if result.code == 0 or named:
            self.assertGreaterEqual(result.out.count(HELLO), machines - len(named), about)
        if result.code == 0:  # it continues without Landlock, and says so
            told = [line for line in result.messages.splitlines() if "warning: cannot enable Landlock" not in line]
            self.assertEqual(told, [], about)


class OneByOneTest(RefusalCase):
    def each(self, line, *kinds):
        """Every call fails in a run of its own."""
        for kind in [kind for kind in kinds if kind in KINDS]:
            nths = self.some(self.calls(line, kind), 8 if is_sanitized() else 100)
            for nth in nths:
                refusal = Refusal(kind, nth, ERRORS[kind])
                self.check_refused(self.run_refused(line, refusal), line, refusal)
            abuse.done(len(nths), f"refused calls ({kind})")

    def test_one_machine(self):
        self.each("one", *KINDS)

    def test_three_machines(self):
        self.each("three", "kvm", "map", "open", "thread", "memory")

    def test_labels(self):
        self.each("labels", "memory")

    def test_a_crash(self):
        """Even if the report of a crash cannot be made, a message says that there was one."""
        self.each("crash", "memory", "run")

    def test_files(self):
        self.each("files", "open", "file", "memory")

    def test_debugger(self):
        self.each("gdb", *KINDS)

    def test_debugger_of_all(self):
        self.each("gdb-all", "open", "socket", "thread", "memory")

    def test_pseudo_terminals(self):
        self.each("pty", "open", "terminal")

    def test_serial_files(self):
        self.each("serial files", "open")


class ByChanceTest(RefusalCase):
    def test_anything(self):
        """Calls that fail several times in a row, or for good, with any error."""
        chance = abuse.chance(self)
        errors = [errno.ENOMEM, errno.EMFILE, errno.EAGAIN, errno.EPERM, errno.EINVAL, errno.EBUSY, errno.EIO]
        always = {"memory": errno.ENOMEM, "thread": errno.EAGAIN}  # others would be no allocator, and no threads
        count = 60 * abuse.FACTOR
        for _ in range(count):
            line, kind = chance.choice(list(LINES)), chance.choice(KINDS)
            refusal = Refusal(kind, chance.randint(1, 40), always.get(kind) or chance.choice(errors),
                              chance.choice([0, 1, 2, 5]))
            result = self.run_refused(line, refusal)
            self.check_refused(result, line, refusal)
        abuse.done(count, "runs on a host that refuses by chance")


@on("kvm", "auto")
class RunTest(RefusalCase):
    """KVM_RUN itself fails."""

    def run_with(self, nth, error, times, line="one"):
        refusal = Refusal("run", nth, error, times)
        return self.run_refused(line, refusal)

    def check_beginning(self, result, code, err):
        """
        The fifth entry is refused, so at most four bytes are printed. They may be fewer: kicks, which come when the
        machine is slow to print, make entries too, and the time may be over before it has begun.
        """
        self.check(result, code, err=err)
        self.assertTrue(b"Hell".startswith(result.out), result)

    def test_interruptions_and_refusals_that_pass_are_nothing(self):
        for error, times in ((errno.EINTR, 2000), (errno.EAGAIN, 20)):
            for nth in (1, 5, 15):
                self.check(self.run_with(nth, error, times), 0, HELLO, "")

    def test_a_refusal_that_does_not_pass_is_told(self):
        self.check_beginning(self.run_with(5, errno.EAGAIN, 0), EXIT_HOST, os.strerror(errno.EAGAIN))

    def test_an_interruption_that_does_not_pass_leaves_the_timeout(self):
        refusal = Refusal("run", 5, errno.EINTR, 0)
        self.addCleanup(refusal.close)
        result = self.run_vm(*LINES["one"], "--timeout", "0.2", env=refusal.environment())
        self.check_beginning(result, 124, "still running")

    def test_only_one_machine_is_disturbed(self):
        for error in (errno.ENOMEM, errno.EFAULT):
            result = self.run_with(7, error, 1, "three")
            self.check(result, EXIT_HOST, err=["KVM cannot run the guest: " + os.strerror(error)])
            self.assertGreaterEqual(result.out.count(HELLO), 2, result)

    def test_a_crash_without_registers_is_no_good_end(self):
        for nth in range(1, self.calls("crash", "kvm") + 1):
            refusal = Refusal("kvm", nth, errno.ENOMEM)
            self.assertIn(self.run_refused("crash", refusal).code, (EXIT_HOST, EXIT_CRASHED), str(refusal))


@on("kvm", "auto")
class DebuggedTest(RefusalCase):
    """KVM refuses while a debugger is at work."""

    # hit a breakpoint, step, watch the stack, read and write registers and memory, restart, end
    SESSION = ["QStartNoAckMode", "g", "Z0,53,1", "c", "z0,53,1", "s", "s", "Z2,100,8", "c", "s", "z2,100,8", "m0,20",
               "P0=0000000000000000", "R00", "?", "Z1,53,1", "c", "g", "vKill;1", "?", "k"]

    def debug(self, refusal):
        """One session against a host that refuses; what the client got last, and how the run ended."""
        self.addCleanup(refusal.close)
        run = self.start("-g", sample("seed"), "--gdb", "unix:socket", "--gdb-lost", "kill",
                         env=refusal.environment())
        try:
            run.wait_for(b"type: gdb", "err")
            with contextlib.closing(Wire(self.path("socket"))) as wire:
                for packet in self.SESSION:
                    wire.send(packet)
                    if packet not in ("R00", "k"):
                        wire.receive()
                    if packet == "QStartNoAckMode":
                        wire.acks = False
        except (AssertionError, OSError):
            pass  # the program has ended, and says why
        return run.finish()

    def test_each_call(self):
        plain = Refusal("kvm")
        self.check(self.debug(plain), 0)
        calls = plain.count()
        self.assertGreater(calls, 20)
        nths = self.some(calls, 20 if is_sanitized() else 60)
        for nth in nths:
            refusal = Refusal("kvm", nth, errno.ENOMEM)
            result = self.debug(refusal)
            self.assertIn(result.code, (0, EXIT_HOST, EXIT_CRASHED), f"{refusal}: {result}")
            self.assertIn("mini_hypervisor: ", result.messages)
        abuse.done(len(nths), "debugging sessions on a host that refuses")

    def test_entries(self):
        for error in (errno.EAGAIN, errno.EINTR, errno.EFAULT, errno.ENOMEM):
            for times in (1, 30):
                refusal = Refusal("run", abuse.chance(self).randint(1, 40), error, times)
                self.assertIn(self.debug(refusal).code, (0, EXIT_HOST), str(refusal))


class LimitsTest(Case):
    def setUp(self):
        super().setUp()
        if is_sanitized():
            self.skipTest("the program is built with a sanitizer, which needs resources of its own")

    def check_limited(self, kind, low, high, count):
        chance = abuse.chance(self)
        for _ in range(count):
            limit = chance.randint(low, high)
            line = [*chance.choice([["-g", *[sample("seed")] * chance.randint(1, 30)], LINES["files"], LINES["pty"],
                                    LINES["gdb-all"], ["-m", "8", "-g", *[guest("lines")] * chance.randint(1, 12)]])]
            line += ["--timeout", "5"] if "--timeout" not in line else []
            result = self.run_vm(*line, preexec_fn=lambda: resource.setrlimit(kind, (limit, limit)))
            about = f"limit {limit}: {line}: {result}"
            if b"error while loading shared libraries" in result.err:
                continue  # it was not even there yet
            self.assertIn(result.code, (0, *REFUSED, 124), about)
            if result.code in REFUSED:
                self.assertTrue(result.messages.startswith("mini_hypervisor: "), about)
        abuse.done(count, "runs with hardly any resources")

    def test_descriptors(self):
        self.check_limited(resource.RLIMIT_NOFILE, 4, 60, 25 * abuse.FACTOR)

    def test_address_space(self):
        self.check_limited(resource.RLIMIT_AS, 4 << 20, 160 << 20, 25 * abuse.FACTOR)


if __name__ == "__main__":
    abuse.main()
