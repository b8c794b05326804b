"""The page of tools/grade in a browser: drawn whole at every width and in both themes, usable with keys, and harmless."""

import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from browser import Browser  # noqa: E402
from hypervisor import DEADLINE, PROGRAM, SOURCE, Case, contents, main, sample, sample_source  # noqa: E402
from page_checks import LOW_CONTRAST, OVERFLOWING  # noqa: E402

WIDTHS = (360, 800, 1280)
EVIL = "<img src=x onerror='window.hacked=1'>"

SUITE = """
title = "A <b>class</b> of students"
coverage = true
[build]
command = 'for file in guest.img guest.elf; do cp in."${file#*.}" $file; done'
[[test]]
name = "says hello"
points = 2
[test.expect]
output = "expected.txt"
[[test]]
name = "crashes"
[test.expect]
end = "any"
regex = 'about'
"""


class GradeTest(Case):
    @classmethod
    def setUpClass(cls):
        cls.browser = Browser()

    @classmethod
    def tearDownClass(cls):
        cls.browser.close()

    def setUp(self):
        super().setUp()
        os.makedirs(self.path("suite"))
        self.write("suite/suite.toml", SUITE.encode())
        self.write("suite/expected.txt", contents(sample_source("hello", "expected.txt")))
        for name in ("hello", "crash", "primes"):
            self.submit(name, {form: contents(sample(name, form[3:])) for form in ("in.img", "in.elf")} |
                        {"guest.c": contents(sample_source(name, "guest.c"))})
        self.submit(EVIL, {"in.img": b"".join(b"\xb0" + bytes([byte]) + b"\xe6\xe9" for byte in EVIL.encode()) + b"\xf4",
                           "in.elf": b""})
        self.submit("x" * 200, {"readme.txt": b""})
        subprocess.run([sys.executable, "-B", os.path.join(SOURCE, "tools", "grade"), "--hypervisor", PROGRAM, "suite",
                        "submissions"], cwd=self.dir, check=True, capture_output=True, timeout=DEADLINE)

    def submit(self, name, files):
        directory = self.path("submissions", name)
        os.makedirs(directory)
        for inner, data in files.items():
            with open(os.path.join(directory, inner), "wb") as file:
                file.write(data)

    def open(self, width=1280, scheme="light"):
        self.browser.view(width, 900, scheme, mobile=width < 500)
        self.browser.open(self.path("grades", "index.html"))
        self.assertEqual(self.browser.errors, [])
        self.assertEqual(self.browser.requests, ["file://" + self.path("grades", "index.html")])

    def names(self):
        """The rows that are shown, in order."""
        return self.browser.run("[...document.querySelectorAll('tr.row:not([hidden]) button')].map((e) => e.textContent)")

    def number(self, selector):
        return self.browser.run(f"document.querySelectorAll({selector!r}).length")

    def test_layout(self):
        for scheme in ("light", "dark"):
            for width in WIDTHS:
                with self.subTest(scheme=scheme, width=width):
                    self.open(width, scheme)
                    self.browser.run("document.querySelectorAll('tr.row').forEach((row) => row.click())")
                    self.browser.run("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
                    self.assertEqual(self.number("tr.open"), 5)
                    self.assertEqual(self.browser.run("document.documentElement.scrollWidth - innerWidth"), 0)
                    self.assertEqual(self.browser.run(OVERFLOWING), [])
                    self.assertEqual(self.browser.run(LOW_CONTRAST), [])

    def test_what_is_hostile_is_text(self):
        self.open()
        self.browser.run("document.querySelectorAll('tr.row').forEach((row) => row.click())")
        self.assertIn(EVIL, self.names())
        self.assertIn("+" + EVIL, self.browser.run("document.querySelector('tbody').innerText"))
        self.assertEqual(self.number("img"), 0)
        self.assertIsNone(self.browser.run("window.hacked ?? null"))

    def test_sort_and_filter(self):
        self.open()
        self.browser.run("document.querySelector('th.points button').click()")
        self.assertEqual(self.names()[0], "hello")
        self.assertEqual(self.browser.run("document.querySelector('th.points').ariaSort"), "descending")
        self.browser.run("document.querySelector('th.points button').click()")
        self.assertEqual(self.names()[-1], "hello")
        self.browser.run("filter.value = 'RIM'; filter.dispatchEvent(new Event('input'))")
        self.assertEqual(self.names(), ["primes"])
        self.assertEqual(self.browser.run("shown.textContent"), "1 of 5")

    def test_keys(self):
        self.open()
        self.browser.press("/", 191, "/")
        self.assertEqual(self.browser.run("document.activeElement.id"), "filter")
        self.browser.press("ArrowDown", 40)
        self.browser.press("ArrowDown", 40)
        self.assertEqual(self.browser.run("document.activeElement.textContent"), self.names()[1])
        self.browser.press("Enter", 13, "\r")
        self.assertEqual(self.number("tr.open"), 1)
        self.browser.press("Escape", 27)
        self.assertEqual(self.number("tr.open"), 0)

    def test_recordings_are_in_the_page(self):
        self.open()
        self.browser.run("[...document.querySelectorAll('tr.row button')].find((e) => e.textContent === 'crash').click()")
        self.browser.settle()
        link = "document.querySelector('a.recording')"
        self.assertEqual(self.browser.run(f"{link}.download"), "crash-1.mhr")
        self.assertTrue(self.browser.run(f"{link}.href").startswith("blob:"))


if __name__ == "__main__":
    main()
