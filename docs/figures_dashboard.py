"""The part of `figures.md` on the dashboard: storms, many viewers, finding among a million alerts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from results import RESULTS, result, table

STORM = """\
## An alert storm

`benchmarks/alert_storm.py`: {rate:,.0f} alerts a second of {alert_bytes:,} bytes for {seconds:,.0f} s, posted in lists
of {list} as the relay does, with the live page open in Chromium. Of {posted:,} alerts posted in all, the store lacks
{missing}, and has {doubled} more than once. The banner came after {banner} s: "{sentence}\"

Without a pace the API takes {peak:,} alerts a second."""


PAGE_STORM = """\
## The live page while alerts arrive

`benchmarks/page_storm.py`: {rate:,.0f} alerts a second for {seconds:,.0f} s into a store that held {stored:,}, read in
Chromium: rows opened and closed, the page paused and resumed. An interaction is timed by the browser, from the input to
the next paint (those below 16 ms are not reported and not among them); {over} took longer than 100 ms."""

STREAMS = """\
## Many viewers

`benchmarks/streams.py`: {streams} live streams of one dashboard, {never_read} of which never read, {rate:,.0f} alerts a
second for {seconds:,.0f} s; the time is that from just before an alert is posted until one of the others has read it.
Lines that did not come: {missing}. The dashboard's process went from {start:,.0f} to {most:,.0f} MiB."""

SEARCH = """\
## Finding among many alerts

`benchmarks/alert_search.py`: a dashboard on SQLite with generated alerts, each figure the time of whole requests over
HTTP, one after the other, 50 to 300 of a kind, with values drawn anew for each. Of the filters and the orders, that
kind is shown which is slowest at p99 with the most alerts."""

SCAN = """\
A filter that no index helps, of {alerts:,} alerts: told how far it is after {line:,.0f} ms, {match},
the whole after {whole:,.1f} s; cancelled, the server is idle after {idle:g} s. An export of all:
{exports}."""

NEXT = """\
The next alert, found and claimed in a store of {alerts:,} (`benchmarks/next_alert.py`), each order's slowest filter:"""


def dashboard_figures() -> Iterator[str]:
    """Its paragraphs and tables."""
    yield from _storm()
    yield from _page_storm()
    for name, section in (("streams", _streams), ("alert_search", _search), ("next_alert", _next)):
        if (RESULTS / f"{name}.json").exists():
            yield from section(result(name))


def _storm() -> Iterator[str]:
    storm = result("alert_storm")
    page, start, end = storm["page"], storm["start"], storm["end"]
    yield STORM.format(
        **storm | storm["store"],
        banner=page["banner_after_seconds"],
        sentence=page["banner"],
        peak=storm["no_pace"]["alerts_per_second"],
    )
    clicks = page["click_to_frame_ms"]
    yield table(
        ["", "p50", "p99", "max"],
        [
            [name, *(f"{measured[quantile]:g} ms" for quantile in ("p50", "p99", "max"))]
            for name, measured in (
                ("a click beside the table, to the next frame", clicks["control"]),
                ("opening or closing a row, to the next frame", clicks["row"]),
                (f"between two frames ({page['frames_per_second']:g} a second)", page["between_frames_ms"]),
                (f"a post of {storm['list']} alerts", storm["post_ms"]),
            )
            if measured["count"]
        ],
    )
    yield table(
        ["memory", "at the start", "at the end"],
        [
            ["the page's JavaScript heap", f"{start['heap_mib']:g} MiB", f"{end['heap_mib']:g} MiB"],
            ["the page's DOM nodes", f"{start['dom_nodes']:,}", f"{end['dom_nodes']:,}"],
            ["the dashboard's process", f"{start['dashboard_mib']:g} MiB", f"{end['dashboard_mib']:g} MiB"],
        ],
    )


