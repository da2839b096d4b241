"""dnsdist: a load balancer with a packet cache and rules; the list is a SuffixMatchNode."""

from __future__ import annotations

from loadtest.peers.peer import CACHED_ANSWERS, EDNS_BYTES, SINKHOLE, EncryptedListen, Peer, Setup, find


def _configure(setup: Setup) -> list[str]:
    lines = [
        f'setLocal("{setup.listen}")  -- without reusePort and a second call: one thread receives, as one core is measured',
        'setACL("127.0.0.0/8")',
        "setSecurityPollSuffix('')  -- does not ask the internet for its own security status",
        f'newServer({{address="{setup.upstream}", useClientSubnet=false}})',
        f"pc = newPacketCache({CACHED_ANSWERS}, {{maxTTL=86400, numberOfShards=1}})  -- holds all; one shard for one thread",
        'getPool(""):setCache(pc)  -- there is no cache unless a pool is given one',
        f"setPayloadSizeOnSelfGeneratedAnswers({EDNS_BYTES})",
        "setVerboseHealthChecks(false)",
    ]
    if setup.listed is not None:
        names = setup.write("names.txt", setup.listed_names())
        lines += [
            "blocked = newSuffixMatchNode()  -- a name and all below it in one look-up; what its documentation advises for lists",
            f'for name in io.lines("{names}") do blocked:add(newDNSName(name)) end',
            f'addAction(SuffixMatchNodeRule(blocked, true), SpoofAction("{SINKHOLE}", {{ttl=60}}))  -- quiet: not printed whole',
        ]
    if setup.encrypted is not None:
        lines += _encrypted(setup.encrypted)
    config = setup.write("dnsdist.conf", lines)
    return ["--supervised", "--disable-syslog", "-C", str(config)]  # in the foreground, without a console


def _encrypted(listen: EncryptedListen) -> list[str]:
    files = f'"{listen.certificate}", "{listen.key}"'
    return [
        "setMaxTCPClientThreads(1)  -- one core is measured",
        f'addTLSLocal("{listen.tls}", {files}, {{maxInFlight=1000, provider="openssl"}})  -- else one query after the other',
        f'addDOHLocal("{listen.https}", {files}, "/dns-query")',
    ]


def _check(setup: Setup) -> list[str]:
    return [find("dnsdist") or "dnsdist", "--check-config", "-C", str(setup.directory / "dnsdist.conf")]


PEER = Peer(
    name="dnsdist",
    package="dnsdist",
    program="dnsdist",
    version_arguments=("--version",),
    list_form="SuffixMatchNode with SpoofAction",
    configure=_configure,
    check=_check,
    encrypted=("tls", "https"),
)
