"""Checks the links of the documentation, and that docs/SUMMARY.md has every page once.

usage: python3 scripts/check_docs.py [--book FOLDER | --self-test]

Without an option: the relative links, anchors and images of README.md, CONTRIBUTING.md, CHANGELOG.md and the pages under docs/,
and the entries of docs/SUMMARY.md. A page of the book links to nothing outside docs/, where the book has no page.
--book FOLDER: the links and anchors of the book that `mdbook build docs` wrote there.
--self-test: plants faults in a temporary folder and looks whether each is found.

Prints a line for each fault and exits with 1, or prints one line with counts.
"""

import argparse
import re
import sys
import tempfile
import unicodedata
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

ROOT_PAGES = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"]
ELSEWHERE = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*:|//")

FENCE = re.compile(r" {0,3}(?:> ?)*\s*(`{3,}|~{3,})(.*)")
CODE = re.compile(r"(?<![`\\])(`+)(?!`)((?:(?!\n\s*\n).)+?)(?<!`)\1(?!`)", re.S)
COMMENT = re.compile(r"<!--.*?-->", re.S)
INLINE = re.compile(r"(?<!\\)\]\(\s*(<[^<>\n]*>|(?:[^\s()<]|\([^\s()]*\))[^\s()]*(?:\([^\s()]*\)[^\s()]*)*)(?:\s+(?:\"[^\"]*\"|'[^']*'))?\s*\)")
REFERENCE = re.compile(r"^ {0,3}\[[^\]\n]+\]:\s*(<[^<>\n]*>|\S+)", re.M)
HTML_LINK = re.compile(r"<(?:a|img)\b[^>]*?\b(?:href|src)\s*=\s*[\"']([^\"']*)[\"']", re.I)
HTML_ID = re.compile(r"<[a-z][^>]*?\b(?:id|name)\s*=\s*[\"']([^\"']+)[\"']", re.I)
INCLUDE = re.compile(r"\{\{\s*#include\s+([^\s:}]+)[^}]*\}\}")
ENTRY = re.compile(r"^\s*(?:[-*+]\s+)?\[[^\]\n]*\]\(([^)\n]*)\)\s*$")


def blank(text):
    """Spaces in place of a text, its lines kept."""
    return re.sub(r"[^\n]", " ", text)


def without_fences(text):
    """The text without fenced code."""
    out, fence = [], None
    for line in text.split("\n"):
        found = FENCE.fullmatch(line)
        if fence is None and found and not (found[1][0] == "`" and "`" in found[2]):
            fence = found[1]
            out.append("")
        elif fence is not None:
            if found and found[1].startswith(fence) and not found[2].strip():
                fence = None
            out.append("")
        else:
            out.append(line)
    return "\n".join(out)


def prose(text):
    """The text without code and comments, every line where it was."""
    text = COMMENT.sub(lambda m: blank(m[0]), without_fences(text))
    return CODE.sub(lambda m: blank(m[0]), text)


def links(text):
    """Line and target of each link and image."""
    text = prose(text)
    for pattern in (INLINE, REFERENCE, HTML_LINK):
        for found in pattern.finditer(text):
            yield text.count("\n", 0, found.start(1)) + 1, found[1].strip("<>")


def slug(heading):
    """The anchor that GitHub gives a heading."""
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", heading)
    parts = re.split(r"(`+[^`]+`+)", text)
    parts[::2] = [re.sub(r"<[^>]*>|(?<!\w)_+(?=\S)|(?<=\S)_+(?!\w)", "", part) for part in parts[::2]]
    text = "".join(parts).strip().lower()
    kept = (c for c in text if c in " -" or unicodedata.category(c)[0] in "LM" or unicodedata.category(c) in ("Nd", "Nl", "Pc"))
    return "".join(kept).replace(" ", "-")


