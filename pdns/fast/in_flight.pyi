from pdns.core import in_flight
from pdns.fast.fast_path import PendingQuery

class Flight(in_flight.Flight):
    @property
    def query(self) -> PendingQuery: ...

class InFlight(in_flight.InFlight): ...
