"""A Redis server that speaks TLS."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from contextlib import ExitStack
from pathlib import Path

from tests import servers


class Certificate:
    """A certificate for 127.0.0.1 that signs itself, and a server with it."""

    def __init__(self, stack: ExitStack) -> None:
        if shutil.which("openssl") is None:
            servers._give_up("openssl is missing")
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        directory.chmod(0o755)  # The server may run as another user.
        self.path, key = directory / "certificate", directory / "key"
        command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt"]
        command += ["ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=redis"]
        command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key)]
        subprocess.run([*command, "-out", str(self.path)], check=True, capture_output=True)
        key.chmod(0o644)
        self.port = servers._free_port()
        arguments = ["--tls-port", str(self.port), "--tls-auth-clients", "no"]
        arguments += ["--tls-cert-file", str(self.path), "--tls-key-file", str(key)]
        arguments += ["--tls-ca-cert-file", str(self.path)]
        try:
            stack.enter_context(servers.private("redis", arguments=arguments))
        except servers.ServerError as error:
            if "Bad directive" not in str(error):
                raise
            servers._give_up("redis-server is built without TLS")
