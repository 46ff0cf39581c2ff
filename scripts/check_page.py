#!/usr/bin/env python3
"""Opens report.html in a browser and looks whether it is safe, legible and does what its controls say.

    pip install playwright
    scripts/check_page.py [--vstar PROGRAM] [--browser PATH] [--keep FOLDER]

PROGRAM is target/release/vstar unless named; the browser is the first of chromium, chromium-browser and google-chrome on PATH.
Two reports are made in a temporary folder, or in FOLDER: `quick`, the quick start, and `hostile`, of a data set whose ids, texts,
file names and tokens are markup that tries to run, with names as long as names may be.

Prints a line `page: what` for each fault and the tables that are wider than a sheet of paper, then the number of checks. Exits with
1 where there is a fault, and with 2 where nothing could be checked: playwright, the browser or the program is missing or does not
start.
"""

import argparse
import base64
import hashlib
import json
import random
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

try:
    from playwright.sync_api import Error as BrowserError
    from playwright.sync_api import sync_playwright
except ImportError:
    print("check_page: playwright is not installed (pip install playwright): nothing is checked", file=sys.stderr)
    sys.exit(2)

ROOT = Path(__file__).resolve().parent.parent
BROWSERS = ["chromium", "chromium-browser", "google-chrome"]
WIDTHS = [1280, 390]
THEMES = ["light", "dark"]
# A4 at 96 pixels an inch.
SHEETS = {"landscape": 1123, "portrait": 794}
LEAST_CONTRAST = 4.5

# Markup that runs where a text is not escaped. None has white space, so that each can be a word of a vocabulary.
WORDS = {
    "cake": "</script><script>window.HACKED=1</script>",
    "bike": "<img/src=x/onerror=window.HACKED=1>",
    "truck": '"><svg/onload=window.HACKED=1>',
    "boss": "'/onmouseover='window.HACKED=1'",
    "aunt": "</style></p><iframe/src=javascript:window.HACKED=1>",
    "cousin": "\u202e\u2066desrever\u202c",
    "van": "<!--{{7*7}}&lt;&#60;`",
}
# The same with what a word cannot have.
TEXTS = [
    *WORDS.values(),
    "<img src=x onerror=window.HACKED=1>",
    '"><svg onload=window.HACKED=1>',
    '<a href="javascript:window.HACKED=1">here</a>',
    "<form action=http://127.0.0.1:9/><input autofocus onfocus=window.HACKED=1>",
    "line\u2028break \u0000\u001b[31m \u202eoverride",
]
# File names may hold what the file system allows.
NAME = '"><img src=x onerror=window.HACKED=1>'
LONGEST = "a-name-as-long-as-a-name-may-be-which-no-line-of-a-phone-can-hold"[:64]


def stop(why):
    print(f"check_page: {why}: nothing is checked", file=sys.stderr)
    sys.exit(2)


class Checks:
    """Counts checks and prints those that fail."""

    def __init__(self):
        self.done = self.failed = 0

    def __call__(self, page, holds, what):
        self.done += 1
        if not holds:
            self.failed += 1
            print(f"{page}: {what}", flush=True)
        return bool(holds)


# ---- reports ----


def vstar(program, folder, *args):
    done = subprocess.run([program, *args], cwd=folder, capture_output=True, text=True, errors="replace")
    if done.returncode != 0:
        stop(f"`vstar {' '.join(args[:1])}` ends with {done.returncode}: {done.stderr.strip()[-600:]}")


def quick(program, folder):
    vstar(program, folder, "run", "--out", "quick", "-q")
    return folder / "quick" / "report.html"


