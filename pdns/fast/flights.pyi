from pdns.core import flights
from pdns.fast.front import Asked

class Flight(flights.Flight):
    @property
    def query(self) -> Asked: ...

class Flights(flights.Flights): ...
