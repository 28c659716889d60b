"""What the pages show can be pasted as it stands, and where they point to is there."""

from __future__ import annotations

import ast
import configparser
import json
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from django.core.management import get_commands, load_command_class
from django.template import engines

from tests.support.paths import CHECKOUT

PAGES = [
    *(CHECKOUT / name for name in ("README.md", "CONTRIBUTING.md", "RELEASING.md", "SECURITY.md")),
    *sorted((CHECKOUT / "docs").rglob("*.md")),
]
DOCS = "https://django-multistore.readthedocs.io/en/latest/"
REPOSITORY = "https://github.com/django-multistore/django-multistore"
FENCE = re.compile(r"^( *)```(\S+)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)

# Other packages' commands, which their own pages describe.
COMMANDS_OF_OTHERS = {"all_tenants_command", "createsuperuser", "tenant_command"}


class Block(NamedTuple):
    """A block of a page, without the indentation that the page has for it."""

    page: str
    language: str
    text: str


def list_blocks() -> Iterator[Block]:
    for page in PAGES:
        for _, language, text in FENCE.findall(page.read_text("utf-8")):
            yield Block(page.name, language, textwrap.dedent(text))


BLOCKS = list(list_blocks())


def blocks_of(*languages: str) -> list[Block]:
    found = [block for block in BLOCKS if block.language in languages]
    assert found, languages
    return found


def is_no_statement(node: ast.stmt) -> bool:
    """Tell whether a line has no effect where it is pasted: it was cut out of a list."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Tuple | ast.List | ast.Dict)


def find_commands() -> Iterator[tuple[str, str]]:
    """Return each command of each block, with its page; its output is left out."""
    for page, _, text in blocks_of("console"):
        for line in text.replace("\\\n", " ").splitlines():
            if line.startswith("$ "):
                yield page, line.removeprefix("$ ")
    for page, _, text in blocks_of("shell"):
        for line in text.splitlines():
            yield page, line


COMMANDS = list(find_commands())


def test_python_can_be_pasted() -> None:
    blocks = blocks_of("python")
    assert len(blocks) > 80
    for page, _, text in blocks:
        try:
            module = ast.parse(text)
        except SyntaxError as error:
            pytest.fail(f"{page}: {error}:\n{text}")
        assert not any(map(is_no_statement, module.body)), f"{page}:\n{text}"


def imported_names(module: ast.Module) -> set[str]:
    return {
        (alias.asname or alias.name).partition(".")[0]
        for node in ast.walk(module)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }


def used_names(module: ast.Module) -> set[str]:
    """Return the names that a block uses, and neither binds nor imports."""
    used, bound = set(), imported_names(module)
    for node in ast.walk(module):
        if isinstance(node, ast.Name):
            (used if isinstance(node.ctx, ast.Load) else bound).add(node.id)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            bound.add(node.name)
        elif isinstance(node, ast.arg):
            bound.add(node.arg)
    return used - bound


def test_python_imports_what_can_be_imported() -> None:
    """What is the reader's own, as a request or CACHES, no block imports, and none need to."""
    modules = [(page, ast.parse(text)) for page, _, text in blocks_of("python")]
    importable = set().union(*(imported_names(module) for _, module in modules))
    assert {"devices", "TrustedProxies", "path"} <= importable
    missing = [(page, used_names(module) & importable) for page, module in modules]
    assert [(page, names) for page, names in missing if names] == []


def test_json_is_json() -> None:
    for _, _, text in blocks_of("json"):
        json.loads(text)


def test_templates_are_templates() -> None:
    for _, _, text in blocks_of("html+django", "html"):
        engines["django"].from_string(text)


def test_commands_of_manage_py_are_there() -> None:
    known = get_commands()
    named = [
        (page, name, command)
        for page, command in COMMANDS
        for name in re.findall(r"manage\.py (\w+)", command)
    ]
    assert len(named) > 10
    for page, name, command in named:
        assert name in known or name in COMMANDS_OF_OTHERS, f"{page}: {command}"


def test_options_of_the_package_s_commands_are_there() -> None:
    named = [
        found.groups()
        for _, command in COMMANDS
        if (found := re.search(r"manage\.py (gc|sessions)\b(.*)", command))
    ]
    assert len(named) > 4
    for name, rest in named:
        words = [word for word in re.sub(r"[<|>#].*", "", rest).split() if word != "..."]
        options = {word.partition("=")[0] for word in words if word.startswith("--")}
        parser = load_command_class("django_multistore", name).create_parser("manage.py", name)
        usage = parser.format_help() + "".join(
            sub.format_help()
            for action in parser._actions
            if isinstance(action.choices, dict)
            for sub in action.choices.values()
        )
        assert [option for option in options if option not in usage] == [], rest


def test_extras_and_targets_of_make_are_there() -> None:
    setup = configparser.ConfigParser(interpolation=None)
    setup.read(CHECKOUT / "setup.cfg", "utf-8")
    targets = re.findall(r"^([\w-]+):", (CHECKOUT / "Makefile").read_text("utf-8"), re.MULTILINE)
    extras, made = set(), set()
    for _, command in COMMANDS:
        extras |= {
            name
            for names in re.findall(r"(?:\.|django-multistore)\[([\w,-]+)\]", command)
            for name in names.split(",")
        }
        made |= set(re.findall(r"^make ([\w-]+)", command))
    assert {"dev", "devices"} <= extras <= set(setup["options.extras_require"])
    assert made
    assert made <= set(targets)


def headings_of(page: Path) -> set[str]:
    """Return the anchors that MyST and GitHub make of a page's headings."""
    text = re.sub(FENCE, "", page.read_text("utf-8"))
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    slugs = {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
    return slugs | set(re.findall(r"^\(([\w-]+)\)=$", text, re.MULTILINE))


def is_there(target: str) -> bool:
    """Tell whether a link of the README leads to a page or a file of this checkout."""
    address, _, anchor = target.partition("#")
    if address.startswith(DOCS):
        page = address.removeprefix(DOCS).removesuffix(".html") or "index"
        path = CHECKOUT / "docs" / f"{page}.md"
        return path.exists() and (not anchor or anchor in headings_of(path))
    inside = re.match(rf"{re.escape(REPOSITORY)}/(?:blob|raw|tree)/main/(.+)", address)
    return (CHECKOUT / inside[1]).exists() if inside else True


def test_links_of_the_readme_work_wherever_it_is_shown() -> None:
    """On PyPI, beside no other file."""
    text = re.sub(FENCE, "", (CHECKOUT / "README.md").read_text("utf-8"))
    targets = re.findall(r"\]\(([^)\s]+)\)", text)
    assert len(targets) > 15
    assert [target for target in targets if not target.startswith("https://")] == []
    assert [target for target in targets if not is_there(target)] == []


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "RELEASING.md", "SECURITY.md"])
def test_links_of_the_other_pages_lead_to_files(name: str) -> None:
    text = re.sub(FENCE, "", (CHECKOUT / name).read_text("utf-8"))
    targets = re.findall(r"\]\(([^)\s]+)\)", text)
    assert targets
    for target in targets:
        path, _, anchor = target.partition("#")
        if not path.startswith("https://"):
            assert (CHECKOUT / path).exists(), target
            assert not anchor or anchor in headings_of(CHECKOUT / path), target
        assert is_there(target), target


def test_each_release_has_its_date() -> None:
    text = (CHECKOUT / "CHANGELOG.md").read_text("utf-8")
    titles = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert titles.pop(0) == "[Unreleased]"
    releases = [re.fullmatch(r"\[([\d.]+)\] - (\d{4}-\d\d-\d\d)", title) for title in titles]
    assert all(releases), titles
    dates = [release[2] for release in releases if release]
    assert dates == sorted(dates, reverse=True)
    for name in re.findall(r"^## \[(.+?)\]", text, re.MULTILINE):
        assert f"\n[{name}]: https://" in text
