"""
A link so slow that gdb gives up waiting for the first answer and sends its packet again, as over ssh to a distant host:

    slow_link.py COMMAND...

runs the command and passes bytes on, but holds back what the command answers until gdb has sent qSupported twice.
"""

import os
import select
import subprocess
import sys


def main():
    command = subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    ends = {0: command.stdin.fileno(), command.stdout.fileno(): 1}
    asked = held = b""
    while True:
        for fd in select.select(list(ends), [], [])[0]:
            data = os.read(fd, 65536)
            if not data:
                command.stdin.close()
                return command.wait()
            if fd == 0:
                asked += data
            else:
                held, data = held + data, b""
            if data:
                os.write(ends[fd], data)
        if held and asked.count(b"$qSupported") > 1:
            os.write(1, held)
            held = b""


if __name__ == "__main__":
    sys.exit(main())
