from pdns.core import query

class Query(query.Query):
    """In all that Python sees, the query of the specification."""

def parse_query(wire: bytes) -> Query: ...
def error_reply(wire: bytes) -> bytes | None: ...
