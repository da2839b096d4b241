from pdns.core import flights
from pdns.core.query import Query

class Flight(flights.Flight):
    @property
    def query(self) -> Query: ...

class Flights(flights.Flights): ...
