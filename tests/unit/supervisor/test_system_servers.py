"""The name servers of the machine as upstreams: followed, kept while the file is being written, never this resolver itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from pdns.config.watch import Loaded, load_version
from pdns.supervisor.system_servers import SystemServers

SYSTEM = '[server]\nlisten = ["127.0.0.1:53"]\n[upstream]\nservers = ["system"]\n'


class SystemUpstreams:
    """A configuration with `servers = ["system"]`, a resolv.conf, and a `SystemServers`."""

    def __init__(self, directory: Path, text: str = SYSTEM) -> None:
        self.path, self.resolv_conf = directory / "pdns.toml", directory / "resolv.conf"
        self.path.write_text(text)
        self.resolv_conf.write_text("nameserver 192.0.2.1\n")
        self.live = self.load()
        self.system = SystemServers(self.resolv_conf)

    def load(self) -> Loaded:
        return load_version(self.path, resolv_conf=self.resolv_conf)

    def followed(self) -> tuple[str, ...] | None:
        """The servers that are new, once the file has come to rest."""
        assert self.system.followed(self.live) is None, "not while it is being written"
        loaded = self.system.followed(self.live)
        return None if loaded is None else loaded.config.upstream.servers


def test_the_servers_of_the_machine_are_followed(tmp_path: Path) -> None:
    """Another name server is another upstream, while everything else stays, though the configuration is half edited."""
    upstreams = SystemUpstreams(tmp_path)
    upstreams.resolv_conf.write_text("# by DHCP\nsearch example.net\nnameserver 192.0.2.1\n")
    assert upstreams.followed() is None, "the same servers"
    upstreams.path.write_text("being edited [")
    upstreams.resolv_conf.write_text("nameserver 192.0.2.2\nnameserver 192.0.2.3\n")
    assert upstreams.followed() == ("udp://192.0.2.2:53", "udp://192.0.2.3:53")


def test_a_link_that_is_swapped_is_followed(tmp_path: Path) -> None:
    """As systemd-resolved and resolvconf do it."""
    upstreams = SystemUpstreams(tmp_path)
    (tmp_path / "other").write_text("nameserver 192.0.2.2\n")
    (tmp_path / "link").symlink_to("other")
    (tmp_path / "link").replace(upstreams.resolv_conf)
    assert upstreams.followed() == ("udp://192.0.2.2:53",)


@pytest.mark.parametrize("text", [None, "", "search example.net\n", "nameserver nonsense\n"])
def test_servers_stay_while_the_machine_names_none(tmp_path: Path, text: str | None) -> None:
    """A resolv.conf that is away, empty or half written changes nothing, nor when the configuration is loaded meanwhile."""
    elsewhere = SYSTEM.replace(":53", ":5300")
    upstreams = SystemUpstreams(tmp_path, elsewhere)
    upstreams.resolv_conf.unlink()
    if text is not None:
        upstreams.resolv_conf.write_text(text)
    assert upstreams.followed() is None
    upstreams.path.write_text(elsewhere + "timeout_s = 3.0\n")
    upstream = upstreams.system.kept(upstreams.load(), upstreams.live).config.upstream
    assert (upstream.servers, upstream.timeout_s) == (("udp://192.0.2.1:53",), 3.0)
    upstreams.path.write_text(elsewhere.replace("system", "192.0.2.9"))
    assert upstreams.system.kept(upstreams.load(), upstreams.live).config.upstream.servers == ("udp://192.0.2.9:53",)
    upstreams.resolv_conf.write_text("nameserver 192.0.2.4\n")
    assert upstreams.followed() == ("udp://192.0.2.4:53",)


def test_this_resolver_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It would ask itself: said in the log. When there is no other server, those before stay."""
    upstreams = SystemUpstreams(tmp_path)
    upstreams.system.warn(upstreams.live)
    assert not caplog.records
    upstreams.resolv_conf.write_text("nameserver 127.0.0.1\nnameserver 192.0.2.2\n")
    assert upstreams.followed() == ("udp://192.0.2.2:53",)
    assert "names udp://127.0.0.1:53, which is this resolver: left out" in caplog.text
    upstreams.resolv_conf.write_text("nameserver 127.0.0.1\n")
    assert upstreams.followed() is None
    assert "still forwarding to udp://192.0.2.1:53" in caplog.text


def test_servers_that_are_configured_follow_nothing(tmp_path: Path) -> None:
    """Where the configuration names its upstreams itself, resolv.conf is of no interest."""
    upstreams = SystemUpstreams(tmp_path, SYSTEM.replace("system", "192.0.2.9"))
    upstreams.resolv_conf.write_text("nameserver 192.0.2.2\n")
    assert upstreams.followed() is None
