"""`report.html`: one file that needs nothing beside it."""

from __future__ import annotations

import base64
import contextlib
import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mlss_core.errors import SequenceError
from mlss_core.evaluate import plots
from mlss_core.evaluate.report import TrackerScores, table_rows
from mlss_core.evaluate.strips import frame_strip
from mlss_core.sequences import Sequence as Frames

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; background: #fff;
       max-width: 1440px; margin: 2em auto; padding: 0 1.5em; }
h1 { font-size: 1.6em; }
h2 { font-size: 1.25em; margin-top: 2.2em; border-bottom: 1px solid #ddd; }
h3 { font-size: 1em; margin: 1.8em 0 .3em; }
table { border-collapse: collapse; } td, th { padding: .25em .8em; text-align: right; }
th { border-bottom: 2px solid #bbb; font-weight: 600; } tr + tr td { border-top: 1px solid #eee; }
td:first-child, th:first-child { text-align: left; }
img { max-width: 100%; height: auto; } .plots img { width: 32%; min-width: 330px; }
.key { display: inline-block; width: .8em; height: .8em; border-radius: 2px; margin-right: .45em; }
.scores { color: #444; font-size: .92em; }
.scores > span { margin-right: 1.3em; white-space: nowrap; }
.failed { color: #b00020; } .note { color: #666; font-size: .9em; max-width: 62em; }
summary { cursor: pointer; }
"""

_PROTOCOL = """One-pass evaluation by the definitions of the LSOTB-TIR and PTB-TIR toolkits: every
tracker starts on the first labelled frame with the true box and runs to the end without help.
Success is the share of frames whose overlap exceeds a threshold, averaged over 21 thresholds from
0 to 1 (20/21 for a perfect tracker); precision is the share of frames within 20 px; normalised
precision is the mean over centre errors up to half a target size. Frames without a valid label
count as misses in success and as hits in precision; the plain figures leave them out. Every
sequence weighs the same. Speed is that of the update step alone, on one CPU thread per process
(or the GPU), with all the processes of this run at work."""


def write_all(
    out: Path,
    trackers: Sequence[TrackerScores],
    sequences: Sequence[Frames],
    document: Mapping[str, Any],
) -> None:
    """Draw every plot into `out` and write `report.html` there; arguments as `write_report`."""
    colours = plots.colours_of([tracker.label for tracker in trackers])
    pictures = {
        name: out / f"{name}.png" for name in ("success", "precision", "norm_precision", "bars")
    }
    plots.plot_success(pictures["success"], trackers, colours)
    plots.plot_precision(pictures["precision"], trackers, colours)
    plots.plot_norm_precision(pictures["norm_precision"], trackers, colours)
    plots.plot_bars(pictures["bars"], trackers, colours)
    if document["robustness"]:
        pictures["robustness"] = out / "robustness.png"
        plots.plot_robustness(pictures["robustness"], document["robustness"], colours)
    strips = {}
    for sequence in sequences:
        boxes = {
            tracker.label: tracker.sequences[sequence.name].boxes
            for tracker in reversed(trackers)  # the first one is drawn last, on top
            if sequence.name in tracker.sequences
        }
        # A picture that cannot be read has failed every tracker already: no strip of it.
        with contextlib.suppress(SequenceError):
            strips[sequence.name] = frame_strip(sequence, boxes, colours)
    write_report(out / "report.html", trackers, sequences, colours, pictures, strips, document)


def write_report(
    path: Path,
    trackers: Sequence[TrackerScores],
    sequences: Sequence[Frames],
    colours: Mapping[str, str],
    pictures: Mapping[str, Path],
    strips: Mapping[str, bytes],
    document: Mapping[str, Any],
) -> None:
    """Write the report.

    Args:
        path: the file to write.
        trackers: in the order of the command line; the first one orders the sequences.
        sequences: that were evaluated.
        colours: `#rrggbb` per tracker.
        pictures: PNG files: `success`, `precision`, `norm_precision`, `bars`, and `robustness`.
        strips: JPEG bytes per sequence.
        document: see `mlss_core.evaluate.report.results_document`.
    """
    frames = sum(len(s.frames) for s in sequences)
    parts = [
        "<h1>Thermal tracking evaluation</h1>",
        f"<p>{len(trackers)} trackers, {len(sequences)} sequences, {frames} frames.</p>",
        _table(trackers, sequences, colours),
        f'<p class="note">{_PROTOCOL}</p>',
        '<div class="plots">',
        *(_png(pictures[name], name) for name in ("success", "precision", "norm_precision")),
        "</div>",
    ]
    if "robustness" in pictures:
        parts += _robustness(pictures["robustness"])
    parts += _failures(trackers, document["unusable"])
    parts += ["<h2>Sequences</h2>", _legend(trackers, colours)]
    first = trackers[0]
    for sequence in sorted(sequences, key=lambda s: _auc(first, s.name) or 0.0):
        parts += _sequence(sequence, trackers, colours, strips.get(sequence.name))
    parts += [
        "<h2>Per-sequence success</h2>",
        "<details><summary>all bars</summary>",
        _png(pictures["bars"], "bars"),
        "</details>",
        *_made_with(document["environment"]),
    ]
    path.write_text(_page("\n".join(parts)), encoding="utf-8")


def _page(body: str) -> str:
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Thermal tracking evaluation</title><style>{_STYLE}</style></head>\n"
        f"<body>\n{body}\n</body></html>\n"
    )


def _robustness(picture: Path) -> list[str]:
    return [
        "<h2>Robustness</h2>",
        '<p class="note">Mean success AUC on the same sequences made worse at rising levels; '
        "see docs/evaluation.md for each kind of damage.</p>",
        _png(picture, "robustness"),
    ]


def _made_with(environment: Mapping[str, str]) -> list[str]:
    items = (
        f"<li>{html.escape(name)}: {html.escape(value)}</li>"
        for name, value in environment.items()
    )
    return ["<h2>Made with</h2>", "<ul>", *items, "</ul>"]


def _table(
    trackers: Sequence[TrackerScores], sequences: Sequence[Frames], colours: Mapping[str, str]
) -> str:
    header, rows = table_rows(trackers, sequences)
    lines = ["<table>", "<tr>" + "".join(f"<th>{html.escape(h)}</th>" for h in header) + "</tr>"]
    for row in rows:
        cells = [_key(row[0], colours) + html.escape(row[0]), *map(html.escape, row[1:])]
        lines.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    return "\n".join([*lines, "</table>"])


def _failures(trackers: Sequence[TrackerScores], unusable: Mapping[str, str]) -> list[str]:
    items = [
        f"{html.escape(tracker.label)} on {html.escape(name)}: {html.escape(reason)}"
        for tracker in trackers
        for name, reason in tracker.failed.items()
    ]
    items += [f"{html.escape(name)}: {html.escape(reason)}" for name, reason in unusable.items()]
    if not items:
        return []
    return [
        '<h2 class="failed">Failed</h2>',
        '<p class="note">Left out of the means above.</p>',
        "<ul>",
        *(f'<li class="failed">{item}</li>' for item in items),
        "</ul>",
    ]


def _sequence(
    sequence: Frames,
    trackers: Sequence[TrackerScores],
    colours: Mapping[str, str],
    strip: bytes | None,
) -> list[str]:
    scores = []
    for tracker in trackers:
        value = _auc(tracker, sequence.name)
        text = '<b class="failed">failed</b>' if value is None else f"{value:.3f}"
        scores.append(
            f"<span>{_key(tracker.label, colours)}{html.escape(tracker.label)} {text}</span>"
        )
    lines = [
        f"<h3>{html.escape(sequence.name)} <small>({len(sequence.frames)} frames)</small></h3>",
        f'<div class="scores">{"".join(scores)}</div>',
    ]
    if strip is not None:
        lines.append(_image(strip, "jpeg", f"frames of {sequence.name}"))
    return lines


def _legend(trackers: Sequence[TrackerScores], colours: Mapping[str, str]) -> str:
    keys = "".join(
        f"<span>{_key(t.label, colours)}{html.escape(t.label)}</span>" for t in trackers
    )
    return (
        f'<p class="scores">{keys}<span>white: ground truth</span></p>'
        f'<p class="note">Success AUC per sequence, worst of {html.escape(trackers[0].label)} '
        "first. Frame numbers count from 0; below each picture is a close-up of the target.</p>"
    )


def _auc(tracker: TrackerScores, name: str) -> float | None:
    score = tracker.sequences.get(name)
    return None if score is None else score.toolkit.success_auc


def _key(label: str, colours: Mapping[str, str]) -> str:
    return f'<span class="key" style="background:{colours[label]};margin-right:.45em"></span>'


def _png(path: Path, alt: str) -> str:
    return _image(path.read_bytes(), "png", alt)


def _image(content: bytes, kind: str, alt: str) -> str:
    data = base64.b64encode(content).decode("ascii")
    return f'<img loading="lazy" alt="{html.escape(alt)}" src="data:image/{kind};base64,{data}">'
