"""Whole processes: start, serial port, files, many machines, computing; and kicks of the processor alone."""

import os
import shutil
import signal
import statistics
import subprocess
import time

from measure import NAME, QEMU_EXIT, Program, interleave, milliseconds, print_table, rate_text, unmeasured, verdict


def start(setup):
    hlt = setup.image("hlt.img")
    nothing = Program("a process that does nothing", [setup.floor, "nothing"])
    ours = Program(NAME, setup.our_argv("-g", hlt))
    programs = [nothing, ours]
    if setup.has_kvm():
        programs += [Program("bare KVM loop", [setup.floor, "run", hlt])]
        programs += [Program("bare KVM loop, and the guest gets its CPUID", [setup.floor, "run", hlt, "cpuid"])]
    other = setup.qemu_that_ends("QEMU, microvm", "qemu-hlt.elf")
    interleave(100, programs, setup)
    interleave(10, [other], setup)
    rows = []
    for program in [*programs, other]:
        if program.problem:
            rows.append(unmeasured(program, 4))
            continue
        more = program.median() - nothing.median()
        cells = [program.median(), min(program.seconds), more, program.median_cpu()]
        note = verdict(more, 2e-3, "2 ms more") if program is ours else ""
        rows.append((program.name, [milliseconds(cell) for cell in cells], note))
    print_table("Start to hlt, one machine, the whole process", ["median", "minimum", "more", "CPU time"], rows)


def rate(program, amount, empty):
    """Bytes a second, without what a process costs that moves none."""
    return amount / max(program.median() - empty.median(), 1e-9)


def serial(setup):
    long, short = setup.amounts["print_bytes"], setup.amounts["print_short_bytes"]
    hlt = setup.image("hlt.img")
    empty = Program("", setup.our_argv("-g", hlt))
    ours = Program(NAME, setup.our_argv("-g", setup.image("print.img")))
    traced = Program(NAME + " --trace", [*ours.argv, "--trace", setup.path("trace.json")])
    qemu_empty = setup.qemu_that_ends("", "qemu-hlt.elf")
    qemu = setup.qemu_that_ends("QEMU, debugcon", "qemu-print.elf")
    entries = [(ours, long, empty), (traced, long, empty), (qemu, short, qemu_empty)]
    if setup.has_kvm():
        bare_empty = Program("", [setup.floor, "run", hlt])
        bare = Program("bare KVM loop, an exit a byte", [setup.floor, "run", setup.image("print-short.img")])
        entries.append((bare, short, bare_empty))
    interleave(7, [program for program, _, other in entries[:2]] + [empty], setup)
    interleave(3, [program for entry in entries[2:] for program in (entry[0], entry[2])], setup)
    rows = []
    for program, amount, nothing in entries:
        if program.problem:
            rows.append(unmeasured(program, 3))
            continue
        by_time = rate(program, amount, nothing)
        by_cpu = amount / max(program.median_cpu() - nothing.median_cpu(), 1e-9)
        note = verdict(program.median(), 0.15, "0.15 s") if program is ours else ""
        note += "; " + verdict(by_cpu, 10e6, "10 M/s of CPU time", at_most=False) if program is ours else ""
        rows.append((program.name, [f"{program.median():.3f} s", f"{by_time / 1e6:.3g} M/s", f"{by_cpu / 1e6:.3g} M/s"], note))
    columns = ["median", "bytes a s", "a CPU s"]
    print_table(f"Port 0xe9, a guest that prints {long >> 10} KB byte by byte (QEMU: {short >> 10} KB)", columns, rows)


def files(setup):
    data = setup.path("data")
    with open(data, "wb") as file:
        file.write(os.urandom(8 << 20))
    chunk, total = setup.amounts["file_chunk"], setup.amounts["file_total"]
    few, some = setup.amounts["byte_total"], setup.amounts["string_total"]

    def guest(name, image):
        words = ["-m", "4", "-g", setup.image(image + ".img"), "-f", data, "--max-written", "4096"]
        return Program(name, setup.our_argv(*words))

    nothing, empty = Program("", [setup.floor, "nothing"]), guest("", "hlt")
    pread = Program("pread into the same memory", [setup.floor, "read", data, str(chunk), str(total)])
    pwrite = Program("pwrite from the same memory", [setup.floor, "write", data + ".floor", str(chunk), str(total)])
    read, write = guest(NAME + ", one exit a call, read", "READ"), guest(NAME + ", one exit a call, write", "WRITE")
    entries = [(pread, total, nothing), (read, total, empty), (pwrite, total, nothing), (write, total, empty)]
    entries.append((guest(NAME + ", an exit a byte, read", "READ_BYTES"), few, empty))
    entries.append((guest(NAME + ", an exit a byte, write", "WRITE_BYTES"), few, empty))
    entries.append((guest(NAME + ", rep insb, read", "READ_STRING"), some, empty))
    interleave(5, [nothing, empty] + [program for program, _, _ in entries], setup)
    rows = []
    for program, amount, other in entries:
        if program.problem:
            rows.append(unmeasured(program, 1))
            continue
        by_time = rate(program, amount, other)
        note = verdict(by_time, 64e6, "64 MB/s", at_most=False) if program is read else ""
        rows.append((program.name, [rate_text(by_time)], note))
    print_table(f"Files, one of 8 MB; calls of {chunk >> 10} KB, by bytes of 4 KB", ["rate"], rows)


