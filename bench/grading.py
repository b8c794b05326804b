"""A class of submissions: tools/grade beside a shell loop that only starts the program for each."""

import os
import shlex

from measure import NAME, Program, interleave, milliseconds, print_table, unmeasured, verdict

GRADE = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "tools", "grade")
COUNT = 1000


def make_class(setup):
    """Equal images, and a suite that they pass."""
    suite, submissions = setup.path("suite"), setup.path("submissions")
    os.mkdir(suite)
    os.mkdir(submissions)
    with open(os.path.join(suite, "suite.toml"), "w", encoding="ascii") as file:
        file.write("[[test]]\nname = 'ends'\n[test.expect]\ntext = ''\n")
    with open(setup.image("hlt.img"), "rb") as file:
        image = file.read()
    for number in range(COUNT):
        with open(os.path.join(submissions, f"{number:04}.img"), "wb") as file:
            file.write(image)
    return suite, submissions


def grade(setup):
    suite, submissions = make_class(setup)
    out = setup.path("grades")
    ours = shlex.join(setup.our_argv("-g"))
    script = f"for image in {shlex.quote(submissions)}/*; do {ours} \"$image\" </dev/null >/dev/null || exit; done"
    loop = Program("a shell loop that starts it", ["/bin/sh", "-c", script])

    def grading(name, *words):
        command = shlex.join([GRADE, "--hypervisor", setup.ours, "--out", out, *words, suite, submissions])
        # not graded before, so that there is something to do
        return Program(name, ["/bin/sh", "-c", f"rm -rf {shlex.quote(out)} && exec {command} 2>/dev/null"])
    programs = [loop, grading("tools/grade"), grading("tools/grade --jobs 1", "--jobs", "1")]
    interleave(3, programs, setup)
    rows = []
    for program in programs:
        if program.problem or loop.problem:
            rows.append(unmeasured(program, 3))
            continue
        ratio = program.median() / loop.median()
        note = verdict(ratio, 2, "2") if program is programs[1] else ""
        rows.append((program.name, [milliseconds(program.median() / COUNT), milliseconds(program.median_cpu() / COUNT),
                                    f"{ratio:.2f}"], note))
    print_table(f"{COUNT} submissions to {NAME}, each", ["median", "CPU time", "of the loop"], rows)
