#!/usr/bin/env python3
"""Markdown tables of what each constitution does to each value, route by route, from report.json files.

    python scripts/routes_table.py 'MODEL=RUN/report.json[,RUN/report.json][!ROUTE,ROUTE]' ... > docs/evidence-routes.md

Routes after `!` are left out, with a line that says so: those that a run measured and that are not to be read.
Several reports of one model are runs that judge in different ways; figures that a judge does not decide are taken
from the first. Every figure is without length control and stands with its 95 % interval; bold ones count as clear: by
the report's own rule they differ from what texts without content do, with all constitutions, values and figures counted.
"""

import json
import sys

MINUS = "−"

# Route in the report's table of stories, heading, quantity, judge (None: the run's first), digits.
ROUTES = [
    ("forced_choice", "v_c, choices: own slope × 10³", "own_slope", None, 3, 1000.0),
    ("pointwise", "v_c, one by one: own slope × 10³", "own_slope", None, 3, 1000.0),
    ("implicit", "v_c, likelihood: own slope", "own_slope", "implicit", 2, 1.0),
    ("activation", "Δ_c: cosine with v\\*", "activation_alignment", None, 2, 1.0),
    ("generation", "w_c: cosine with v\\* less that of w", "conditioned_gap", None, 3, 1.0),
    ("gain", "gain along v\\*", "activation_gain", None, 2, 1.0),
    ("retrieval", "Δρ²", "retrieval_gain", None, 3, 1.0),
]
# The state's readings that carry a band of the placebo texts.
BANDS = {"activation": "alignment", "gain": "gain", "retrieval": "retrieval", "generation": "conditioned"}


def number(x, digits):
    text = f"{abs(x):.{digits}f}"
    text = text[1:] if text.startswith("0.") else text
    return (MINUS if x < 0 and float(f"{x:.{digits}f}") != 0 else "") + text


def figure(e, digits, scale):
    if e is None or e.get("estimate") is None or not e.get("reportable", False):
        return "n.i."
    text = number(e["estimate"] * scale, digits)
    if e.get("lo") is not None and e.get("hi") is not None:
        text += f" [{number(e['lo'] * scale, digits)}, {number(e['hi'] * scale, digits)}]"
    return text


def together(signs):
    """What the routes that are shown say together."""
    clear = [s for s in signs if s]
    if not clear:
        return "n.i." if all(s is None for s in signs) else "nothing clear"
    if len(set(clear)) > 1:
        return "they contradict"
    return "one story" if len(clear) > 1 else "one route alone"


def find(report, quantity, value, constitution, judge):
    for e in report["estimates"]:
        key = (e["quantity"], e.get("value"), e.get("constitution"), e.get("judge"), e["control"])
        if key == (quantity, value, constitution, judge, "none"):
            return e
    return None


def routes_of(report):
    state = [f for f in report["tables"]["state"] if f["control"] == "none"][0]
    return state, {s["route"] for story in state["stories"] for s in story["signs"]}


def column(reports, route, judge):
    """The report in which a route was measured and the judge's mark of its estimates."""
    for report in reports:
        if route in routes_of(report)[1]:
            return report, judge
    return None, judge


def model(name, reports, without):
    first = reports[0]
    state, _ = routes_of(first)
    columns = []
    for route, heading, quantity, judge, digits, scale in ROUTES:
        report, judge = column(reports, route, judge)
        if report is not None and route not in without:
            columns.append((route, heading, quantity, judge, digits, scale, report))
    values = sorted({s["value"] for s in state["stories"]})
    print(f"\n## {name}\n")
    print(f"Layer {state['layer']}, {state['rows']} responses in {state['blocks']} blocks, {state['placebos']} texts without content.")
    if without:
        left = [heading.split(":")[0] for route, heading, *_ in ROUTES if route in without]
        print(f"Left out: {'; '.join(left)} (see [evidence.md](evidence.md)).")
    for value in values:
        stories = {s["constitution"]: s for s in state["stories"] if s["value"] == value}
        print(f"\n### {name}: {value}\n")
        print("| constitution | " + " | ".join(c[1] for c in columns) + " | together |")
        print("|---|" + "---|" * (len(columns) + 1))
        for constitution, story in sorted(stories.items()):
            cells, signs = [], []
            for route, _, quantity, judge, digits, scale, report in columns:
                own = next(
                    (s for s in routes_of(report)[0]["stories"] if (s["value"], s["constitution"]) == (value, constitution)),
                    {"signs": []},
                )
                estimate = find(report, quantity, value, constitution, judge)
                sign = next((s["sign"] for s in own["signs"] if s["route"] == route), None)
                # Of a judge what it adds to the arm counts, over prompts and over texts.
                if quantity == "own_slope" and sign is not None:
                    p = (estimate or {}).get("p_adjusted")
                    sign = 0 if p is None or p >= 0.05 else (1 if estimate["estimate"] > 0 else -1)
                text = figure(estimate, digits, scale)
                cells.append(f"**{text}**" if sign else text)
                signs.append(sign)
            print(f"| {constitution} | " + " | ".join(cells) + f" | {together(signs)} |")
        placebos = [c for c in state["cells"] if c["value"] == value and c["placebo"]]
        for cell in sorted(placebos, key=lambda c: c["constitution"]):
            cells = []
            for route, _, quantity, judge, digits, scale, report in columns:
                own = find(report, quantity, value, cell["constitution"], judge) if route in BANDS else None
                cells.append(figure(own, digits, scale) if route in BANDS else "–")
            print(f"| *{cell['constitution']}* | " + " | ".join(cells) + " | |")
        bands = []
        for route, _, _, _, digits, scale, report in columns:
            cells = [c for c in routes_of(report)[0]["cells"] if c["value"] == value and not c["placebo"]]
            reading = next((c[BANDS[route]] for c in cells if route in BANDS and c.get(BANDS[route])), None)
            band = reading.get("band") if reading else None
            bands.append(
                f"{number(band['lo'] * scale, digits)} to {number(band['hi'] * scale, digits)}" if band else "–"
            )
        print("| *one more text without content, 95 %* | " + " | ".join(bands) + " | |")


def main():
    print("# What constitutions do, route by route")
    print()
    print(
        "Every constitution of `experiments/real/` on every model, by every route that the run measured: the directions v_c\n"
        "of the judge's answers (own slope: first-order gain beyond the mean of the texts without content, units of the value ×\n"
        "nats), the shift Δ_c of the state, generation under the constitution (w_c), the gain along v\\*, and how much easier the\n"
        "value is to read (Δρ²). 95 % intervals, without length control. Texts without content stand below the constitutions,\n"
        "each beside the others of its kind (they have no slope of their own: it is from their mean that slopes are counted); the last\n"
        "row says where one more of them is expected. **Bold**: clear after all constitutions, values and figures are counted.\n"
        "“n.i.”: not identifiable. Made from `report.json` by `scripts/routes_table.py`; the runs stand in\n"
        "[evidence.md](evidence.md)."
    )
    for argument in sys.argv[1:]:
        name, _, rest = argument.partition("=")
        files, _, without = rest.partition("!")
        reports = [json.load(open(file, encoding="utf-8")) for file in files.split(",")]
        model(name, reports, [route for route in without.split(",") if route])


if __name__ == "__main__":
    main()
