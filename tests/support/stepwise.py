"""Plain code as steps: each call of what it works on is one, which is made where they are taken."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from typing import Any

from django_multistore.stores.steps import DatabaseCall, Steps


class Died(BaseException):
    """The process that runs the code has died: it does nothing more."""


class Gate:
    """Where the code waits until a call of it is made."""

    def __init__(self) -> None:
        self.calls: SimpleQueue[Callable[[], Any] | None] = SimpleQueue()
        self.answers: SimpleQueue[tuple[Any, BaseException | None]] = SimpleQueue()

    def ask(self, call: Callable[[], Any]) -> Any:
        self.calls.put(call)
        answer, error = self.answers.get()
        if error is not None:
            raise error
        return answer


class Gated:
    """Something whose methods are called at a gate."""

    def __init__(self, inner: Any, gate: Gate) -> None:
        self._inner, self._gate = inner, gate

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if not callable(found):
            return found
        return lambda *arguments, **options: self._gate.ask(partial(found, *arguments, **options))


def steps_of(act: Callable[[Gate], object]) -> Steps[None]:
    """
    Run code in a thread of its own, up to its next call at each step.

    Args:
        act: the code, which works on what is Gated.
    """
    gate, raised = Gate(), list[BaseException]()

    def run() -> None:
        try:
            act(gate)
        except Died:
            pass
        except BaseException as error:  # noqa: BLE001 - it is raised where the steps are taken
            raised.append(error)
        finally:
            gate.calls.put(None)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        while (call := gate.calls.get()) is not None:
            yield from _make(gate, call)
    finally:
        # Whatever it still asks for, it is told the same.
        while thread.is_alive():
            gate.answers.put((None, Died()))
            thread.join(0.01)
    if raised:
        raise raised[0]


def _make(gate: Gate, call: Callable[[], Any]) -> Steps[None]:
    try:
        answer = yield DatabaseCall(call, ())
    except Exception as error:  # noqa: BLE001 - the code's, to do with as it likes
        gate.answers.put((None, error))
    else:
        gate.answers.put((answer, None))
