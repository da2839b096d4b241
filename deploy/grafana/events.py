from deploy.grafana.parts import Board


def board() -> Board:
    return Board("pdns-events", "x", "y")
