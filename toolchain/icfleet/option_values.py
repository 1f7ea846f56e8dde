"""The words that options take, apart from the code that acts on them, which is slow to load."""

from typing import Literal

__all__ = ["ExecutorName", "LintFormat", "LogFormat", "LogLevel"]

ExecutorName = Literal["inprocess", "process"]
LintFormat = Literal["text", "json", "github"]
LogFormat = Literal["console", "json"]
LogLevel = Literal["debug", "info", "warning", "error"]
