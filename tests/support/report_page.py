"""Pages that --report wrote, read without a browser; and guests that try to break them."""

import html.parser
import json
import re
import struct
from typing import Any

PAGE = 4096


class Page(html.parser.HTMLParser):
    """The elements of a page, and the facts in it."""

    def __init__(self, path: str) -> None:
        super().__init__()
        with open(path, "rb") as file:
            self.bytes = file.read()
        self.text = self.bytes.decode("utf-8")
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.in_script = False
        self.feed(self.text)
        self.close()
        self.facts: dict[str, Any] = json.loads(self.script("facts"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.in_script = tag == "script"
        if self.in_script:
            self.scripts.append((dict(attrs), ""))

    def handle_data(self, data: str) -> None:
        if self.in_script:
            attributes, text = self.scripts.pop()
            self.scripts.append((attributes, text + data))

    def handle_endtag(self, tag: str) -> None:
        self.in_script = False

    def script(self, name: str) -> str:
        return "".join(text for attributes, text in self.scripts if attributes.get("id") == name)

    def outside(self) -> list[str]:
        """Everything that could be loaded from elsewhere."""
        values = [value or "" for _, attributes in self.tags for name, value in attributes.items() if name in ("src", "href")]
        return [value for value in values if not value.startswith(("#", "data:,"))] + re.findall(r"url\(|@import", self.text)

    def pages(self) -> list[int]:
        """What each page of the machine's memory is."""
        return [flags for length, flags in self.facts["memory"]["runs"] for _ in range(length)]

    def table(self, address: int) -> list[int]:
        """The entries of a page table."""
        entries = [0] * 512
        for table in self.facts["tables"]["tables"]:
            if int(table["at"], 16) != address:
                continue
            for first, length, entry, *difference in table["runs"]:
                step = int(difference[0], 16) if difference else 0
                for i in range(length):
                    entries[first + i] = (int(entry, 16) + i * step) % (1 << 64)
        return entries


def text_of(serial: dict[str, Any]) -> bytes:
    return (serial["first"] + serial["last"]).encode("latin-1")


def image_of_tables(pages: int) -> bytes:
    """A flat image that makes all of itself page tables, no two entries of which follow each other, and halts."""
    code = bytes.fromhex("48c7c000100000" + "0f22d8" + "f4")  # mov $0x1000, %rax; mov %rax, %cr3; hlt
    image = bytearray(code.ljust(PAGE, b"\x90"))
    state = 1
    for page in range(1, pages):
        entries = []
        for index in range(512):
            state = (state * 6364136223846793005 + 1442695040888963407) % (1 << 64)
            entries.append((state >> 33) % pages * PAGE | 7)
        if page < 5:  # address 0 leads to page 0
            entries[0] = (page + 1) % 5 * PAGE | 7
        image += struct.pack("<512Q", *entries)
    return bytes(image)
