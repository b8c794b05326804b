"""
What the abuse tests share: where chance comes from, and how much of it there is.

MH_SEED, a decimal number, makes a run repeat another; without it the system draws one. MH_ABUSE_FACTOR says how many
times the share of continuous integration is to be done. Both are printed before anything else, as the line that repeats
the run: so they are known even of a run that never ended.
"""

import concurrent.futures
import itertools
import os
import random
import sys

import hypervisor

SEED = int(os.environ.get("MH_SEED") or int.from_bytes(os.urandom(4), "little"))
FACTOR = int(os.environ.get("MH_ABUSE_FACTOR") or 1)


def chance(test):
    """The random numbers of one test: the same for a seed, whatever other tests took."""
    return random.Random(f"{SEED} {test.id()}")


def each(arguments, run):
    """Call run() with each of the arguments, which may be made up on the way; as many at once as there are processors."""
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        arguments = iter(arguments)
        while runs := [pool.submit(run, argument) for argument in itertools.islice(arguments, os.cpu_count())]:
            for one in runs:
                one.result()


def done(count, what):
    """Say what a test did, for tools/dev/soak to add up: done(300, "random images")."""
    print(f"abuse: done {count} {what}", flush=True)


def main():
    """Run the tests of a file, as hypervisor.main() does."""
    print(f"abuse: to repeat: MH_SEED={SEED} MH_ABUSE_FACTOR={FACTOR} MH_BUILD={hypervisor.BUILD} "
          f"python3 -B {os.path.abspath(sys.argv[0])}", flush=True)
    hypervisor.main()
