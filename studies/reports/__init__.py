"""Tells a study as one offline page."""

from studies.reports.report import write_report

__all__ = ["write_report"]