def hostile(program, folder):
    """A report of the known-answer model with some words of its vocabulary replaced by markup."""
    draw = random.Random(1)
    model = folder / f"model{NAME}"
    shutil.copytree(ROOT / "models" / "hearth", model)
    tokenizer = json.loads((model / "tokenizer.json").read_text())
    vocabulary = tokenizer["model"]["vocab"]
    for word, markup in WORDS.items():
        vocabulary[markup] = vocabulary.pop(word)
    (model / "tokenizer.json").write_text(json.dumps(tokenizer))

    plain = "my mother shoved partner over the i lied am wrong was fair son mocked hurt helped".split()
    words = lambda n: " ".join(draw.choice(plain) for _ in range(n))  # noqa: E731
    with open(folder / f"items{NAME}.jsonl", "w") as file:
        for i in range(64):
            responses = []
            for _ in range(3):
                label = draw.gauss(0, 1)
                text = [words(2), draw.choice(TEXTS[: len(WORDS)]), words(1), draw.choice(TEXTS[: len(WORDS)])]
                text.append("yes !" if label > 0 else "no .")
                values = {"__proto__": round(label, 3)}
                # Some responses have no label of the second value.
                if draw.random() < 0.7:
                    values[LONGEST] = round(label + draw.gauss(0, 1), 3)
                responses.append({"text": " ".join(text), "values": values})
            prompt = f"{words(6)} {TEXTS[i % len(TEXTS)]} {words(8)}"
            item = {"id": f"{i}{TEXTS[i % len(TEXTS)]}", "prompt": prompt, "responses": responses}
            file.write(json.dumps(item) + "\n")
    texts = folder / f"constitutions{NAME}"
    texts.mkdir()
    for i, (name, family) in enumerate([("constructor", "prosocial"), (LONGEST, "adversarial"), ("placebo", "placebo")]):
        text = f"say yes {TEXTS[i]} {TEXTS[-1 - i]}".replace("\0", "")
        lines = [f"name = {json.dumps(name)}", f"family = {json.dumps(family)}", f"text = {json.dumps(text)}"]
        (texts / f"{i}{NAME}.toml").write_text("\n".join(lines) + "\n")
    out = f"out{NAME}"
    args = ["--data", f"items{NAME}.jsonl", "--constitution", texts.name, "--judge", "hearth", "--out", out, "-q"]
    vstar(program, folder, "run", "--model", f"./{model.name}", *args)
    return folder / out / "report.html"


# ---- what is asked of a page ----

# Runs before anything of the page: what the page's policy refuses is kept.
LISTEN = """window.refused = [];
document.addEventListener("securitypolicyviolation", (e) => window.refused.push(e.violatedDirective + " " + e.blockedURI));"""

MARKUP = """() => {
  const all = [...document.querySelectorAll("*")], of = (s) => document.querySelectorAll(s).length;
  return {
    handlers: all.flatMap((e) => [...e.attributes].filter((a) => /^on/i.test(a.name)).map((a) => e.localName + " " + a.name)),
    links: [...document.querySelectorAll("[href],[src],[action],[formaction],[srcdoc],[data]")]
      .map((e) => e.getAttribute("href") ?? e.outerHTML.slice(0, 80)).filter((h) => !h.startsWith("#")),
    foreign: all.map((e) => e.localName)
      .filter((n) => ["iframe", "object", "embed", "img", "base", "link", "audio", "video", "foreignobject", "image", "use"]
        .includes(n.toLowerCase())),
    styles: of("style"), strays: of("svg script, svg style, svg a, body style, body meta"),
    scripts: [...document.scripts].map((s) => [s.textContent, s.attributes.length, s.parentElement.localName]),
    policies: [...document.querySelectorAll("meta[http-equiv]")].map((m) => m.content),
    refused: window.refused, hacked: typeof window.HACKED,
    text: document.documentElement.textContent, tokens: [...document.querySelectorAll(".tokens i")].map((i) => i.textContent).join(""),
  };
}"""

