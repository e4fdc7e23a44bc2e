"""An HTML report read back: exact numbers by their place, rows of tables by their number."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = ("meta", "link", "br", "input")


@dataclass(slots=True)
class Element:
    """A tag with its attributes, and everything inside."""

    tag: str
    attributes: dict[str, str]
    children: list[Element] = field(default_factory=list["Element"])
    text: str = ""

    def all(self, tag: str) -> list[Element]:
        """Every such element inside, in order."""
        found = [self] if self.tag == tag else []
        return found + [e for c in self.children for e in c.all(tag)]

    def by_id(self, name: str) -> Element:
        """The one element of that id."""
        (found,) = self._with_id(name)
        return found

    def _with_id(self, name: str) -> list[Element]:
        own = [self] if self.attributes.get("id") == name else []
        return own + [e for c in self.children for e in c._with_id(name)]

    @property
    def numbers(self) -> list[float]:
        """Exact values of all numbers inside."""
        return [float(e.attributes["value"]) for e in self.all("data")]

    @property
    def words(self) -> str:
        """All text inside."""
        return " ".join([self.text, *(c.words for c in self.children)]).strip()


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.root = Element("", {})
        self.open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {k: v or "" for k, v in attrs})
        self.open[-1].children.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop().tag == tag, f"</{tag}> closes nothing"

    def handle_data(self, data: str) -> None:
        self.open[-1].text += data


def read(page: str) -> Element:
    """The elements of a page; every tag must be closed in order."""
    reader = _Reader()
    reader.feed(page)
    assert reader.open == [reader.root]
    return reader.root
