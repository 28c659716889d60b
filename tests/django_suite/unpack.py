"""
Put the installed Django's own session tests into the directory MULTISTORE_DJANGO_TESTS.

They are in Django's sdist only, and never in this repository.
"""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path, PurePosixPath


def unpack(target: Path) -> None:
    version = importlib.metadata.version("django")
    stamp = target / f"django-{version}"
    if stamp.exists():
        return
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary=django"]
    with tempfile.TemporaryDirectory() as directory:
        subprocess.run([*pip, f"--dest={directory}", f"django=={version}"], check=True)
        (sdist,) = Path(directory).iterdir()
        (target / "sessions_tests").mkdir(parents=True, exist_ok=True)
        with tarfile.open(sdist) as archive:
            for member in archive:
                path = PurePosixPath(member.name)
                if path.match("tests/sessions_tests/*.py") and (
                    file := archive.extractfile(member)
                ):
                    (target / "sessions_tests" / path.name).write_bytes(file.read())
    stamp.touch()


if __name__ == "__main__":
    unpack(Path(os.environ["MULTISTORE_DJANGO_TESTS"]))
