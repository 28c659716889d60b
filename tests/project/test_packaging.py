"""What is in the package that tox built, and that the tests meet the installed one."""

from __future__ import annotations

import os
import sysconfig
import tarfile
import zipfile
from importlib.metadata import metadata
from pathlib import Path

import pytest

import django_multistore
from tests.support.paths import CHECKOUT

pytestmark = pytest.mark.skipif("TOX_PACKAGE" not in os.environ, reason="tox makes the package")


def checkout_files(directory: str) -> set[str]:
    return {
        path.relative_to(CHECKOUT).as_posix()
        for path in CHECKOUT.glob(f"{directory}/**/*")
        # A process that runs beside this one writes its bytecode under other names first.
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_the_metadata_say_what_pypi_shows() -> None:
    found = metadata("django-multistore")
    assert found["License-Expression"] == "BSD-3-Clause"
    assert "License" not in found
    urls = dict(entry.split(", ", 1) for entry in found.get_all("Project-URL") or [])
    assert {"Documentation", "Source", "Issues", "Changelog"} <= urls.keys()
    assert all(url.startswith("https://") for url in urls.values())
    classifiers = found.get_all("Classifier") or []
    assert not [each for each in classifiers if each.startswith("License ::")]
    assert found["Keywords"]
    assert found["Description-Content-Type"] == "text/markdown"


def assert_wheel_holds_the_package_alone(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        names = set(archive.namelist())
    metadata = {name for name in names if name.partition("/")[0].endswith(".dist-info")}
    assert names - metadata == checkout_files("django_multistore")
    assert "django_multistore/py.typed" in names


def assert_sdist_holds_all_that_a_checkout_needs(path: Path) -> None:
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    for directory in ("django_multistore", "tests", "testproject", "bench", "findings", ".ci"):
        wanted = checkout_files(directory)
        assert wanted, directory
        assert wanted <= names
    assert names >= {path.name for path in CHECKOUT.glob("*.md")}
    assert names >= {"LICENSE", "Makefile", "docs/conf.py", "tox.ini"}


def test_package_holds_what_it_should() -> None:
    path = Path(os.environ["TOX_PACKAGE"])
    if path.suffix == ".whl":
        assert_wheel_holds_the_package_alone(path)
    else:
        assert_sdist_holds_all_that_a_checkout_needs(path)


def test_installed_package_is_the_one_tested() -> None:
    site_packages = Path(sysconfig.get_path("purelib"))
    assert Path(django_multistore.__file__).is_relative_to(site_packages)