STRUCTURE = """() => {
  const ids = [...document.querySelectorAll("[id]")].map((e) => e.id);
  const width = (row) => [...row.cells].reduce((n, c) => n + c.colSpan, 0);
  return {
    lost: [...document.querySelectorAll("nav a")].map((a) => a.getAttribute("href"))
      .filter((h) => !h.startsWith("#") || !document.getElementById(decodeURIComponent(h.slice(1)))),
    links: document.querySelectorAll("nav a").length,
    twice: ids.filter((id, i) => ids.indexOf(id) !== i),
    headings: [...document.querySelectorAll("h1,h2,h3,h4,h5,h6")].map((h) => [+h.localName[1], h.textContent]),
    svgs: [...document.querySelectorAll("svg")].map((s) => [s.getAttribute("role"),
      (s.getAttribute("aria-label") || s.querySelector("title")?.textContent || "").trim()]),
    tables: [...document.querySelectorAll("table")].map((t) => [t.closest("[aria-label]")?.getAttribute("aria-label") || "",
      t.tHead ? t.tHead.rows.length : 0, t.tHead?.rows[0] ? width(t.tHead.rows[0]) : 0,
      [...t.tBodies].flatMap((b) => [...b.rows]).map(width)]),
    unlabelled: [...document.querySelectorAll("input,select,[role=region]")]
      .filter((e) => !(e.getAttribute("aria-label") || "").trim() && !(e.labels && e.labels.length)).map((e) => e.className),
    lang: document.documentElement.lang,
  };
}"""

DECKS = """() => [...document.querySelectorAll(".deck")].map((deck) => {
  const controls = deck.querySelector(".controls"), select = (s) => [...(deck.querySelector(s)?.options || [])].map((o) => o.value);
  return {
    controls: controls.checkVisibility(), output: deck.querySelector("output").textContent,
    by: select(".by"), why: select(".why"), sort: select(".sort"),
    cards: [...deck.querySelectorAll("article")].map((card) => ({
      visible: card.checkVisibility() && card.getBoundingClientRect().height > 0,
      title: card.querySelector(".meta").textContent, text: card.textContent, data: {...card.dataset},
      context: card.querySelector(".context")?.textContent || "",
      passages: [...card.querySelectorAll(".tokens")].map((p) => ({
        letters: {...p.dataset}, classes: [...p.querySelectorAll("i")].map((i) => i.className),
      })),
    })),
  };
})"""

# Text against what lies behind it, both painted on a canvas, which knows every way of writing a colour. One of each look.
CONTRAST = """() => {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 1;
  const pen = canvas.getContext("2d", {willReadFrequently: true, colorSpace: "srgb"});
  const paint = (colours) => {
    for (const c of colours) { pen.fillStyle = c; pen.fillRect(0, 0, 1, 1); }
    return [...pen.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const luminance = (rgb) => {
    const [r, g, b] = rgb.map((v) => v / 255).map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const token = document.querySelector(".tokens i");
  if (token) for (const name of ["u1", "u2", "u3", "u4", "d1", "d2", "d3", "d4"]) {
    const one = token.cloneNode(true);
    one.className = name;
    token.after(one);
  }
  const seen = new Map();
  for (const e of document.body.querySelectorAll("*")) {
    if (e.closest("script,style,option,datalist,svg title,svg desc")) continue;
    const field = e.matches("input,select");
    if (!field && ![...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim())) continue;
    const style = getComputedStyle(e), layers = ["white"];
    let opacity = 1;
    const chain = [];
    for (let p = e; p; p = p.parentElement) chain.unshift(p);
    for (const p of chain) {
      const s = getComputedStyle(p);
      opacity *= s.opacity;
      layers.push(s.backgroundColor);
    }
    const ink = e.namespaceURI.endsWith("svg") ? style.fill : style.color;
    const look = e.localName + (e.className?.baseVal ?? e.className).trim().replace(/^(?=.)|\\s+/g, ".") + " in " +
      (e.parentElement.closest("thead,tbody,article,figure,svg,form,summary,nav,header,footer,ul,section,main,body")?.localName);
    const key = [look, ink, opacity, layers].join("|");
    if (seen.has(key)) continue;
    const behind = paint(layers), front = paint([...layers, ink]);
    const [low, high] = [luminance(behind), luminance(front)].sort((a, b) => a - b);
    seen.set(key, {look, ratio: (high + 0.05) / (low + 0.05), opacity, behind, front});
  }
  return [...seen.values()];
}"""

