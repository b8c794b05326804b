"""The settings for editors: they are well-formed, name what exists, and start machines as they should."""

import json
import os
import re
import shlex
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from hypervisor import ACCEL, DEADLINE, PROGRAM, SOURCE, Case, main, sample  # noqa: E402

EDITORS = os.path.join(SOURCE, "examples", "editors")
BUILT = os.path.join("build", "default", "tools", "mini_hypervisor", "mini_hypervisor")
PORT = "1234"


def read(*path):
    with open(os.path.join(*path), encoding="utf-8") as file:
        return file.read()


class SettingsCase(Case):
    def check_start(self, command, ready="waits for gdb"):
        """The command of a setting, on a free port and with the program under test, says what the setting waits for."""
        self.assertIn(f"--gdb {PORT}", " ".join(command))
        words = ["0" if word == PORT else word for word in command]
        run = subprocess.Popen([PROGRAM, "--accel", ACCEL, *words[1:]], cwd=os.path.dirname(sample("crash", "elf")),
                               stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        try:
            line = run.stderr.readline().decode()
        finally:
            run.kill()
            run.wait(DEADLINE)
            run.stderr.close()
        self.assertIn(ready, line)
        return line


class VsCodeTest(SettingsCase):
    FOLDER = os.path.join(SOURCE, "guests")

    def setUp(self):
        super().setUp()
        self.launch = {each["name"]: each for each in json.loads(read(self.FOLDER, ".vscode", "launch.json"))["configurations"]}
        self.tasks = {each["label"]: each for each in json.loads(read(self.FOLDER, ".vscode", "tasks.json"))["tasks"]}

    def expand(self, text):
        """What the variables stand for with guests/crash/guest.c open, built where the tests have it."""
        text = text.replace("${fileDirname}", os.path.dirname(sample("crash", "elf")))
        return text.replace("${workspaceFolder}", self.FOLDER)

    def check_program(self, path):
        self.assertEqual(os.path.normpath(self.expand(path)), os.path.join(SOURCE, BUILT))

    def test_tasks_are_there(self):
        for each in self.launch.values():
            if "preLaunchTask" in each:
                self.assertIn(each["preLaunchTask"], self.tasks)
        for each in self.tasks.values():
            if "dependsOn" in each:
                self.assertIn(each["dependsOn"], self.tasks)

    def test_addresses_agree(self):
        for each in self.launch.values():
            self.assertEqual(each.get("miDebuggerServerAddress", each.get("target")), f"127.0.0.1:{PORT}")
            self.assertTrue(os.path.exists(self.expand(each["program"])), each)

    def test_server_of_the_debugger(self):
        each = self.launch["Guest: start and debug"]
        self.check_program(each["debugServerPath"])
        command = [each["debugServerPath"], *shlex.split(self.expand(each["debugServerArgs"]))]
        self.check_start(command, each["serverStarted"])

    def test_server_as_a_task(self):
        task = self.tasks["Guest: start"]
        self.check_program(task["command"])
        line = self.check_start([task["command"], *map(self.expand, task["args"])])
        matcher = task["problemMatcher"]
        self.assertRegex(line, matcher["background"]["endsPattern"])
        self.assertNotRegex(line, matcher["pattern"]["regexp"])


class ClionTest(SettingsCase):
    def setUp(self):
        super().setUp()
        folder = os.path.join(EDITORS, "clion", ".run")
        found = [ElementTree.parse(os.path.join(folder, name)).getroot().find("configuration")
                 for name in sorted(os.listdir(folder))]
        self.configurations = {each.get("name"): each for each in found}

    def test_debugger(self):
        debug = self.configurations["Guest"]
        self.assertEqual(debug.get("type"), "CLion_Remote")
        self.assertEqual(debug.get("remoteCommand"), f"127.0.0.1:{PORT}")
        before = debug.find("method/option")
        start = self.configurations[before.get("run_configuration_name")]
        self.assertEqual(start.get("type"), before.get("run_configuration_type"))

    def test_start(self):
        start = self.configurations["Guest: start"]
        options = {each.get("name"): each.get("value") for each in start.findall("option")}
        make, command = options["SCRIPT_TEXT"].split(" && ")
        self.assertEqual(make, "make")
        self.check_start(shlex.split(command))


class ScriptsTest(SettingsCase):
    """Emacs and Neovim. The editors themselves are not there to be asked, but what they are told to start is."""

    def check_options(self, text, *needed):
        known = subprocess.run([PROGRAM, "--help"], stdout=subprocess.PIPE, timeout=DEADLINE, check=True).stdout.decode()
        used = set(re.findall(r"(?<=\s)--[a-z]+(?= )", text))
        self.assertLessEqual(set(needed), used)
        for option in used:
            self.assertRegex(known, rf"(?m){option}\b")

    def check_script(self, folder, text):
        """The path to gdb's commands, which is relative to the file."""
        path = re.search(r"(?:\.\./)+(tools/gdb/\w+\.py)", text)[0]
        self.assertTrue(os.path.exists(os.path.join(folder, path)), path)

    def test_emacs(self):
        text = read(EDITORS, "emacs", "mini-hypervisor.el")
        self.check_options(text, "--gdb", "--guest", "--memory")
        self.check_script(os.path.join(EDITORS, "emacs"), text)

    def test_neovim(self):
        text = read(EDITORS, "neovim", "mini_hypervisor.lua")
        self.check_options(text, "--gdb", "--guest", "--memory")
        self.check_script(os.path.join(EDITORS, "neovim"), text)

    def test_address_of_the_ready_line(self):
        """Both editors look for it."""
        line = self.check_start(["mini_hypervisor", "--gdb", PORT, "--guest", sample("crash", "elf")])
        self.assertRegex(line, r"target remote [\d.:]+'")


if __name__ == "__main__":
    main()
