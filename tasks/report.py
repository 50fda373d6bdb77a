"""Steps that ask the tables and show the answers."""

from labelop.landing.store import Store
from labelop.queries import open_session
from labelop.queries import run_checks as _run_checks
from labelop.report.page import write_report as _write_report
from labelop.report.tables import ReportTable, summary_tables
from tasks.binding import step


def _tables(store: Store) -> list[ReportTable]:
    return summary_tables(open_session(store))


run_checks = step(_run_checks, name="run-checks")
write_report = step(_write_report, name="write-report")
gather_tables = step(_tables, name="gather-tables")
