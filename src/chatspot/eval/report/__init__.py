"""The bench's report: one self-contained page of a run or of a comparison, a pure function of predictions files."""

from chatspot.eval.report.page import report_page, write_report

__all__ = ["report_page", "write_report"]
