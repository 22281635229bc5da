"""The contract of the web events and their tokens, for the models."""

from __future__ import annotations

from sqlglot.expressions import Column
from sqlmesh import macro
from sqlmesh.core.macros import MacroEvaluator

from benchmarks.work.contract import staged


@macro()  # type: ignore[untyped-decorator] # belongs to the peer's environment
def judged_events(evaluator: MacroEvaluator) -> str:
    """Every bronze row with its types, and the rules that it breaks."""
    return staged(f"read_parquet('{evaluator.var('bronze')}')")


@macro()  # type: ignore[untyped-decorator]
def token(evaluator: MacroEvaluator, column: Column) -> str:
    """HMAC-SHA256 in hexadecimal; null stays null."""
    inner, outer = evaluator.var("inner_pad"), evaluator.var("outer_pad")
    hashed = f"sha256(unhex('{inner}') || encode({column.sql(dialect='duckdb')}))"
    return f"sha256(unhex('{outer}') || unhex({hashed}))"