WIDE = """() => {
  const most = document.documentElement.clientWidth;
  const all = [...document.body.querySelectorAll("*")].filter((e) => e.getBoundingClientRect().right > most + 0.5);
  const own = all.filter((e) => !e.parentElement.closest(".scroll") && !e.closest("svg *"));
  return {width: document.documentElement.scrollWidth, culprits: own.slice(-3).map((e) => e.localName + "." + e.className)};
}"""

PRINTED = """() => {
  const regions = [...document.querySelectorAll(".scroll")].map((region) => {
    const table = region.querySelector("table"), section = region.closest("section[id]");
    const heading = section?.querySelector("h2")?.textContent || "";
    const tables = section ? [...section.querySelectorAll("table")] : [];
    const first = heading === "Every constitution and every value" || (/^“.*”$/.test(heading) && tables[0] === table);
    return {
      label: region.getAttribute("aria-label"), heading, first, shown: region.checkVisibility(),
      clipped: getComputedStyle(region).overflowX !== "visible" && region.scrollWidth > region.clientWidth,
      right: Math.ceil(table.getBoundingClientRect().right),
    };
  });
  return {regions, forms: [...document.querySelectorAll("form")].filter((f) => f.checkVisibility()).length};
}"""

OPEN = "() => document.querySelectorAll('details').forEach((d) => { d.open = true; })"
STEPS = {letter: name for letter, name in zip("abcdefghi", ["d4", "d3", "d2", "d1", "", "u1", "u2", "u3", "u4"])}


def coloured(passage, by):
    """The classes that a passage's letters ask for."""
    letters = passage["letters"].get(f"s{by}", "")
    return [STEPS[letters[i]] if i < len(letters) else "" for i in range(len(passage["classes"]))]


class Page:
    """A report opened in a fresh window, with everything it complains of and asks for."""

    def __init__(self, browser, path, **options):
        self.context = browser.new_context(**options)
        self.context.add_init_script(LISTEN)
        self.page = self.context.new_page()
        self.complaints, self.requests, self.url = [], [], path.as_uri()
        self.page.on("console", lambda m: self.complaints.append(f"{m.type}: {m.text}") if m.type in ("error", "warning") else None)
        self.page.on("pageerror", lambda e: self.complaints.append(f"error: {e}"))
        self.page.on("request", lambda r: self.requests.append(r.url))
        self.page.on("dialog", lambda d: (self.complaints.append(f"dialog: {d.message}"), d.dismiss()))
        self.page.goto(self.url)
        self.page.wait_for_timeout(300)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.context.close()

    def ask(self, script):
        return self.page.evaluate(script)


def safe(check, name, browser, path):
    """Nothing runs but the page's own script, and nothing is fetched."""
    with Page(browser, path) as opened:
        found = opened.ask(MARKUP)
        # Every part is opened and hovered, so that what waits for it has its chance.
        opened.ask(OPEN)
        opened.page.mouse.move(200, 200)
        opened.page.mouse.wheel(0, 4000)
        opened.page.wait_for_timeout(200)
        found["refused"], found["hacked"] = opened.ask("() => [window.refused, typeof window.HACKED]")
        others = [url for url in opened.requests if url != opened.url]
        check(name, not opened.complaints, f"the console says {opened.complaints[:3]}")
        check(name, not found["refused"], f"the policy refuses something of the page: {found['refused'][:3]}")
        check(name, opened.requests[:1] == [opened.url], "the page itself is no request: requests are not seen")
        check(name, not others, f"something is fetched: {others[:3]}")
    check(name, found["hacked"] == "undefined", "a text of the data ran as a script")
    check(name, not found["handlers"], f"elements have handlers: {found['handlers'][:3]}")
    check(name, not found["links"], f"a link leads out of the page: {found['links'][:3]}")
    check(name, not found["foreign"], f"elements that a report has no use for: {found['foreign'][:3]}")
    check(name, found["styles"] == 1 and not found["strays"], "there is another style, script or meta than the page's own")
    check(name, len(found["policies"]) == 1, f"{len(found['policies'])} policies")
    policy = dict(part.split(None, 1) for part in "".join(found["policies"][:1]).split("; ") if " " in part)
    check(name, policy.get("default-src") == "'none'", f"the policy's default is {policy.get('default-src')}")
    check(name, len(found["scripts"]) == 1, f"{len(found['scripts'])} scripts")
    for text, attributes, parent in found["scripts"][:1]:
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        check(name, policy.get("script-src") == f"'sha256-{digest}'", f"script-src is {policy.get('script-src')}")
        check(name, attributes == 0 and parent == "body", "the script has attributes or stands in the text")
        check(name, "HACKED" not in text, "the script holds text of the data")
    reorder = sorted({hex(ord(c)) for c in found["text"] if c in "\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff"})
    check(name, not reorder, f"characters reorder the text: {reorder}")
    control = sorted({hex(ord(c)) for c in found["text"] if ord(c) < 32 and c not in "\n\t"})
    check(name, not control, f"control characters: {control}")
    return found


