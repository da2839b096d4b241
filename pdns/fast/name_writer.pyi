from collections.abc import Callable, Sequence

from pdns.blockset.name_table import NameHash
from pdns.blockset.name_writer import NamesFile, Stretches

def write_names(read: Callable[[], Stretches], seed: NameHash, records: Sequence[int], common: int) -> NamesFile: ...