# ---- many machines ----

FEW, MANY = 32, 500
# pages of the machine's own memory: the guest's code, the end of its stack, four page tables, and one page with the
# descriptors and stubs
TOUCHED_KB = 28


def private_kb(pid):
    with open(f"/proc/{pid}/smaps_rollup") as file:
        return sum(int(line.split()[1]) for line in file if line.startswith(("Private_Clean:", "Private_Dirty:")))


def sleeping_threads(pid):
    count = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        try:
            with open(f"/proc/{pid}/task/{task}/stat") as file:
                count += file.read().rpartition(")")[2].split()[0] == "S"
        except FileNotFoundError:  # it ended meanwhile
            pass
    return count


def private_kb_of(argv, threads):
    """Private memory of a process once `threads` of its threads wait and nothing changes any more."""
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    seen = []
    deadline = time.monotonic() + 15
    while (len(seen) < 4 or len(set(seen[-4:])) > 1) and time.monotonic() < deadline:
        try:
            process.wait(0.05)  # it is not to end; memory has no event to wait for, so look at it meanwhile
            break
        except subprocess.TimeoutExpired:
            if sleeping_threads(process.pid) >= threads:
                seen.append(private_kb(process.pid))
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    process.communicate()
    return seen[-1] if len(seen) >= 4 else None


def private_kb_a_machine(command):
    """The slope between few and many machines: what a process costs by itself does not count."""
    few, many = (private_kb_of(command(count), count + 1) for count in (FEW, MANY))
    return None if few is None or many is None else (many - few) / (MANY - FEW) - TOUCHED_KB


def memory_rows(setup):
    wait = setup.image("wait.img")
    kb = private_kb_a_machine(lambda count: setup.our_argv("--serial", "pty", "-g", *[wait] * count))
    rows = [(NAME, ["-" if kb is None else f"{kb:.1f} KB"], verdict(kb or 1e9, 64, "64 KB"))]
    if setup.has_kvm():
        bare = private_kb_a_machine(lambda count: [setup.floor, "many", str(count), wait])
        rows.append(("bare KVM loops in threads", ["-" if bare is None else f"{bare:.1f} KB"], ""))
    # without isa-debug-exit the guest spins for ever behind its OUT; a process each, so there is no slope
    spinning = setup.qemu("", "qemu-hlt.elf")
    other = None if spinning.problem else private_kb_of(spinning.argv, 1)
    rows.append(("QEMU, a process each", ["-" if other is None else f"{other:.1f} KB"], spinning.problem or ""))
    return rows


def qemu_together(setup, count, rounds):
    """Seconds for `count` QEMU processes started at once, or None."""
    program = setup.qemu_that_ends("", "qemu-hlt.elf")
    if program.problem:
        return None
    seconds = []
    for _ in range(rounds):
        begin = time.perf_counter()
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        processes = [subprocess.Popen(program.argv, **quiet) for _ in range(count)]
        if any([process.wait() != QEMU_EXIT for process in processes]):
            return None
        seconds.append(time.perf_counter() - begin)
    return statistics.median(seconds)


def many_rows(setup, count, rounds):
    hlt = setup.image("hlt.img")
    ours = Program(f"{count}: {NAME}", setup.our_argv("-g", *[hlt] * count))
    programs = [ours]
    if setup.has_kvm():
        programs.append(Program(f"{count}: bare KVM loops in threads", [setup.floor, "many", str(count), hlt, "cpuid"]))
    interleave(rounds, programs, setup)
    rows = []
    for program in programs:
        if program.problem:
            rows.append(unmeasured(program, 3))
            continue
        median = program.median()
        note = verdict(median, 0.3, "0.3 s") if program is ours and count == MANY else ""
        rows.append((program.name, [milliseconds(median), f"{count / median:.0f}/s", milliseconds(program.median_cpu())], note))
    return rows