def headings(text):
    """The headings of a page, ATX and setext."""
    lines = COMMENT.sub(lambda m: blank(m[0]), without_fences(text)).split("\n")
    for before, line, after in zip([""] + lines, lines, lines[1:] + [""]):
        found = re.fullmatch(r" {0,3}#{1,6}(?:\s+(.*?))?(?:\s+#+)?\s*", line)
        if found:
            yield found[1] or ""
        elif line.strip() and not before.strip() and re.fullmatch(r" {0,3}(=+|-+)\s*", after) and not re.match(r"\s*([-*+>|]|\d+[.)])", line):
            yield line.strip()


def anchors(text):
    """Every anchor of a page."""
    seen, out = {}, set(HTML_ID.findall(prose(text)))
    for heading in headings(text):
        base = slug(heading)
        name = base
        while name in seen:
            seen[base] += 1
            name = f"{base}-{seen[base]}"
        seen[name] = 0
        out.add(name)
    return out


class Tree:
    """The documentation under a folder, its faults and counts."""

    def __init__(self, root):
        self.root = root.resolve()
        self.docs = self.root / "docs"
        self.known, self.faults, self.links = {}, [], 0
        self.pages = sorted(self.docs.rglob("*.md"))

    def fault(self, page, line, what):
        self.faults.append((str(page.relative_to(self.root)), line, what))

    def anchors(self, page):
        if page not in self.known:
            self.known[page] = anchors(page.read_text(encoding="utf-8"))
        return self.known[page]

    def check_page(self, page):
        text = page.read_text(encoding="utf-8")
        for line, target in links(text):
            if not ELSEWHERE.match(target):
                self.links += 1
                self.check_link(page, line, target)
        if self.docs in page.parents:
            for found in INCLUDE.finditer(text):
                if not (page.parent / found[1]).is_file():
                    self.fault(page, text.count("\n", 0, found.start()) + 1, f"include {found[1]}: no such file")

    def check_link(self, page, line, target):
        path, _, anchor = unquote(target).partition("#")
        path = path.partition("?")[0]
        base = self.root if path.startswith("/") else page.parent
        file = (base / path.lstrip("/")).resolve() if path else page
        if not file.exists() or self.root not in file.parents:
            self.fault(page, line, f"link {target}: no such file")
        elif self.docs in page.parents and not (self.docs in file.parents and file.is_file()):
            self.fault(page, line, f"link {target}: not a file of docs/, so not in the book")
        elif anchor and (file.suffix != ".md" or anchor not in self.anchors(file)):
            self.fault(page, line, f"link {target}: no such heading")

    def check_summary(self):
        summary = self.docs / "SUMMARY.md"
        if not summary.is_file():
            self.faults.append(("docs/SUMMARY.md", 1, "no such file"))
            return
        entries = {}
        for number, line in enumerate(prose(summary.read_text(encoding="utf-8")).split("\n"), 1):
            found = ENTRY.match(line)
            if not found or not found[1]:  # a title, or a group without a page of its own
                continue
            file = (self.docs / unquote(found[1])).resolve()
            if file in entries:
                self.fault(summary, number, f"link {found[1]}: stands in line {entries[file]} already")
            elif not file.is_file() or self.docs not in file.parents:
                self.fault(summary, number, f"link {found[1]}: no such file")
            entries.setdefault(file, number)
        for page in self.pages:
            if page != summary and page not in entries:
                self.fault(page, 1, "not in docs/SUMMARY.md")

    def check(self):
        for page in [self.root / name for name in ROOT_PAGES] + self.pages:
            if not page.is_file():
                self.faults.append((str(page.relative_to(self.root)), 1, "no such file"))
            elif page != self.docs / "SUMMARY.md":
                self.check_page(page)
        self.check_summary()
        return self.faults


class Page(HTMLParser):
    """Ids and links of a page of the book."""

    def __init__(self, text):
        super().__init__()
        self.ids, self.targets = set(), []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        for name, value in attrs:
            if name == "id" or (name == "name" and tag == "a"):
                self.ids.add(value)
            elif name in ("href", "src") and value is not None and tag != "base":
                self.targets.append((self.getpos()[0], value))


