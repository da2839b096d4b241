"""Panels that ask ClickHouse, through the plug-in `grafana-clickhouse-datasource`."""

from __future__ import annotations

from typing import Any, Final, Self

from grafana_foundation_sdk.builders import bargauge, common, stat, table, timeseries
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models import common as common_models
from grafana_foundation_sdk.models import dashboard as models

CLICKHOUSE: Final = models.DataSourceRef(type_val="grafana-clickhouse-datasource", uid="${clickhouse}")
TIME_SERIES, TABLE = 0, 1


class SqlQuery(Dataquery, Builder[Dataquery]):
    """One SQL query. The SDK has no model of it."""

    def __init__(self, text: str, form: int = TABLE) -> None:
        self.text = " ".join(text.split())
        self.form = form
        self.ref_id = ""

    def build(self) -> Self:
        return self

    def to_json(self) -> dict[str, object]:
        return {
            "datasource": CLICKHOUSE,
            "editorType": "sql",
            "format": self.form,
            "queryType": "table" if self.form == TABLE else "timeseries",
            "rawSql": self.text,
            "refId": self.ref_id,
        }


def sql_stat(text: str) -> Any:
    """One number."""
    panel = stat.Panel().graph_mode(common_models.BigValueGraphMode.NONE).color_mode(common_models.BigValueColorMode.VALUE)
    panel = panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    return panel.datasource(CLICKHOUSE).with_target(SqlQuery(text))


def sql_graph(text: str) -> Any:
    """Columns over the first one, a time."""
    legend = common.VizLegendOptions().display_mode(common_models.LegendDisplayMode.LIST).show_legend(True)
    legend = legend.placement(common_models.LegendPlacement.BOTTOM).calcs(["sum"])
    panel = timeseries.Panel().legend(legend).line_width(1).fill_opacity(30).min(0)
    panel = panel.draw_style(common_models.GraphDrawStyle.BARS).show_points(common_models.VisibilityMode.NEVER)
    panel = panel.color_scheme(build.FieldColor().mode(models.FieldColorModeId.PALETTE_CLASSIC))
    return panel.datasource(CLICKHOUSE).with_target(SqlQuery(text, TIME_SERIES))


def sql_bars(text: str, most: int = 12) -> Any:
    """A bar for each row: a name and a number."""
    panel = bargauge.Panel().orientation(common_models.VizOrientation.HORIZONTAL).min(0).show_unfilled(False)
    panel = panel.reduce_options(common.ReduceDataOptions().values(True).limit(most).calcs([]))
    return panel.datasource(CLICKHOUSE).with_target(SqlQuery(text))


def sql_table(text: str, units: dict[str, str] | None = None) -> Any:
    """The rows as they are."""
    panel = table.Panel().footer(common.TableFooterOptions().enable_pagination(True))
    for column, unit in (units or {}).items():
        panel = panel.override_by_name(column, [models.DynamicConfigValue(id_val="unit", value=unit)])
    return panel.datasource(CLICKHOUSE).with_target(SqlQuery(text))