def many(setup):
    rows = many_rows(setup, 1, 30) + many_rows(setup, FEW, 20) + many_rows(setup, MANY, 9)
    processes = 8
    seconds = qemu_together(setup, processes, 3)
    cells = ["", "-", ""] if seconds is None else [milliseconds(seconds), f"{processes / seconds:.0f}/s", ""]
    rows.append((f"{processes}: QEMU, a process each", cells, "not installed, or did not run" if seconds is None else ""))
    print_table("Many machines that halt at once, the whole process", ["median", "rate", "CPU time"], rows)
    title = f"Private memory a machine, beyond {TOUCHED_KB} KB of its RAM and system area ({FEW} to {MANY} that wait)"
    print_table(title, ["memory"], memory_rows(setup))


# ---- computing ----

# what is compared, and how many times as long as a Linux program it may take; None: no target
KERNELS = {"sieve": 3, "quicksort": 3, "recursion": 3, "bitwise_crc": 3, "multiply_divide": 3, "rep_movsb": 1.3,
           "doubles": 1.5, "x87": None}
MEAN = 2  # of those with a target


def compute_row(setup, kernel, target):
    native = Program("", [setup.image(kernel)])
    words = ["-m", "4", "-g", setup.image(kernel + ".img")]
    ours = Program(NAME, setup.our_argv(*words))
    interpreted = Program("", [setup.ours, "--accel", "soft,jit=off", *words])
    qemu = setup.qemu_that_ends("", kernel + ".elf")
    nothing = Program("", [setup.floor, "nothing"])
    qemu_nothing = setup.qemu_that_ends("", "qemu-hlt.elf")
    interleave(5, [nothing, native, ours], setup)
    interleave(3, [interpreted, qemu_nothing, qemu], setup)
    base = max(native.median_cpu() - nothing.median_cpu(), 1e-4)
    ratio = (ours.median_cpu() - nothing.median_cpu()) / base
    cells = [milliseconds(base), f"{ratio:.2f}", f"{(interpreted.median_cpu() - nothing.median_cpu()) / base:.1f}"]
    cells.append("-" if qemu.problem else f"{(qemu.median_cpu() - qemu_nothing.median_cpu()) / base:.1f}")
    note = verdict(ratio, target, str(target)) if target else ""
    if ours.problem or ours.printed != native.printed:
        note = ours.problem or "WRONG RESULT"
    return (kernel, cells, note)


def compute(setup):
    rows = [compute_row(setup, kernel, target) for kernel, target in KERNELS.items()]
    mean = statistics.geometric_mean(float(cells[1]) for kernel, cells, _ in rows if KERNELS[kernel])
    rows.append(("geometric mean of those with a target", ["", f"{mean:.2f}"], verdict(mean, MEAN, str(MEAN))))
    columns = ["program", "ours", "interpreted", "QEMU"]
    print_table("Computing, CPU time; a Linux program of the same code is 1", columns, rows)
    if shutil.which("qemu-system-x86_64") is None:
        print("  QEMU: not installed")


# ---- counting ----

# times as long as without it
COUNTING = 2


def count_row(setup, kernel):
    quietly = ["/bin/sh", "-c", 'exec "$@" 2>/dev/null', "sh"]  # these images have no names and lines
    argv = [*quietly, *setup.our_argv("-m", "4", "-g", setup.image(kernel + ".img"))]
    plain = Program(NAME, argv)
    counting = [Program(option, [*argv, option, "/dev/null"]) for option in ("--coverage", "--profile")]
    nothing = Program("", [setup.floor, "nothing"])
    interleave(3, [nothing, plain, *counting], setup)
    base = max(plain.median_cpu() - nothing.median_cpu(), 1e-4)
    ratios = [(program.median_cpu() - nothing.median_cpu()) / base for program in counting]
    note = verdict(max(ratios), COUNTING, str(COUNTING))
    if any(program.problem or program.printed != plain.printed for program in counting):
        note = "WRONG RESULT"
    return (kernel, [milliseconds(base), *[f"{ratio:.2f}" for ratio in ratios]], note)


def counting(setup):
    """Writing the files is left to another process, which is not measured."""
    rows = [count_row(setup, kernel) for kernel in KERNELS]
    print_table("Counting, CPU time; a run without it is 1", ["plain", "--coverage", "--profile"], rows)


# ---- how soon the software processor stops ----


def kicks(setup):
    images = [setup.image(kernel + ".img") for kernel in KERNELS]
    done = subprocess.run([setup.image("kicks"), *images], stdout=subprocess.PIPE, check=True, text=True)
    rows = []
    for line in done.stdout.splitlines():
        name, median, most = line.split("\t")
        rows.append((name, [f"{median} us", f"{most} us"], verdict(float(median) / 1e6, 100e-6, "100 us")))
    print_table("From a kick to the end of the run, generated code", ["median", "95 %"], rows)
