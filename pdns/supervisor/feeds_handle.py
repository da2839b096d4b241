"""The feeds process, as the supervisor owns it: the process, its configuration, and the environment variables that it needs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from pdns.config.schema import Config
from pdns.confinement.confine import listens_low
from pdns.ipc.messages import Configure, Distrust, Message
from pdns.supervisor.child import Child
from pdns.supervisor.process_handle import ProcessHandle
from pdns.supervisor.restart_needed import variables_of_feeds

NAME: Final = "feeds"
_EXIT_S: Final = 1.0


class FeedsHandle(ProcessHandle):
    """One for each supervisor."""

    def __init__(self, config: Callable[[], Config], message: Callable[[], Configure]) -> None:
        """`config` and `message` return the live configuration, and what is sent with it."""
        super().__init__(config)
        self.heard: Callable[[Message], object] = lambda _: None  # called with each of its messages
        self._message = message
        self._child = Child(
            NAME,
            "feeds.refresh",
            self._loop,
            on_start=self._configure,
            on_message=lambda message: (self.heard(message), None)[1],
            on_exit=lambda: None,
            own_group=True,
        )
        self._child.variables = variables_of_feeds(config())

    def start(self) -> None:
        self._child.start()

    async def stop(self) -> None:
        await self._child.stop(None, _EXIT_S)

    async def restart(self) -> None:
        await self.stop()
        self.start()

    def distrust(self, generation: int) -> None:
        """Report a blockset that workers cannot use."""
        self._child.send(Distrust(generation))

    def send(self, message: Message) -> None:
        self._child.send(message)

    async def follow(self, before: Config) -> None:
        """Take up the live configuration, which replaces `before`."""
        config = self._config()
        if (variables := variables_of_feeds(config)) <= self._child.variables and listens_low(config) <= listens_low(before):
            self._configure()
        else:  # it has dropped the privilege for that, or never had it
            self._child.variables |= variables
            await self.restart()

    def _configure(self) -> None:
        self._send_configured(self._child, self._message())
