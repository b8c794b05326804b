"""Pages of --report in a browser: drawn whole at every width and in both themes, and usable with a keyboard."""

import os
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from browser import Browser  # noqa: E402
from hypervisor import DEADLINE, EXIT_CRASHED, SOURCE, Case, contents, main, sample  # noqa: E402
from page_checks import LOW_CONTRAST, OVERFLOWING  # noqa: E402
from report_page import image_of_tables  # noqa: E402

WIDTHS = (360, 800, 1280)


class BrowserCase(Case):
    browser: Browser

    @classmethod
    def setUpClass(cls) -> None:
        cls.browser = Browser()

    @classmethod
    def tearDownClass(cls) -> None:
        cls.browser.close()

    def open(self, *arguments, code=0, width=1280, scheme="light", **options) -> Browser:
        self.check(self.run_vm("--accel", "soft", *arguments, "--report", "report.html", **options), code)
        self.browser.view(width, 900, scheme, mobile=width < 500)
        self.browser.open(self.path("report.html"))
        self.assertEqual(self.browser.errors, [])
        return self.browser

    def text(self, selector: str) -> str:
        return self.browser.run(f"document.querySelector({selector!r})?.innerText ?? ''")

    def number(self, selector: str) -> int:
        return self.browser.run(f"document.querySelectorAll({selector!r}).length")

    def check_layout(self) -> None:
        for scheme in ("light", "dark"):
            for width in WIDTHS:
                with self.subTest(scheme=scheme, width=width):
                    self.browser.view(width, 900, scheme, mobile=width < 500)
                    self.browser.open(self.path("report.html"))
                    self.assertEqual(self.browser.errors, [])
                    self.assertEqual(self.browser.requests, ["file://" + self.path("report.html")])
                    self.assertEqual(self.browser.run("document.documentElement.scrollWidth - innerWidth"), 0)
                    self.assertEqual(self.browser.run(OVERFLOWING), [])
                    self.assertEqual(self.browser.run(LOW_CONTRAST), [])
                    self.assertEqual(self.browser.run("document.documentElement.dataset.theme"), scheme)


class LayoutTest(BrowserCase):
    def test_crash(self):
        self.open("-g", sample("crash", "elf"), code=EXIT_CRASHED)
        self.check_layout()

    def test_files(self):
        self.write("notes.txt", b"water the flowers\n")
        self.open("-g", sample("files"), "-f", "notes.txt", "-m", "8", "-p", "4K")
        self.check_layout()

    def test_what_a_hostile_guest_prints(self):
        evil = b"</script><img src=x onerror='window.hacked=1'>" + b"W" * 5000 + b"\0\xff\xc3\x28\x1b[2J\n"
        browser = self.open("-g", sample("echo"), input=evil)
        self.assertIn("<img src=x onerror='window.hacked=1'>", self.text("section#serial"))
        self.assertIsNone(browser.run("window.hacked ?? null"))
        self.assertEqual(self.number("img"), 0)
        self.check_layout()

    def test_memory_full_of_page_tables(self):
        self.write("tables.img", image_of_tables(2040))
        self.open("-g", "tables.img", "-m", "8")
        self.assertIn("There are more tables than a page can hold", self.text("section#tables"))
        self.check_layout()

    def test_a_long_timeline(self):
        self.open("-g", sample("echo"), input=b"x\n" * 3000)
        self.assertIn("between them are not", self.text("section#timeline"))
        self.assertIn("not kept", self.browser.run("document.querySelector('.chart').textContent"))
        self.assertGreater(self.browser.run("document.querySelector('.gap').getBoundingClientRect().width"), 200)
        self.check_layout()


