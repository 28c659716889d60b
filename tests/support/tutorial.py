"""
Follow docs/tutorial.md as a newcomer does: run each command, write each file, use a browser.

It needs Python and what the tutorial installs, and nothing of the tests. So it runs in an empty
environment as well: python tests/support/tutorial.py docs/tutorial.md
"""

from __future__ import annotations

import ast
import html
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.cookiejar import CookieJar
from pathlib import Path
from typing import NamedTuple

PASSWORD = "a long password of Ada's"
SECONDS = 60  # for a command, or until the server is there
FENCE = re.compile(r"^```(\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE_NAME = re.compile(r"(?:# |\{# )([\w./]+?)(?: #\})?\n")
SHOWN = re.compile(r"\*\*(.+?)\*\*", re.DOTALL)

# What makes the environment is done by whoever runs this.
DONE_BEFORE = ("git clone ", "python -m venv ", ". venv/bin/activate", "python -m pip install ")

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
SAFARI = (
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/18.5 Safari/605.1.15"
)


class Stumble(Exception):
    """What a newcomer would stumble over."""


def require(is_so: object, message: str) -> None:
    """Raise Stumble where the page is wrong; an assert would be gone with python -O."""
    if not is_so:
        raise Stumble(message)


class Answer(NamedTuple):
    """A page as a browser has it in the end."""

    url: str
    text: str


class Browser:
    """Somebody's browser: cookies, redirects, forms."""

    def __init__(self, site: str, user_agent: str) -> None:
        self._site = site
        self._opener = urllib.request.build_opener(
            urllib.request.HTTPCookieProcessor(CookieJar()), urllib.request.ProxyHandler({})
        )
        self._opener.addheaders = [("User-Agent", user_agent)]
        self.seen = ""  # the text of all pages

    def open(self, url: str, data: dict[str, str] | None = None) -> Answer:
        """Open a page, or send a form."""
        body = None if data is None else urllib.parse.urlencode(data).encode()
        absolute = urllib.parse.urljoin(self._site, url)
        try:
            with self._opener.open(absolute, body, timeout=SECONDS) as response:
                text = html.unescape(response.read().decode())
                answer = Answer(urllib.parse.urlsplit(response.geturl()).path, text)
        except urllib.error.HTTPError as error:
            raise Stumble(f"{url}: {error}") from error
        self.seen += " ".join(re.sub(r"<[^>]*>", " ", text).split()) + "\n"
        return answer

    def submit(self, page: Answer, button: str, at: str = "", **fields: str) -> Answer:
        """
        Press a button.

        Args:
            page: where it is.
            button: its text.
            at: what the URL has in it that the form goes to; the page's own URL if it names none.
            fields: what to fill in.
        """
        for attributes, content in re.findall(r"<form([^>]*)>(.*?)</form>", page.text, re.DOTALL):
            named = re.search(r'action="([^"]*)"', attributes)
            action = named[1] if named else page.url
            if at in action and re.search(rf"<button[^>]*>\s*{re.escape(button)}\s*<", content):
                hidden = dict(re.findall(r'type="hidden" name="([^"]+)" value="([^"]*)"', content))
                missing = [name for name in fields if f'name="{name}"' not in content]
                require(not missing, f"the form of {button!r} lacks {missing}")
                return self.open(action, hidden | fields)
        raise Stumble(f"{page.url} has no button {button!r}")

    def log_in(self) -> Answer:
        """Open the site, and log in where it leads to."""
        page = self.open("/")
        require("/login/" in page.url, f"/ leads to {page.url}, which is no login page")
        return self.submit(page, "Log in", username="ada", password=PASSWORD)


class Newcomer:
    """Who reads the page, and does in a folder what it says."""

    def __init__(self, text: str, folder: Path) -> None:
        self._text, self._folder = text, folder
        # Neither the tests' settings are the newcomer's, nor what keeps a script's folder out of
        # sys.path, which manage.py counts on.
        tests_own = {"DJANGO_SETTINGS_MODULE", "PYTHONSAFEPATH"}
        self._environment = {k: v for k, v in os.environ.items() if k not in tests_own}
        # "python" is this one, as in a virtual environment that is active.
        python = str(Path(sys.executable).parent)
        self._environment["PATH"] = os.pathsep.join([python, self._environment["PATH"]])

    def follow(self) -> None:
        """Do all of it, in its order; the server runs from its command to the end."""
        blocks = FENCE.findall(self._text)
        serving = next(
            place
            for place, (language, content) in enumerate(blocks)
            if language == "console" and "manage.py runserver" in content
        )
        for language, content in blocks[:serving]:
            self._do(language, content)
        with self._running_server() as site:
            self._use_site(site)
            for language, content in blocks[serving + 1 :]:
                self._do(language, content)

    def _do(self, language: str, content: str) -> None:
        if language == "console":
            self._run_commands(content)
        else:
            self._write_file(content)

    def _write_file(self, content: str) -> None:
        name = FILE_NAME.match(content)
        require(name, f"no line says which file this is:\n{content}")
        assert name
        path = self._folder / name[1]
        if path.name == "settings.py":
            path.write_text(change_settings(path.read_text("utf-8"), content), "utf-8")
        else:
            path.parent.mkdir(exist_ok=True)
            path.write_text(content, "utf-8")

    def _run_commands(self, content: str) -> None:
        _, *steps = re.split(r"^\$ ", content, flags=re.MULTILINE)
        for step in steps:
            command, _, promised = step.partition("\n")
            if command.startswith("cd "):
                self._folder /= command.removeprefix("cd ")
            elif command.startswith("export "):
                name, _, value = command.removeprefix("export ").partition("=")
                self._environment[name] = self._shell(f'printf %s "{value}"')
            elif "createsuperuser" in command:
                self._answer_prompts(command)
            elif not command.startswith(DONE_BEFORE):
                printed = self._shell(command)
                if promised:
                    require(
                        outline(printed) == outline(promised),
                        f"{command}\nprints\n{printed}\nand the page says\n{promised}",
                    )

    def _shell(self, command: str) -> str:
        done = subprocess.run(  # noqa: S602 - the page's commands are a shell's
            command,
            shell=True,
            cwd=self._folder,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        require(done.returncode == 0, f"{command}\nfails:\n{done.stdout}")
        return done.stdout

    def _answer_prompts(self, command: str) -> None:
        """Run a command that asks for a password twice, which it does at a terminal only."""
        import pty  # noqa: PLC0415 - not on Windows

        pid, terminal = pty.fork()
        if not pid:
            os.chdir(self._folder)
            os.execvpe("sh", ["sh", "-c", command], self._environment)  # noqa: S606
        printed, asked = "", 0
        while chunk := read_terminal(terminal):
            printed += chunk
            if len(re.findall(r"Password.*?: ", printed)) > asked:
                asked += 1
                os.write(terminal, f"{PASSWORD}\n".encode())
        os.close(terminal)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        require(status == 0 and asked == 2, f"{command}\nends with {status}:\n{printed}")

    @contextmanager
    def _running_server(self) -> Iterator[str]:
        port = find_port()
        command = ["python", "manage.py", "runserver", "--noreload", str(port)]
        with (
            tempfile.TemporaryFile() as log,
            subprocess.Popen(
                command,
                cwd=self._folder,
                env=self._environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                # Found on the PATH of the environment that is given.
                executable=sys.executable,
            ) as server,
        ):
            try:
                wait_for(port, server)
                yield f"http://127.0.0.1:{port}/"
            except BaseException:
                log.seek(0)
                sys.stderr.write(log.read().decode())
                raise
            finally:
                server.terminate()

    def _use_site(self, site: str) -> None:
        here, there = Browser(site, FIREFOX), Browser(site, SAFARI)
        here.log_in()
        there.log_in()
        answer = here.submit(here.open("/"), "Log out", at="/end/")
        require(answer.url == "/devices/", f"the end of a device leads to {answer.url}")
        there.log_in()
        page = here.submit(here.open("/"), "Log out other devices")
        here.submit(page, "Log out other devices", password=PASSWORD)
        require("/login/" in there.open("/").url, "the other device is still logged in")
        require(here.open("/").url == "/devices/", "this device was logged out as well")
        seen = here.seen + there.seen
        promised = {" ".join(words.split()) for words in SHOWN.findall(self._text)}
        missing = [words for words in promised if words not in seen]
        require(promised and not missing, f"no page says {missing}, but:\n{seen}")


def change_settings(text: str, changes: str) -> str:
    """Put each assignment in the place of the one to the same name, or else at the end."""
    for node in ast.parse(changes).body:
        new = ast.get_source_segment(changes, node)
        assert new
        assert isinstance(node, ast.Assign)
        target = ast.unparse(node.targets[0])
        for old in ast.parse(text).body:
            if isinstance(old, ast.Assign) and ast.unparse(old.targets[0]) == target:
                text = text.replace(str(ast.get_source_segment(text, old)), new)
                break
        else:
            text += f"\n{new}\n"
    return text


def outline(text: str) -> list[str]:
    """Return what is the same each time: the words, with each digit as 0."""
    return re.sub(r"\d+", "0", text).split()


def read_terminal(terminal: int) -> str:
    """Return what a program has printed; nothing at its end, which Linux takes for an error."""
    try:
        return os.read(terminal, 1024).decode()
    except OSError:
        return ""


def find_port() -> int:
    """Return a port that is free."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(port: int, server: subprocess.Popen[bytes]) -> None:
    """Wait until the server accepts."""
    for _ in range(SECONDS * 20):
        require(server.poll() is None, "the server has ended")
        with socket.socket() as probe:
            if not probe.connect_ex(("127.0.0.1", port)):
                return
        time.sleep(0.05)
    raise Stumble("the server doesn't answer")


def follow(page: Path) -> None:
    """Follow a page in an empty folder; Stumble says where it is wrong."""
    with tempfile.TemporaryDirectory() as folder:
        Newcomer(page.read_text("utf-8"), Path(folder)).follow()


if __name__ == "__main__":
    follow(Path(sys.argv[1]))