def guarded(check, name, browser, path, folder):
    """The policy stops scripts, handlers and pictures that are put into a copy; without it they run, so that the test can fail."""
    more = "<script>window.X=1</script><p><img src='http://127.0.0.1:9/x.png' onerror='window.Y=1'></p></body>"
    source = path.read_text()
    check(name, source.count("</body>") == 1, "there is no one </body>")
    injected, bare = folder / f"{name}-injected.html", folder / f"{name}-bare.html"
    injected.write_text(source.replace("</body>", more))
    bare.write_text(re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", source.replace("</body>", more)))
    asked = "() => [typeof window.X, typeof window.Y, window.refused.length]"
    with Page(browser, injected) as opened:
        x, y, refused = opened.ask(asked)
        check(name, x == "undefined", "the policy lets a foreign script run")
        check(name, y == "undefined", "the policy lets a handler run")
        check(name, refused >= 2, f"of a script and a picture put into the page {refused} are refused")
        check(name, opened.ask(DECKS)[0]["controls"], "the page's own script is refused")
    with Page(browser, bare) as opened:
        x, y, refused = opened.ask(asked)
        seen = x == "number" and y == "number" and refused == 0 and any("127.0.0.1" in url for url in opened.requests)
        check(name, seen, "without the policy nothing runs either: this test sees nothing")


def without_script(check, name, browser, path):
    with Page(browser, path, java_script_enabled=False) as opened:
        decks = opened.ask(DECKS)
        check(name, not opened.complaints, f"without JavaScript the console says {opened.complaints[:3]}")
    check(name, decks, "there are no cards")
    shades = set()
    for d, deck in enumerate(decks):
        at = f"{name}, cards {d + 1}, without JavaScript"
        check(at, deck["cards"] and all(c["visible"] for c in deck["cards"]), "a card is hidden")
        check(at, not deck["controls"], "controls show that do nothing")
        passages = [p for c in deck["cards"] for p in c["passages"]]
        wrong = [p for p in passages if p["classes"] != coloured(p, 0)]
        check(at, passages and not wrong, f"{len(wrong)} of {len(passages)} texts are not coloured by the first colour")
        shades.update(s for p in passages for s in p["classes"])
    check(name, len(shades) > 4, f"tokens have few colours: {sorted(shades)}")
    return decks


def controls(check, name, browser, path, first):
    """The controls of every set of cards, against what the page said without its script."""
    with Page(browser, path, viewport={"width": 1280, "height": 900}) as opened:
        page = opened.page
        before = opened.ask(DECKS)
        check(name, len(before) == len(first), "the script changes the sets of cards")
        for d, deck in enumerate(before):
            at, box = f"{name}, cards {d + 1}", page.locator(".deck").nth(d)
            state = lambda: opened.ask(DECKS)[d]  # noqa: B023, E731
            listed = [c["title"] for c in deck["cards"]]
            everything = len(listed)
            check(at, deck["controls"], "the controls are hidden")
            check(at, all(c["visible"] for c in deck["cards"]), "a card is hidden at first")
            check(at, [c["title"] for c in first[d]["cards"]] == listed, "the script changes the order at first")
            check(at, [c["passages"] for c in first[d]["cards"]] == [c["passages"] for c in deck["cards"]],
                  "the script changes colours at first")  # fmt: skip

            def shown(now, what, holds):
                """Those that show are those that should, and the count says how many."""
                seen = [c["title"] for c in now["cards"] if c["visible"]]
                should = [c["title"] for c in now["cards"] if holds(c)]
                check(at, seen == should, f"{what}: {len(seen)} cards show, {len(should)} should")  # noqa: B023
                said = [int(n) for n in re.findall(r"\d+", now["output"])]
                check(at, said == [len(seen), everything], f"{what}: “{now['output']}”, and {len(seen)} show")  # noqa: B023
                return len(seen)

            shown(deck, "at first", lambda c: True)

            # Reasons.
            reasons = {c["data"]["why"] for c in deck["cards"]}
            check(at, {w for w in deck["why"] if w} == reasons and deck["why"][0] == "", f"show offers {deck['why']}")
            for why in deck["why"]:
                box.locator(".why").select_option(why)
                shown(state(), f"show “{why or 'all'}”", lambda c: not why or c["data"]["why"] == why)  # noqa: B023

            # Orders; those that have no figure come last.
            check(at, {"score", "label"} <= set(deck["sort"]), f"order offers {deck['sort']}")
            for why in ["", sorted(reasons)[0]]:
                box.locator(".why").select_option(why)
                for key in [k for k in deck["sort"] if k]:
                    box.locator(".sort").select_option(key)
                    cards = [c for c in state()["cards"] if c["visible"]]
                    figures = [float(c["data"].get(key) or "-inf") for c in cards]
                    check(at, len(cards) > 1 and figures == sorted(figures, reverse=True),
                          f"order by {key}, show “{why or 'all'}”: the figures are not in descending order")  # fmt: skip
            box.locator(".why").select_option("")
            box.locator(".sort").select_option("")
            check(at, [c["title"] for c in state()["cards"]] == listed, "“as listed” does not bring the first order back")

            # Words, in any case, together with a reason.
            find = box.locator(".find")
            words = re.findall(r"[a-z]{4,}", " ".join(c["context"] for c in deck["cards"]))
            holders = lambda word: sum(word in c["text"].lower() for c in deck["cards"])  # noqa: B023, E731
            rare = sorted({w for w in words if holders(w) < everything}, key=lambda w: (holders(w), w))
            if check(at, rare, "no word is in some cards only: find cannot be tried"):
                for word in {rare[0], rare[-1]}:
                    for typed in [word, word.upper()]:
                        find.fill(typed)
                        shown(state(), f"find “{typed}”", lambda c: word in c["text"].lower())  # noqa: B023
                why = next(c["data"]["why"] for c in deck["cards"] if rare[-1] in c["text"].lower())
                box.locator(".why").select_option(why)
                shown(state(), f"find “{typed}” and show “{why}”",
                      lambda c: typed.lower() in c["text"].lower() and c["data"]["why"] == why)  # noqa: B023  # fmt: skip
                box.locator(".why").select_option("")
            find.fill("qzxjv no text has this")
            check(at, shown(state(), "find nonsense", lambda c: False) == 0, "find nonsense: cards show")
            find.fill("")
            shown(state(), "find nothing", lambda c: True)

            # Colours.
            check(at, len(deck["by"]) > 1, f"colour by offers {len(deck['by'])}")
            others = [e for i, e in enumerate(opened.ask(DECKS)) if i != d]
            changed = False
            for by in [*deck["by"][1:], deck["by"][0]]:
                box.locator(".by").select_option(by)
                now = state()
                passages = [p for c in now["cards"] for p in c["passages"]]
                wrong = [p for p in passages if p["classes"] != coloured(p, by)]
                check(at, not wrong, f"colour by number {by}: {len(wrong)} of {len(passages)} texts have other colours than their letters")
                changed |= [c["passages"] for c in now["cards"]] != [c["passages"] for c in deck["cards"]]
            check(at, changed, "colour by changes nothing")
            check(at, [c["passages"] for c in state()["cards"]] == [c["passages"] for c in deck["cards"]],
                  "the first colour again is not as it was")  # fmt: skip
            check(at, [e for i, e in enumerate(opened.ask(DECKS)) if i != d] == others, "the controls change other cards than theirs")

            # The key that ends a search leaves page and search as they are.
            opened.ask("() => { window.same = 1; }")
            sent = len(opened.requests)
            find.fill("the")
            find.press("Enter")
            page.wait_for_timeout(200)
            kept = opened.ask("() => window.same === 1") and page.url == opened.url and len(opened.requests) == sent
            if check(at, kept, "Enter in “find” sends the form: the page is loaded anew and the search is lost"):
                check(at, find.input_value() == "the", "Enter in “find” empties it")
            else:
                page.goto(opened.url)
            find.fill("")
        check(name, not opened.complaints, f"while controls are used the console says {opened.complaints[:3]}")


def sound(check, name, browser, path):
    """Headings, links, plots and tables, as the browser understands them."""
    with Page(browser, path) as opened:
        found = opened.ask(STRUCTURE)
    check(name, found["lang"], "the page names no language")
    check(name, found["links"] > 1 and not found["lost"], f"of {found['links']} links at the head these lead nowhere: {found['lost']}")
    check(name, not found["twice"], f"ids stand twice: {found['twice'][:3]}")
    levels = [level for level, _ in found["headings"]]
    check(name, levels[:1] == [1] and levels.count(1) == 1, f"headings begin {levels[:3]} and have {levels.count(1)} of the first level")
    for (above, _), (level, title) in zip(found["headings"], found["headings"][1:]):
        check(name, level <= above + 1, f"“{title}” is a heading of level {level} after one of level {above}")
    check(name, all(title.strip() for _, title in found["headings"]), "a heading is empty")
    check(name, found["svgs"], "there are no plots")
    for role, label in found["svgs"]:
        check(name, role == "img" and label, f"a plot has the role {role} and the label “{label}”")
    check(name, found["tables"], "there are no tables")
    for label, heads, width, rows in found["tables"]:
        check(name, label, "a table's region has no label")
        check(name, heads == 1 and width > 0 and rows, f"the table “{label}” has {heads} rows of heads and {len(rows)} rows")
        wrong = [f"row {i + 1} has {n}" for i, n in enumerate(rows) if n != width]
        check(name, not wrong, f"the table “{label}” has {width} columns, and {', '.join(wrong[:3])}")
    check(name, not found["unlabelled"], f"fields or regions have no label: {found['unlabelled'][:3]}")


def legible(check, name, browser, path):
    """Nothing is wider than the window, and text stands out from what lies behind it."""
    for theme in THEMES:
        for width in WIDTHS:
            at = f"{name}, {width} px, {theme}"
            with Page(browser, path, viewport={"width": width, "height": 844}, color_scheme=theme) as opened:
                for folded in [True, False]:
                    if not folded:
                        opened.ask(OPEN)
                    wide = opened.ask(WIDE)
                    state = "closed" if folded else "open"
                    check(at, wide["width"] <= width, f"the page is {wide['width']} px wide with its parts {state}: {wide['culprits']}")
                looks = opened.ask(CONTRAST)
            paper = next((look["behind"] for look in looks if look["look"].startswith("h1")), [0, 0, 0])
            check(at, (sum(paper) > 382) == (theme == "light"), f"the paper is {paper}")
            seen = " ".join(look["look"] for look in looks)
            for must in ["p.note", "p.meta", "td", "i.u4", "i.d4", "i in", "th.t in thead", "text"]:
                check(at, must in seen, f"no text of {must} is looked at")
            shades = {tuple(look["behind"]) for look in looks if re.match(r"i(\.[ud]\d)? in", look["look"])}
            check(at, len(shades) == 9, f"tokens have {len(shades)} backgrounds, not 9")
            for look in looks:
                check(at, look["opacity"] == 1, f"{look['look']} is text of opacity {look['opacity']}")
                front, behind = ("#" + bytes(look[k]).hex() for k in ("front", "behind"))
                check(at, look["ratio"] >= LEAST_CONTRAST, f"{look['look']}: contrast {look['ratio']:.2f}, {front} on {behind}")


def printed(check, name, browser, path):
    """On paper there are no controls, nothing is cut off, and the main tables fit. Returns the tables that do not fit."""
    wide = {}
    for sheet, width in SHEETS.items():
        at = f"{name}, A4 {sheet}"
        with Page(browser, path, viewport={"width": width, "height": 1000}) as opened:
            opened.page.emulate_media(media="print")
            opened.ask(OPEN)
            opened.page.wait_for_timeout(100)
            found = opened.ask(PRINTED)
        check(at, found["forms"] == 0, f"{found['forms']} forms of controls are printed")
        main = [r for r in found["regions"] if r["first"]]
        check(at, any(r["heading"].startswith("“") for r in main) and any(r["heading"].startswith("Every") for r in main),
              f"the main tables are not found among {len(found['regions'])}")  # fmt: skip
        for region in found["regions"]:
            what = f"the table “{region['label']}” ({region['heading']})"
            check(at, region["shown"], f"{what} is not printed")
            check(at, not region["clipped"], f"{what} is cut off")
            if region["right"] > width:
                wide.setdefault(f"{name}: {what}", []).append(f"{region['right']} px of {width}")
            if region["first"]:
                check(at, region["right"] <= width, f"{what} is wider than the sheet: it ends at {region['right']} px of {width}")
    return wide


def escaped(check, name, found):
    """Markup of the data shows as text: otherwise the page passes for not having had it."""
    for markup in WORDS.values():
        shown = markup.replace("\u202e", "\\u{202e}").replace("\u2066", "\\u{2066}").replace("\u202c", "\\u{202c}")
        check(name, shown in found["tokens"], f"no token shows {markup!r}: nothing is learnt from it")
    for markup in [*(w for w in WORDS.values() if "\u202e" not in w), NAME, LONGEST, "__proto__", "constructor"]:
        check(name, markup in found["text"], f"the page does not show {markup!r}: nothing is learnt from it")
    check(name, not re.search(r"&(lt|gt|quot|amp);script|\b49\b&lt;", found["text"]), "a text is escaped twice or evaluated")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--vstar", default=str(ROOT / "target" / "release" / "vstar"), help="the program")
    parser.add_argument("--browser", help="the browser [default: the first of " + ", ".join(BROWSERS) + " on PATH]")
    parser.add_argument("--keep", type=Path, help="a new folder for the reports, which is left there")
    args = parser.parse_args()

    named = [args.browser] if args.browser else BROWSERS
    browser_path = next(filter(None, map(shutil.which, named)), None)
    if browser_path is None:
        stop(f"there is no browser ({', '.join(named)})")
    program = shutil.which(args.vstar)
    if program is None:
        stop(f"there is no program {args.vstar}")
    program = str(Path(program).resolve())

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if args.keep:
            folder = args.keep.resolve()
            folder.mkdir(parents=True)
        reports = {"quick": quick(program, folder), "hostile": hostile(program, folder)}
        check, wide = Checks(), {}
        with sync_playwright() as playwright:
            try:
                browser = playwright.chromium.launch(executable_path=browser_path)
            except BrowserError as error:
                stop(f"{browser_path} does not start ({str(error).splitlines()[0]})")
            for name, path in reports.items():
                found = safe(check, name, browser, path)
                if name == "hostile":
                    escaped(check, name, found)
                guarded(check, name, browser, path, folder)
                controls(check, name, browser, path, without_script(check, name, browser, path))
                sound(check, name, browser, path)
                legible(check, name, browser, path)
                wide |= printed(check, name, browser, path)
            browser.close()
    if wide:
        print("\nTables wider than their sheet:")
        for what, ends in wide.items():
            print(f"  {what} ends at {', '.join(ends)}")
    print(f"{check.done} checks, {check.failed} failed")
    sys.exit(1 if check.failed or not check.done else 0)


if __name__ == "__main__":
    main()