class ContentTest(BrowserCase):
    def test_the_walk_that_failed_is_drawn(self):
        self.open("-g", sample("crash", "elf"), code=EXIT_CRASHED)
        self.assertIn("write to a page that is not mapped", self.text("section#crash h2"))
        self.assertEqual(self.number("section#crash .step"), 2)
        self.assertIn("Not present. The walk stops here.", self.text("section#crash .step.stop"))
        self.assertIn("entry 1", self.text("section#crash .step.stop h3"))
        self.assertEqual(self.number(".verdict.crash"), 1)

    def test_the_missing_right_is_said(self):
        # mov $0x16, %eax; mov %rax, %cr3 ... the stub page of the system area is writable: make the image's page
        # read-only through its own entry, and write to it: movb $0xe5, 0x1002000; mov %cr3, %rax; mov %rax, %cr3;
        # movb $1, 0x0; hlt (2 MB pages; 0xe5: present, user, accessed, dirty, large)
        code = bytes.fromhex("c6042500200001e5" "0f20d8" "0f22d8" "c604250000000001" "f4")
        self.write("guest.img", code)
        self.open("-g", "guest.img", code=EXIT_CRASHED)
        self.assertIn("The page is read-only.", self.text("section#crash .step.stop"))
        self.assertIn("r-x", self.text("section#crash .step.stop"))

    def test_the_source(self):
        self.open("-g", sample("crash", "elf"), code=EXIT_CRASHED)
        self.assertEqual(self.number("section#source"), 0)
        subprocess.run([os.path.join(SOURCE, "tools", "report_source"), self.path("report.html")], check=True,
                       timeout=DEADLINE)
        self.browser.open(self.path("report.html"))
        self.assertEqual(self.number("tr.here"), 1)
        self.assertIn("student->grade = grade;", self.text("tr.here"))
        top, bottom = self.browser.run("(() => { const box = document.querySelector('.source').getBoundingClientRect(); "
                                       "const row = document.querySelector('tr.here').getBoundingClientRect(); "
                                       "return [row.top - box.top, box.bottom - row.bottom]; })()")
        self.assertTrue(top > 0 and bottom > 0)  # it is in view
        self.browser.run("(() => { const choice = document.querySelector('section#source select'); "
                         "choice.value = [...choice.options].find((option) => option.text.startsWith('sdk/')).value; "
                         "choice.dispatchEvent(new Event('change')); })()")
        self.assertEqual(self.number("tr.here"), 0)
        self.assertGreater(self.number("tr.hit"), 5)
        self.check_layout()

    def test_the_tree_and_an_address(self):
        browser = self.open("-g", sample("paging"), "-m", "8", "-p", "4K")
        self.assertIn("0x40000000–0x40000fff", self.text(".tree"))
        browser.run("document.querySelector('#address').value = '0x40000123'; document.querySelector('.lookup').requestSubmit()")
        self.assertIn("0x6123", self.text(".walked"))
        browser.run("document.querySelector('#address').value = '<b>'; document.querySelector('.lookup').requestSubmit()")
        self.assertIn("Say an address", self.text(".walked"))
        browser.run("document.querySelector('#address').value = '0x8000000000000000'; document.querySelector('.lookup').requestSubmit()")
        self.assertIn("not canonical", self.text(".walked"))

    def test_the_timeline_has_a_lane_for_each_file(self):
        self.write("notes.txt", b"water the flowers\n")
        self.open("-g", sample("files"), "-f", "notes.txt")
        for words in ("file notes.txt", "file report.txt", "serial out", "stops"):
            self.assertIn(words, self.browser.run("document.querySelector('.chart').textContent"))
        self.assertGreater(self.number(".chart rect"), 20)
        self.assertIn("water the flowers", self.text("section#serial"))

    def test_times_have_three_digits(self):
        self.open("-g", sample("hello"))
        for ns, text in ((0, "0 ns"), (999, "999 ns"), (1500, "1.5 µs"), (360_000, "360 µs"), (100_000_000, "100 ms"),
                         (1_234_567, "1.23 ms"), (5_000_000_000_000, "5000 s")):
            self.assertEqual(self.browser.run(f"duration({ns})"), text)

    def test_files_that_are_not_shown_are_counted(self):
        self.write("notes.txt", b"water the flowers\n")
        self.open("-g", sample("files"), "-f", "notes.txt")
        self.assertNotIn("are shown", self.text("section#files"))
        page = contents(self.path("report.html"))
        self.write("report.html", page.replace(b'"unlisted_calls":0', b'"unlisted_calls":7'))
        self.browser.open(self.path("report.html"))
        self.assertIn("names are shown; 7 calls of files with other names are not.", self.text("section#files"))

    def test_a_page_from_kvm_says_what_is_not_known(self):
        self.open("-g", sample("hello"))
        text = self.path("report.html")
        with open(text, encoding="utf-8") as file:
            page = file.read()
        with open(text, "w", encoding="utf-8") as file:
            file.write(page.replace('"knows_accesses":true', '"knows_accesses":false'))
        self.browser.open(text)
        self.assertIn("does not say what it read and executed", self.text("section#memory"))