def check_book(book):
    """Faults and number of links of a built book."""
    book = book.resolve()
    # 404.html is served at any address, and print.html repeats all pages under anchors of its own.
    files = [f for f in sorted(book.rglob("*.html")) if f.name not in ("404.html", "print.html")]
    pages = {f: Page(f.read_text(encoding="utf-8")) for f in files}
    if book / "index.html" not in pages:
        return [(str(book), 1, "no book here")], 0
    faults, count = [], 0
    for file, page in pages.items():
        for line, target in page.targets:
            if ELSEWHERE.match(target):
                continue
            count += 1
            path, _, anchor = unquote(target).partition("#")
            path = path.partition("?")[0]
            to = (file.parent / path).resolve() if path else file
            if not to.is_file():
                faults.append((str(file.relative_to(book)), line, f"link {target}: no such file"))
            elif anchor and to in pages and anchor not in pages[to].ids:
                faults.append((str(file.relative_to(book)), line, f"link {target}: no such heading"))
    return faults, count


SOUND = {
    "README.md": "# Top\n\n[a](docs/a.md#one--two) [docs](docs) ![p](docs/p.svg) [self](#top) [out](https://host/x)\n",
    "CONTRIBUTING.md": "[a](docs/a.md#ρ-of-x) [b](docs/b.md#same-1 \"title\") [b](<docs/b.md#snake_case-and-code>)\n",
    "CHANGELOG.md": "None.\n",
    "docs/SUMMARY.md": "# Summary\n\n[A](a.md)\n\n# Part\n\n- [Group]()\n  - [B](sub/c.md)\n- [B](b.md)\n",
    "docs/a.md": "# One & two\n\n## ρ² of *x*\n\n```\n[no](link.md)\n# no heading\n```\n`[no](link\n.md)` [b][ref]\n\n[ref]: b.md#set\n\n{{#include ../x.toml}}\n",
    "docs/b.md": "# Same\n\n# Same\n\n## snake_case and `code`\n\nSet\n---\n\n[![p](p.svg)](a.md) <a href=\"sub/c.md#here\">c</a>\n<!-- [no](link.md) -->\n",
    "docs/sub/c.md": "<a id=\"here\"></a>\n[up](../b.md)\n",
    "docs/p.svg": "<svg/>",
    "x.toml": "",
}

