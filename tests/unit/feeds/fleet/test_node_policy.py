"""Policy bundles on a node: what a publisher that is taken over cannot do with one."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.feeds.configs import blockers
from tests.unit.feeds.fleet.smallnode import SmallNode
from tests.unit.feeds.fleet.smallpublisher import SmallPublisher, text_of


@pytest.fixture
def publisher(tmp_path: Path) -> SmallPublisher:
    return SmallPublisher(tmp_path / "publisher")


@pytest.fixture
def node(tmp_path: Path, publisher: SmallPublisher) -> SmallNode:
    return SmallNode(tmp_path / "node", publisher.store.as_uri(), publisher.root_file)


@pytest.fixture
def asked() -> Iterator[list[bytes]]:
    """What a server on `asked[0]` was asked."""
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        heard.append(b"%d" % server.getsockname()[1])

        def answer() -> None:
            while True:
                try:
                    client, _ = server.accept()
                except OSError:
                    return
                with client:
                    heard.append(client.recv(4096))

        threading.Thread(target=answer, daemon=True).start()
        yield heard
        server.shutdown(socket.SHUT_RDWR)


def test_a_feed_of_a_bundle_comes_from_the_release_only(
    tmp_path: Path, publisher: SmallPublisher, node: SmallNode, asked: list[bytes]
) -> None:
    """A bundle that says where a feed comes from, and which secret file proves who asks, is refused before anything is asked;
    the names of the release are blocked.
    """
    (tmp_path / "secret").write_text("of this machine")
    usual = publisher.policy
    hostile = f'url = "http://127.0.0.1:{asked[0].decode()}/x"\ntoken_file = "{tmp_path / "secret"}"\n'

    async def run() -> None:
        async with node.started():
            publisher.publish({"a": text_of("one.example")})
            await node.until(lambda: node.status.release == 1)
            publisher.policy = f'[[feed]]\nname = "a"\n{hostile}'
            publisher.publish({"a": text_of("one.example", "two.example")})
            await node.until(lambda: node.status.release == 2)
            assert "url: expected fleet:a in a policy bundle" in node.status.bundle_error
            assert "token_file: is for the publisher" in node.status.bundle_error
            assert blockers(node.state_dir, "two.example") == {"a"}
            publisher.policy = usual
            publisher.publish({"a": text_of("two.example")})
            await node.until(lambda: node.status.release == 3)
            assert node.status.bundle_error == ""

    asyncio.run(run())
    assert len(asked) == 1
