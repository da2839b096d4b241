from pdns.core import in_flight
from pdns.fast.fast_path import Asked

class Flight(in_flight.Flight):
    @property
    def query(self) -> Asked: ...

class Flights(in_flight.Flights): ...