# A file, the text that takes the place of which, and the faults that have to be found.
PLANTED = [
    ("README.md", "docs/p.svg", "docs/q.svg", ["README.md:3: link docs/q.svg: no such file"]),
    ("README.md", "#one--two", "#one-two", ["README.md:3: link docs/a.md#one-two: no such heading"]),
    ("README.md", "(#top)", "(#bottom)", ["README.md:3: link #bottom: no such heading"]),
    ("README.md", "(docs)", "(../)", ["README.md:3: link ../: no such file"]),
    ("README.md", "docs/p.svg", "docs/p.svg#part", ["README.md:3: link docs/p.svg#part: no such heading"]),
    ("CONTRIBUTING.md", "#same-1", "#same-2", ["CONTRIBUTING.md:1: link docs/b.md#same-2: no such heading"]),
    ("CONTRIBUTING.md", "#ρ-of-x", "#ρ²-of-x", ["CONTRIBUTING.md:1: link docs/a.md#ρ²-of-x: no such heading"]),
    ("CONTRIBUTING.md", "#snake_case", "#snakecase", ["CONTRIBUTING.md:1: link docs/b.md#snakecase-and-code: no such heading"]),
    ("CHANGELOG.md", "None", "\n\n[x](docs/none.md)", ["CHANGELOG.md:3: link docs/none.md: no such file"]),
    ("CHANGELOG.md", None, None, ["CHANGELOG.md:1: no such file"]),
    ("docs/a.md", "b.md#set", "b.md#unset", ["docs/a.md:12: link b.md#unset: no such heading"]),
    ("docs/a.md", "../x.toml", "../y.toml", ["docs/a.md:14: include ../y.toml: no such file"]),
    ("docs/b.md", "](p.svg)", "](sub/p.svg)", ["docs/b.md:10: link sub/p.svg: no such file"]),
    ("docs/b.md", "#here", "#there", ["docs/b.md:10: link sub/c.md#there: no such heading"]),
    ("docs/b.md", "(a.md)", "(../README.md)", ["docs/b.md:10: link ../README.md: not a file of docs/, so not in the book"]),
    ("docs/b.md", "(a.md)", "(sub/)", ["docs/b.md:10: link sub/: not a file of docs/, so not in the book"]),
    ("docs/SUMMARY.md", "- [B](b.md)", "", ["docs/b.md:1: not in docs/SUMMARY.md"]),
    ("docs/SUMMARY.md", "- [B](b.md)", "- [B](b.md)\n- [B](b.md)", ["docs/SUMMARY.md:10: link b.md: stands in line 9 already"]),
    ("docs/SUMMARY.md", "- [B](b.md)", "- [B](b.md)\n- [D](d.md)", ["docs/SUMMARY.md:10: link d.md: no such file"]),
    ("docs/SUMMARY.md", None, None, ["docs/SUMMARY.md:1: no such file"]),
]

SOUND_BOOK = {
    "index.html": '<link href="style.css"><a href="sub/a.html#x">a</a> <a href="#y" id="y">y</a> <a href="https://host/x">out</a>',
    "sub/a.html": '<h2 id="x">x</h2> <a href="../index.html">i</a>',
    "style.css": "",
}

PLANTED_BOOK = [
    ("index.html", "#x", "#z", ["index.html:1: link sub/a.html#z: no such heading"]),
    ("sub/a.html", "../index", "index", ["sub/a.html:1: link index.html: no such file"]),
    ("index.html", None, None, ["no book here"]),
]


def shown(faults):
    return [f"{file}:{line}: {what}" for file, line, what in faults]


def self_test():
    """Whether a sound tree has no fault, and each planted fault is found, alone."""
    wrong = []
    for sound, planted, check in (
        (SOUND, PLANTED, lambda root: Tree(root).check()),
        (SOUND_BOOK, PLANTED_BOOK, lambda root: check_book(root)[0]),
    ):
        for name, old, new, expected in [(None, None, None, []), *planted]:
            with tempfile.TemporaryDirectory() as folder:
                root = Path(folder)
                for file, text in sound.items():
                    if file == name:
                        if old is None:
                            continue
                        assert old in text, (file, old)
                        text = text.replace(old, new, 1)
                    (root / file).parent.mkdir(parents=True, exist_ok=True)
                    (root / file).write_text(text, encoding="utf-8")
                found = shown(check(root))
                if len(found) != len(expected) or not all(f.endswith(e) for f, e in zip(found, expected)):
                    wrong.append(f"{name}, {old!r} replaced by {new!r}: expected {expected}, found {found}")
    print("\n".join(wrong) or f"{len(PLANTED) + len(PLANTED_BOOK)} planted faults found, none in what is sound")
    return bool(wrong)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--book", type=Path, metavar="FOLDER", help="check a built book instead")
    group.add_argument("--self-test", action="store_true", help="check this check")
    args = parser.parse_args()
    if args.self_test:
        return self_test()
    if args.book:
        faults, count = check_book(args.book)
        said = f"{args.book}: {count} links, all of them lead somewhere"
    else:
        tree = Tree(Path(__file__).resolve().parent.parent)
        faults = tree.check()
        said = f"{len(tree.pages)} pages under docs, {tree.links} relative links, all of them lead somewhere"
    print("\n".join(shown(faults)) or said)
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())
