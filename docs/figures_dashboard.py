"""Generate the dashboard sections of `figures.md`: alert storms, many viewers, search."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from results import RESULTS, result, table

STORM = """\
## An alert storm

`benchmarks/alert_storm.py`: {rate:,.0f} alerts a second of {alert_bytes:,} bytes for {seconds:,.0f} s, posted in lists
of {list} as the relay does, with the live page open in Chromium. Of {posted:,} posted alerts, {missing} are missing
from the store, and {doubled} are duplicated. The banner appeared after {banner} s: "{sentence}\"

Without a rate limit the API accepts {peak:,} alerts a second."""


PAGE_STORM = """\
## The live page while alerts arrive

`benchmarks/page_storm.py`: {rate:,.0f} alerts a second for {seconds:,.0f} s into a store with {stored:,}, viewed in
Chromium: rows opened and closed, the page paused and resumed. The browser times each interaction from the input to
the next paint (those below 16 ms are not reported and not included); {over} took longer than 100 ms."""

SHIFT = """\
## A shift of {alerts} alerts

`benchmarks/shift.py`: {alerts} alerts are read and decided in Chromium, on a screen of {width} by {height} pixels. An
interaction is a key, a click or a turn of the wheel; an alert is read once its reasons are within the screen."""

STREAMS = """\
## Many viewers

`benchmarks/streams.py`: {streams} live streams of one dashboard, {never_read} of which never read, {rate:,.0f} alerts a
second for {seconds:,.0f} s; latency from just before an alert is posted until one of the others has read it.
Missing lines: {missing}. The dashboard's process grew from {start:,.0f} to {most:,.0f} MiB."""

SEARCH = """\
## Search among many alerts

`benchmarks/alert_search.py`: generated alerts, durations of complete calls of the store, {least} to {most} sequential
calls of each kind with fresh random values, on two busy cores (load {loads}). In parentheses the CPU time of the same
calls. For filters and orders the table has the kind that is slowest at p99 with the most alerts."""

COLUMN = """\
A column without an index (`where={condition}`), among {alerts}: the first response after {first:,.1f} s had searched
{share:.0%} of the alerts, {answers} responses all of them, in {whole:,.1f} s. An alert takes {bytes:,.0f} bytes in the
database."""


def dashboard_figures() -> Iterator[str]:
    """Generate paragraphs and tables."""
    yield from _storm()
    yield from _page_storm()
    for name, section in (("shift", _shift), ("streams", _streams), ("alert_search", _search)):
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
            [name, *(f"{figures[quantile]:g} ms" for quantile in ("p50", "p99", "max"))]
            for name, figures in (
                ("a click next to the table, to the next frame", clicks["control"]),
                ("opening or closing a row, to the next frame", clicks["row"]),
                (f"between two frames ({page['frames_per_second']:g} a second)", page["between_frames_ms"]),
                (f"a post of {storm['list']} alerts", storm["post_ms"]),
            )
            if figures["count"]
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
    interactions, first, last = page["interactions"], page["memory"][0], page["memory"][-1]
    most = {name: max(memory[name] for memory in page["memory"]) for name in ("heap_mib", "dom_nodes")}
    yield PAGE_STORM.format(**storm, over=interactions["over_100_ms"])
    yield table(
        ["", "p50", "p99", "max", "of"],
        [
            [name, *(f"{figures[each]:g} ms" for each in ("p50", "p99", "max")), f"{figures['count']:,}"]
            for name, figures in (
                ("a click, to the next paint", interactions["click_to_paint_ms"]),
                ("any event of an interaction, to the next paint", interactions["any_event_to_paint_ms"]),
                (f"between two frames ({page['frames_per_second']:g} a second)", page["between_frames_ms"]),
            )
        ],
    )
    server = storm["dashboard_mib"]
    yield table(
        ["memory", "at the start", "maximum", "at the end"],
        [
            ["the page's JavaScript heap", *(f"{memory['heap_mib']:g} MiB" for memory in (first, most, last))],
            ["the page's DOM nodes", *(f"{memory['dom_nodes']:,}" for memory in (first, most, last))],
            ["the dashboard's process", f"{server['start']:g} MiB", "", f"{server['end']:g} MiB"],
        ],
    )


def _shift(data: Mapping[str, Any]) -> Iterator[str]:
    yield SHIFT.format(**data, **data["screen"])
    yield table(
        ["", "rows on the first screen", "interactions per alert by key", "by mouse"],
        [
            [
                name,
                f"{data[when]['rows_on_the_first_screen']}",
                *(f"{data[when][way]['interactions_per_alert']:.2f}" for way in ("by_key", "by_mouse")),
            ]
            for name, when in (("the former queue", "before"), ("the review page", "now"))
            if when in data
        ],
    )


def _streams(data: Mapping[str, Any]) -> Iterator[str]:
    run = data["runs"][0]
    memory = run["memory"]["resident_mib"]["dashboard"]
    yield STREAMS.format(**run, start=memory["start"], most=memory["max"])
    quantiles = ("p50_ms", "p90_ms", "p99_ms", "p999_ms", "max_ms")
    yield table(
        ["p50", "p90", "p99", "p99.9", "max", "of"],
        [[*(f"{run['to_a_viewer'][each]:,.1f} ms" for each in quantiles), f"{run['to_a_viewer']['count']:,}"]],
    )


def _search(data: Mapping[str, Any]) -> Iterator[str]:
    sizes = data["alerts"]
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
        "a word in every alert": ("common_word",),
        "the next alert, found and claimed": ("take_next", "loss", "none"),
        "one alert posted": ("post", "1"),
        "500 alerts posted": ("post", "500"),
    }
    yield SEARCH.format(
        least=most["post"]["1"]["count"],
        most=most["several_filters"]["count"],
        loads=" and ".join(f"{each['load']:g}" for each in sizes.values()),
    )
    stores = {f"{int(size):,}": figures for size, figures in sizes.items()}
    stores |= {f"{int(size):,} on PostgreSQL": figures for size, figures in data.get("postgresql", {}).items()}
    yield table(
        ["p50 / p99 in ms, among", *stores],
        [[name, *(_both(each, keys) for each in stores.values())] for name, keys in rows.items()],
    )
    if "postgresql" in data:
        ingested = (f"{name}: {figures['ingested_per_second']:,}" for name, figures in stores.items())
        yield f"Alerts ingested a second, in lists of 2,000, while a store is filled: {'; '.join(ingested)}."
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


def _both(data: Mapping[str, Any], keys: Sequence[str]) -> str:
    for key in keys:
        data = data[key]
    return f"{data['p50']:g} / {data['p99']:g} ({data['cpu_p50']:g} / {data['cpu_p99']:g})"
