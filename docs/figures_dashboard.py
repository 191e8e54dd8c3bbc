"""The part of `figures.md` on the dashboard: storms, many viewers, a search among many alerts."""

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
## Search among many alerts

`benchmarks/alert_search.py`: generated alerts, each figure the time of whole calls of the store, {least} to {most} of
a kind one after the other, with values drawn anew for each, on two cores that other work kept busy (load {loads}). In
brackets the processor time of the same calls. Of the filters and the orders, that kind is shown which is slowest at
p99 with the most alerts."""

COLUMN = """\
A column without an index (`where={condition}`), among {alerts}: the first answer after {first:,.1f} s had searched
{share:.0%} of the alerts, {answers} answers all of them, in {whole:,.1f} s. An alert takes {bytes:,.0f} bytes of the
database."""


def dashboard_figures() -> Iterator[str]:
    """Its paragraphs and tables."""
    yield from _storm()
    yield from _page_storm()
    for name, section in (("streams", _streams), ("alert_search", _search)):
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
    sizes = found["alerts"]
    most = sizes[max(sizes, key=int)]
    slowest = {kind: max(most[kind], key=lambda name: float(most[kind][name]["p99"])) for kind in ("filter", "order")}
    rows = {
        "the queue": ("list",),
        "the next page": ("next_page",),
        f"one filter ({slowest['filter']}) and an order": ("filter", slowest["filter"]),
        f"an order ({slowest['order']})": ("order", slowest["order"]),
        "two to five filters and an order": ("several_filters",),
        "words and an order": ("words",),
        "words, filters and an order": ("words_and_filters",),
        "a word that every alert has": ("common_word",),
        "the next alert, found and claimed": ("take_next", "loss", "none"),
        "one alert posted": ("post", "1"),
        "500 alerts posted": ("post", "500"),
    }
    yield SEARCH.format(
        least=most["post"]["1"]["count"],
        most=most["several_filters"]["count"],
        loads=" and ".join(f"{each['load']:g}" for each in sizes.values()),
    )
    yield table(
        ["p50 / p99 in ms, among", *(f"{int(size):,}" for size in sizes)],
        [[name, *(_both(each, keys) for each in sizes.values())] for name, keys in rows.items()],
    )
    condition, other = next(iter(most["other_column"].items()))
    yield COLUMN.format(
        condition=condition,
        alerts=f"{int(max(sizes, key=int)):,}",
        first=other["first_seconds"],
        share=other["first_share_searched"],
        answers=other["answers"],
        whole=other["seconds"],
        bytes=most["bytes"] / int(max(sizes, key=int)),
    )


def _both(found: Mapping[str, Any], keys: Sequence[str]) -> str:
    for key in keys:
        found = found[key]
    return f"{found['p50']:g} / {found['p99']:g} ({found['cpu_p50']:g} / {found['cpu_p99']:g})"