class UseTest(BrowserCase):
    def selected(self) -> str:
        return self.text(".inspect strong")

    def test_memory_by_keyboard(self):
        browser = self.open("-g", sample("paging"), "-m", "8", "-p", "4K")
        browser.run("document.querySelector('canvas').focus()")
        self.assertEqual(self.selected(), "0x0–0xfff")
        browser.press("ArrowRight", 39)
        self.assertEqual(self.selected(), "0x1000–0x1fff")
        browser.press("ArrowDown", 40)
        self.assertEqual(self.selected(), "0x41000–0x41fff")
        browser.press("ArrowUp", 38)
        browser.press("Enter", 13)
        self.assertEqual(self.selected(), "0x1000–0x103f")
        browser.press("Enter", 13)
        self.assertEqual(self.selected(), "0x1000")
        self.assertIn("Page 0x1000", self.text(".crumbs .here"))
        browser.press("Escape", 27)
        browser.press("Escape", 27)
        self.assertEqual(self.selected(), "0x1000–0x1fff")
        browser.press("End", 35)
        self.assertEqual(self.selected(), "0x1009000–0x1009fff")

    def test_memory_by_pointer(self):
        browser = self.open("-g", sample("paging"), "-m", "8", "-p", "4K", width=360)
        browser.run("document.querySelector('canvas').click()")
        self.assertEqual(self.text(".crumbs .here"), "0x0 to 0x3ffff")
        browser.run("document.querySelector('.crumbs button').click()")
        self.assertIn("All memory", self.text(".crumbs .here"))

    def test_layers(self):
        browser = self.open("-g", sample("hello"))
        color = "[...document.querySelector('canvas').getContext('2d').getImageData(90, 10, 1, 1).data].join()"
        with_code = browser.run(color)
        browser.run("document.querySelector('[aria-pressed]').click()")
        self.assertEqual(self.number("[aria-pressed=false]"), 1)
        self.assertNotEqual(browser.run(color), with_code)

    def test_the_theme(self):
        browser = self.open("-g", sample("hello"), scheme="dark")
        background = "getComputedStyle(document.body).backgroundColor"
        dark = browser.run(background)
        browser.run("document.querySelector('#theme').click()")
        self.assertNotEqual(browser.run(background), dark)
        self.assertEqual(self.text("#theme"), "Dark")
        browser.run("document.querySelector('#theme').click(); try { localStorage.clear() } catch {}")
        browser.view(1280, 900, "light")
        browser.settle()
        self.assertEqual(browser.run("document.documentElement.dataset.theme"), "light")

    def test_the_timeline_by_keyboard(self):
        browser = self.open("-g", sample("crash"), code=EXIT_CRASHED)
        browser.run("document.querySelector('.chart').focus()")
        browser.press("ArrowRight", 39)
        self.assertIn("serial port out", self.text(".detail"))
        browser.press("ArrowRight", 39)
        self.assertIn("stop: fault", self.text(".detail"))
        self.assertEqual(self.number("tr[aria-selected=true]"), 1)
        browser.press("+", 187, "+")
        self.assertEqual(browser.errors, [])

    def test_everything_is_reached_with_tab(self):
        browser = self.open("-g", sample("paging"))
        reached = set()
        for _ in range(60):
            browser.press("Tab", 9)
            reached.add(browser.run("(document.activeElement.id || document.activeElement.className || document.activeElement.tagName)"))
        self.assertTrue({"theme", "CANVAS", "chart", "address", "SUMMARY", "list"} <= reached, reached)


if __name__ == "__main__":
    unittest.installHandler()
    main()
