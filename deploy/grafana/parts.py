"""The parts that all dashboards are made of: panels with one look, variables, links and annotations.

Every panel needs a description: what it shows, what is normal, and what to do when it is not. Spans are columns of 24.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from grafana_foundation_sdk.builders import bargauge, common, heatmap, prometheus, stat, statetimeline, table, timeseries
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import common as common_models
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

PROMETHEUS: Final = models.DataSourceRef(type_val="prometheus", uid="${datasource}")
TAG: Final = "pdns"
NODE: Final = 'instance=~"$node"'

GOOD: Final = "green"
NEUTRAL: Final = "blue"
WARN: Final = "orange"
BAD: Final = "red"

Steps = Sequence[tuple[float | None, str]]
Graph = stat.Panel | timeseries.Panel | table.Panel | heatmap.Panel | statetimeline.Panel | bargauge.Panel
OK_AT_ZERO: Final[Steps] = ((None, GOOD), (1, BAD))
PLAIN: Final[Steps] = ((None, NEUTRAL),)


def top(by: str, metric: str, selector: str, most: int = 10) -> str:
    """The rates of a counter for the `most` largest values of `by` over the whole range: always the same lines.

    A plain `topk` chooses anew at each step, so a graph over a week could have hundreds of lines.
    """
    largest = f"topk({most}, sum by ({by}) (increase({metric}{{{selector}}}[$__range] @ end())))"
    return f"sum by ({by}) (rate({metric}{{{selector}}}[$__rate_interval])) and on ({by}) {largest}"


def ratio(part: str, whole: str) -> str:
    """A quotient that is 0 where nothing was counted."""
    return f"{part} / clamp_min({whole}, 1e-9)"


def query(expr: str, legend: str = "__auto", *, at_once: bool = False, form: str = "time_series") -> prometheus.Dataquery:
    """One PromQL query. `at_once`: the value now, not a range."""
    made = prometheus.Dataquery().expr(expr).legend_format(legend).format(PromQueryFormat(form)).datasource(PROMETHEUS)
    return made.instant() if at_once else made.range()


def thresholds(steps: Steps) -> build.ThresholdsConfig:
    parts = [models.Threshold(value=value, color=color) for value, color in steps]
    return build.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(parts)


def state_names(names: dict[str, tuple[str, str]]) -> list[models.ValueMapping]:
    """Words and colours for values: `{"1": ("ready", GOOD)}`."""
    options = {
        value: models.ValueMappingResult(text=text, color=color, index=at)
        for at, (value, (text, color)) in enumerate(names.items())
    }
    return [models.ValueMap(options=options)]


def _no_traffic() -> list[models.ValueMapping]:
    """A quantile of nothing is NaN."""
    nothing = models.ValueMappingResult(text="-", color="text", index=0)
    match = models.SpecialValueMatch.NULL_AND_NAN
    return [models.SpecialValueMap(options=models.DashboardSpecialValueMapOptions(match=match, result=nothing))]


class Board:
    """One dashboard, filled from left to right and from top to bottom."""

    def __init__(self, uid: str, title: str, description: str, *, since: str = "now-24h") -> None:
        self.uid = uid
        self._id = 0
        self._build = (
            build.Dashboard(title)
            .uid(uid)
            .description(description)
            .tags([TAG])
            .timezone("browser")
            .time(since, "now")
            .refresh("1m")
            .readonly()
            .tooltip(models.DashboardCursorSync.CROSSHAIR)
            .link(_links())
        )

    def made(self) -> models.Dashboard:
        return self._build.build()

    def row(self, title: str) -> None:
        self._id += 1
        self._build.with_row(build.Row(title).id(self._id))

    def variable(self, variable: Builder[models.VariableModel]) -> None:
        self._build.with_variable(variable)

    def sources(self, kind: str = "prometheus", uid: str = "pdns-prometheus", name: str = "datasource") -> None:
        """The choice of a data source; `uid` is that of deploy/grafana/provisioning."""
        chosen = models.VariableOption(selected=True, text=uid, value=uid)
        self.variable(build.DatasourceVariable(name).label("Data source").type(kind).current(chosen))

    def selection(
        self, name: str, label: str, values: str, *, several: bool = True, source: models.DataSourceRef = PROMETHEUS
    ) -> None:
        """A variable: the values of a label, or the rows of a SQL query."""
        asked: str | dict[str, object] = values
        if source is PROMETHEUS:
            asked = {"query": values, "refId": f"variable-{name}", "qryType": 1}
        made = build.QueryVariable(name).label(label).query(asked).datasource(source)
        made = (
            made.refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED).sort(models.VariableSort.ALPHABETICAL_ASC).multi(several)
        )
        if several:
            every = models.VariableOption(selected=True, text=["All"], value=["$__all"])
            made = made.include_all(True).current(every)
            if source is PROMETHEUS:
                made = made.all_value(".+")
        self.variable(made)

    def text_box(self, name: str, label: str) -> None:
        """A variable that people type; empty at first."""
        self.variable(
            build.TextBoxVariable(name).label(label).default_value("").current(models.VariableOption(text="", value=""))
        )

    def nodes(self) -> None:
        self.selection("node", "Node", "label_values(pdns_ready, instance)")

    def annotation(self, name: str, color: str, expr: str) -> None:
        self._build.annotation(
            build.AnnotationQuery().name(name).datasource(PROMETHEUS).icon_color(color).enable(True).expr(expr)
        )

    def changes(self) -> None:
        """Marks where the configuration, the blockset or the program changed."""
        for name, color, expr in (
            ("configuration", "purple", f"changes(pdns_config_last_reload_success_timestamp_seconds{{{NODE}}}[2m]) > 0"),
            ("blockset", "semi-dark-blue", f"changes(pdns_blockset_generation{{{NODE}}}[2m]) > 0"),
            ("start", "dark-red", f'changes(pdns_process_start_time_seconds{{process="supervisor", {NODE}}}[2m]) > 0'),
        ):
            self.annotation(name, color, expr)

    # Panels.

    def stat(
        self, title: str, text: str, expr: str, *, unit: str = "short", span: int = 3, height: int = 4, steps: Steps = PLAIN,
        names: dict[str, tuple[str, str]] | None = None, decimals: int | None = None, trend: bool = False, link: str = "",
    ) -> None:  # fmt: skip
        """One number. `trend`: with its graph over the range."""
        graph = common_models.BigValueGraphMode.AREA if trend else common_models.BigValueGraphMode.NONE
        panel = stat.Panel().graph_mode(graph).color_mode(common_models.BigValueColorMode.VALUE)
        panel = panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        panel = panel.mappings(state_names(names) if names else _no_traffic())
        if decimals is not None:
            panel = panel.decimals(decimals)
        if link:
            panel = panel.data_links([build.DashboardLink("Details").url(link)])
        self._put(panel.with_target(query(expr, at_once=not trend)), title, text, unit, span, height, steps)

    def graph(
        self, title: str, text: str, *queries: tuple[str, str], unit: str = "short", span: int = 12, height: int = 8,
        steps: Steps = PLAIN, stacked: bool = False, line: bool = False, most: float | None = None, log: bool = False,
    ) -> None:  # fmt: skip
        """Lines over time. `queries`: expression and legend. `line`: shows the thresholds. `log`: a logarithmic axis."""
        legend = common.VizLegendOptions().display_mode(common_models.LegendDisplayMode.TABLE).show_legend(True)
        legend = legend.placement(common_models.LegendPlacement.BOTTOM).calcs(["mean", "max", "lastNotNull"])
        tooltip = common.VizTooltipOptions().mode(common_models.TooltipDisplayMode.MULTI).sort(common_models.SortOrder.DESCENDING)
        panel = timeseries.Panel().legend(legend).tooltip(tooltip).line_width(1).fill_opacity(40 if stacked else 8)
        panel = panel.show_points(common_models.VisibilityMode.NEVER)
        panel = panel.color_scheme(build.FieldColor().mode(models.FieldColorModeId.PALETTE_CLASSIC))
        if not log:
            panel = panel.min(0)
        if most is not None:
            panel = panel.max(most)
        if stacked:
            panel = panel.stacking(common.StackingConfig().mode(common_models.StackingMode.NORMAL).group("A"))
        if log:
            panel = panel.scale_distribution(common.ScaleDistributionConfig().type(common_models.ScaleDistribution.LOG).log(10))
        if line:
            style = common.GraphThresholdsStyleConfig().mode(common_models.GraphTresholdsStyleMode.DASHED)
            panel = panel.thresholds_style(style)
        for expr, legend_format in queries:
            panel = panel.with_target(query(expr, legend_format))
        self._put(panel, title, text, unit, span, height, steps)

    def bars(
        self, title: str, text: str, expr: str, legend: str, *, unit: str = "short", span: int = 12, height: int = 8,
        steps: Steps = PLAIN, link: str = "",
    ) -> None:  # fmt: skip
        """One bar for each series, as it is now."""
        panel = bargauge.Panel().orientation(common_models.VizOrientation.HORIZONTAL).min(0).show_unfilled(False)
        panel = panel.display_mode(common_models.BarGaugeDisplayMode.BASIC)
        panel = panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        if unit == "short":
            panel = panel.decimals(0)
        if link:
            panel = panel.data_links([build.DashboardLink("Details").url(link)])
        self._put(panel.with_target(query(expr, legend, at_once=True)), title, text, unit, span, height, steps)

    def states(
        self, title: str, text: str, expr: str, legend: str, names: dict[str, tuple[str, str]], *, span: int = 12, height: int = 6
    ) -> None:
        """States over time, one line each."""
        panel = statetimeline.Panel().mappings(state_names(names)).merge_values(True).fill_opacity(80)
        panel = panel.show_value(common_models.VisibilityMode.NEVER).row_height(0.8)
        self._put(panel.with_target(query(expr, legend)), title, text, "short", span, height, PLAIN)

    def latency(self, title: str, text: str, expr: str, *, span: int = 12, height: int = 9) -> None:
        """A heat map of the buckets of a histogram."""
        from grafana_foundation_sdk.builders.heatmap import HeatmapColorOptions, YAxisConfig  # noqa: PLC0415

        colors = HeatmapColorOptions().mode(HeatmapColorMode.SCHEME).scheme("Oranges").steps(64)
        panel = heatmap.Panel().calculate(False).color(colors).y_axis(YAxisConfig().unit("s"))
        self._put(panel.with_target(query(expr, "{{le}}", form="heatmap")), title, text, "short", span, height, PLAIN)

    def table(
        self, title: str, text: str, key: str, columns: dict[str, str], *, units: dict[str, str] | None = None, sort: str = "",
        span: int = 24, height: int = 10, link: str = "",
    ) -> None:  # fmt: skip
        """One row for each value of the label `key`; a column for each query."""
        panel = table.Panel().footer(common.TableFooterOptions().enable_pagination(True))
        names = dict(zip((f"Value #{chr(ord('A') + at)}" for at in range(len(columns))), columns, strict=True))
        for ref, expr in zip("ABCDEFGHIJKLMNOP", columns.values(), strict=False):
            panel = panel.with_target(query(expr, at_once=True, form="table").ref_id(ref))
        panel = panel.with_transformation(models.DataTransformerConfig(id_val="merge", options={}))
        shown = {"excludeByName": {"Time": True}, "renameByName": names}
        panel = panel.with_transformation(models.DataTransformerConfig(id_val="organize", options=shown))
        if sort:
            panel = panel.sort_by([common.TableSortByFieldState().display_name(sort).desc(True)])
        for column, unit in (units or {}).items():
            panel = panel.override_by_name(column, [models.DynamicConfigValue(id_val="unit", value=unit)])
        if link:
            target = [{"title": "Details", "url": link}]
            panel = panel.override_by_name(key, [models.DynamicConfigValue(id_val="links", value=target)])
        self._put(panel.decimals(0), title, text, "short", span, height, PLAIN)

    def sql(self, panel: Graph, title: str, text: str, unit: str, span: int, height: int) -> None:
        """A panel of deploy/grafana/sql.py."""
        self._put(panel, title, text, unit, span, height, PLAIN, source=None)

    def _put(
        self, panel: Graph, title: str, text: str, unit: str, span: int, height: int, steps: Steps,
        source: models.DataSourceRef | None = PROMETHEUS,
    ) -> None:  # fmt: skip
        self._id += 1
        filled: Any = panel.id(self._id).title(title).description(text).span(span).height(height)
        filled = filled.unit(unit).thresholds(thresholds(steps))
        if source is not None:
            filled = filled.datasource(source)
        self._build.with_panel(filled)


def _links() -> build.DashboardLink:
    links = build.DashboardLink("pdns").type(models.DashboardLinkType.DASHBOARDS).tags([TAG])
    return links.as_dropdown(False).include_vars(True).keep_time(True)
