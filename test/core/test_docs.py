"""Links of the documentation, checked without network and without MkDocs."""

import re
from pathlib import Path

LINK = re.compile(r"\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def pages(repository: Path) -> list[Path]:
    folders = (repository, repository / "docs", repository / "examples")
    return sorted(page for folder in folders for page in folder.glob("*.md"))


def anchors(page: Path) -> set[str]:
    """Fragments that a page's headings have, as GitHub and MkDocs make them."""
    headings = re.findall(r"^#+ +(.+)$", FENCE.sub("", page.read_text()), re.MULTILINE)
    return {
        re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings
    }


def test_every_link_inside_the_repository_has_a_target(repository):
    broken = []
    for page in pages(repository):
        for link in LINK.findall(FENCE.sub("", page.read_text())):
            if "://" in link:
                continue
            path, _, fragment = link.partition("#")
            target = page.parent / path if path else page
            if not target.exists() or (fragment and fragment not in anchors(target)):
                broken.append(f"{page.name}: {link}")
    assert not broken


def test_every_page_is_in_the_site(repository):
    """Those in `made` come from files outside docs/, see tools/make_site.py."""
    navigation = set(re.findall(r"(\w+\.md)", (repository / "mkdocs.yml").read_text()))
    made = {"index.md", "parameters.md", "contributing.md", "changelog.md", "examples.md"}
    written = {path.name for path in (repository / "docs").glob("*.md")}
    assert navigation == written | made


def test_readme_is_short(repository):
    assert len((repository / "README.md").read_text().splitlines()) < 150
