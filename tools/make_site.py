"""Hooks of MkDocs: the pages of the site that are made while it is built.

Start, contributing and changes are the files in the repository's root. The parameters come from
the tables that the programs themselves use, so that the page and they cannot disagree.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from mlss_core.network_params import NetworkParams
from mlss_core.params import tracker_params
from mlss_core.simulate import SceneParams
from mlss_core.train.params import TrainParams
from mlss_tracker_ros.box_picker import PickerParams
from mlss_tracker_ros.camera_node import CameraParams
from mlss_tracker_ros.node_params import NodeParams
from mlss_tracker_ros.parameters import rows

ROOT = Path(__file__).resolve().parents[1]
ROOT_PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "examples/README.md": "examples.md",
}
COPIES = "files"  # folder of the site for files outside docs/ that pages link to
LINK = re.compile(r"\[([^\]]*)\]\(([^)#\s]+)([^)\s]*)\)")  # text, path, fragment


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made here, and the files outside docs/ that pages link to."""
    linked: set[str] = set()
    for page in files.documentation_pages():
        linked |= set(outside(Path(page.abs_src_path or "").read_text(), ROOT / "docs"))
    for source, name in ROOT_PAGES.items():
        text, folder = (ROOT / source).read_text(), (ROOT / source).parent
        linked |= set(outside(text, folder))
        files.append(File.generated(config, name, content=moved(text, folder)))
    for path in sorted(linked):
        files.append(File.generated(config, f"{COPIES}/{path}", abs_src_path=str(ROOT / path)))
    files.append(File.generated(config, "parameters.md", content=parameters_page()))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Point links of docs/ pages at where the site has those files."""
    return markdown if page.file.generated_by else moved(markdown, ROOT / "docs")


def moved(markdown: str, folder: Path) -> str:
    """Rewrite the relative links of a page that lies in `folder` for the site."""

    def target(match: re.Match[str]) -> str:
        text, link, fragment = match.groups()
        found = resolve(folder, link)
        if found is None:
            return match[0]
        if (ROOT / found).is_dir():
            return text  # the site has no listings
        name = found.as_posix()
        if name in ROOT_PAGES:
            name = ROOT_PAGES[name]
        elif found.parts[0] == "docs":
            name = name.removeprefix("docs/")
        else:
            name = f"{COPIES}/{name}"
        return f"[{text}]({name}{fragment})"

    return LINK.sub(target, markdown)


def outside(markdown: str, folder: Path) -> Iterator[str]:
    """Files of the repository outside docs/ that a page lying in `folder` links to."""
    for match in LINK.finditer(markdown):
        found = resolve(folder, match[2])
        if found is None or found.parts[0] == "docs" or found.as_posix() in ROOT_PAGES:
            continue
        if (ROOT / found).is_file():
            yield found.as_posix()


def resolve(folder: Path, link: str) -> Path | None:
    """Path of a link's target below the repository's root; None for other addresses."""
    if "://" in link or link.startswith("mailto:"):
        return None
    path = (folder / link).resolve()
    return path.relative_to(ROOT) if path.is_relative_to(ROOT) else None


def parameters_page() -> str:
    """Every parameter of every program, with default, unit, range and meaning."""
    reference = {row.name: row.default for row in rows(tracker_params("reference"))}
    return "\n".join(
        [
            "# Parameters",
            "",
            "Made from the tables that the programs use. [Topics](topics.md) tells how to set "
            "them; [config/tracker.yaml](files/config/tracker.yaml) is the same as a file.",
            "",
            "## tracker_node",
            "",
            "*read-only* ones are given at start; the others can be set while the node runs.",
            "",
            *table(NodeParams()),
            "",
            "### The tracker",
            "",
            "Defaults of profile `robust`, and of `reference` where it differs. The same names "
            "are the fields of `mlss_core.params.TrackerParams`.",
            "",
            *table(tracker_params("robust"), reference),
            "",
            "## camera_node",
            "",
            *table(CameraParams(), read_only=True),
            "",
            "`sim.*`: the simulated scene, as `mlss simulate` takes it.",
            "",
            *table(SceneParams(), prefix="sim.", read_only=True),
            "",
            "## box_picker",
            "",
            *table(PickerParams(), read_only=True),
            "",
            "## Training",
            "",
            "Keys of the YAML file that `mlss train` reads.",
            "",
            *table(TrainParams(network=NetworkParams())),
            "",
        ]
    )


def table(
    params: Any, other: dict[str, Any] | None = None, prefix: str = "", read_only: bool = False
) -> Iterator[str]:
    """Lines of a Markdown table of a parameter dataclass; with `read_only` all of them are."""
    yield f"| name | default |{' `reference` |' if other else ''} unit | range | meaning |"
    yield f"|---|---|{'---|' if other else ''}---|---|---|"
    for row in rows(params, prefix):
        meta = row.item.metadata
        bounds = meta.get("range")
        limits = f"{bounds[0]:g} to {bounds[1]:g}" if bounds else ""
        meaning = row.description.replace("|", "\\|")
        if meta.get("unit"):
            meaning = meaning.replace(f"Unit: {meta['unit']}. ", "").replace(
                f"Unit: {meta['unit']}.", ""
            )
        cells = [f"`{row.name}`", f"`{shown(row.default)}`"]
        if other:
            differs = other[row.name] != row.default
            cells.append(f"`{shown(other[row.name])}`" if differs else "")
        mark = " *read-only*" if read_only or row.read_only else ""
        yield f"| {' | '.join([*cells, meta.get('unit', ''), limits, meaning + mark])} |"


def shown(value: Any) -> str:
    """A default as one writes it in YAML."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, tuple):
        return f"[{', '.join(map(shown, value))}]"
    return f'"{value}"' if isinstance(value, str) else str(value)