def _page_storm() -> Iterator[str]:
    storm = result("page_storm")
    page = storm["page"]
    used, first, last = page["interactions"], page["memory"][0], page["memory"][-1]
    most = {name: max(held[name] for held in page["memory"]) for name in ("heap_mib", "dom_nodes")}
    yield PAGE_STORM.format(**storm, over=used["over_100_ms"])
    yield table(
        ["", "p50", "p99", "max", "of"],
        [
            [name, *(f"{measured[each]:g} ms" for each in ("p50", "p99", "max")), f"{measured['count']:,}"]
            for name, measured in (
                ("a click, to the next paint", used["click_to_paint_ms"]),
                ("any event of an interaction, to the next paint", used["any_event_to_paint_ms"]),
                (f"between two frames ({page['frames_per_second']:g} a second)", page["between_frames_ms"]),
            )
        ],
    )
    server = storm["dashboard_mib"]
    yield table(
        ["memory", "at the start", "at the most", "at the end"],
        [
            ["the page's JavaScript heap", *(f"{held['heap_mib']:g} MiB" for held in (first, most, last))],
            ["the page's DOM nodes", *(f"{held['dom_nodes']:,}" for held in (first, most, last))],
            ["the dashboard's process", f"{server['start']:g} MiB", "", f"{server['end']:g} MiB"],
        ],
    )


def _streams(found: Mapping[str, Any]) -> Iterator[str]:
    run = found["runs"][0]
    memory = run["memory"]["resident_mib"]["dashboard"]
    yield STREAMS.format(**run, start=memory["start"], most=memory["max"])
    quantiles = ("p50_ms", "p90_ms", "p99_ms", "p999_ms", "max_ms")
    yield table(
        ["p50", "p90", "p99", "p99.9", "max", "of"],
        [[*(f"{run['to_a_viewer'][each]:,.1f} ms" for each in quantiles), f"{run['to_a_viewer']['count']:,}"]],
    )


def _search(found: Mapping[str, Any]) -> Iterator[str]:
    yield SEARCH
    sizes = found["alerts"]
    most = sizes[max(sizes, key=int)]
    slowest = {kind: max(most[kind], key=lambda name: float(most[kind][name]["p99"])) for kind in ("filter", "sort")}
    rows = {
        "the list": ("list",),
        "the next page": ("next_page",),
        f"one filter ({slowest['filter']})": ("filter", slowest["filter"]),
        f"an order ({slowest['sort']})": ("sort", slowest["sort"]),
        "two to five filters and an order": ("several_filters_and_a_sort",),
        "free text": ("text",),
        "free text, filters and an order": ("text_filters_and_a_sort",),
    }
    yield table(
        ["p50 / p99 in ms, among", *(f"{int(size):,}" for size in sizes)],
        [[name, *(_both(each, keys) for each in sizes.values())] for name, keys in rows.items()],
    )
    scan, exports = most["scan"], most["export"]
    match = scan["first_match_ms"]
    yield SCAN.format(
        alerts=scan["scanned"],
        line=scan["first_line_ms"],
        match="no match" if match is None else f"the first match after {match / 1000:,.1f} s",
        whole=scan["seconds"],
        idle=scan["idle_seconds_after_cancel"],
        exports=", ".join(
            f"{kind.upper()} {each['rows_per_second']:,.0f} rows/s with "
            f"{each['resident_mib_peak'] - each['resident_mib_before']:,.0f} MiB more memory"
            for kind, each in exports.items()
        ),
    )


def _both(found: Mapping[str, Any], keys: Sequence[str]) -> str:
    for key in keys:
        found = found[key]
    return f"{found['p50']:g} / {found['p99']:g}"


def _next(found: Mapping[str, Any]) -> Iterator[str]:
    yield NEXT.format(alerts=found["alerts"])
    rows = []
    for order, filters in found["next"].items():
        name, told = max(filters.items(), key=lambda each: float(each[1]["p50_ms"]))
        rows.append([order, name, *(f"{told[figure]:,.1f} ms" for figure in ("p50_ms", "p99_ms"))])
    yield table(["order", "filter", "p50", "p99"], rows)
