from pdns.config.schema import Cache
from pdns.core.entry import Entry

def plain_entry(
    wire: bytes, key: bytes, config: Cache, do: bool, now: float, rules_epoch: int
) -> tuple[Entry, list[bytes]] | None: ...
