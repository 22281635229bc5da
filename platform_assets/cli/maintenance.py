"""`platform-assets maintenance`: what the platform does to its tables every night, by hand."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from platform_assets.cli.output import AsJson, failure, rich_table, settings_here, show

if TYPE_CHECKING:
    from platform_assets.lakehouse.maintenance.work import Job, Maintenance, Outcome

maintenance_app = typer.Typer(
    help="Keep tables quick and small: small files, old snapshots, orphan files, partitions that are over their time. "
    "Without a command all of it, as the platform does every night (docs/guides/maintenance.md).",
    invoke_without_command=True,
    pretty_exceptions_show_locals=False,
)
Tables = Annotated[list[str] | None, typer.Option("--table", help="Only this `layer.table`; may be given again.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only tell what would be done.")]
_INTERRUPTED = 130


@maintenance_app.callback()
def everything(
    context: typer.Context, *, table: Tables = None, dry_run: DryRun = False, as_json: AsJson = False
) -> None:
    """All of it, in this order: retention, compact, expire, orphans."""
    if context.invoked_subcommand is None:
        from platform_assets.lakehouse.maintenance.work import Job

        _run(tuple(Job), table, dry_run=dry_run, as_json=as_json)


@maintenance_app.command()
def compact(*, table: Tables = None, dry_run: DryRun = False, as_json: AsJson = False) -> None:
    """Merge the small files of every partition that has several; the rows stay as they are."""
    from platform_assets.lakehouse.maintenance.work import Job

    _run((Job.COMPACT,), table, dry_run=dry_run, as_json=as_json)


@maintenance_app.command()
def expire(*, table: Tables = None, dry_run: DryRun = False, as_json: AsJson = False) -> None:
    """Take out snapshots that were superseded PLATFORM_SNAPSHOT_DAYS ago."""
    from platform_assets.lakehouse.maintenance.work import Job

    _run((Job.EXPIRE,), table, dry_run=dry_run, as_json=as_json)


@maintenance_app.command()
def orphans(*, table: Tables = None, dry_run: DryRun = False, as_json: AsJson = False) -> None:
    """Remove files that no snapshot names and that are older than PLATFORM_ORPHAN_DAYS."""
    from platform_assets.lakehouse.maintenance.work import Job

    _run((Job.ORPHANS,), table, dry_run=dry_run, as_json=as_json)


@maintenance_app.command()
def retention(*, table: Tables = None, dry_run: DryRun = False, as_json: AsJson = False) -> None:
    """Take out partitions that are older than their source or model declares; never of bronze."""
    from platform_assets.lakehouse.maintenance.work import Job

    _run((Job.RETENTION,), table, dry_run=dry_run, as_json=as_json)


@maintenance_app.command()
def lifecycle(
    *,
    apply: Annotated[bool, typer.Option("--apply", help="Give the buckets the rules; others of theirs stay.")] = False,
    as_json: AsJson = False,
) -> None:
    """The storage class of objects by their age, as rules of the buckets (Cloud Storage; a disk has no classes)."""
    from google.cloud.exceptions import GoogleCloudError

    from platform_assets.lakehouse.maintenance.lifecycle import apply_storage_rules, as_gcs, storage_rules

    settings = settings_here()
    rules = storage_rules(settings)
    try:
        kept = apply_storage_rules(settings) if apply else []
    except GoogleCloudError as error:
        raise failure(f"The rules could not be given to the buckets: {error}") from None
    if as_json:
        typer.echo(json.dumps([{"bucket": rule.bucket, **as_gcs(rule)} for rule in rules], indent=2))
    else:
        show(rich_table("Storage classes by age", [vars(rule) for rule in rules]))
        if settings.resolved_warehouse.startswith("file:"):
            typer.echo(
                "The tables lie on a disk, which has no storage classes: the rules are for what landed.", err=True
            )
    if apply and len(kept) < len(rules):
        raise failure(
            f"Only {len(kept)} of {len(rules)} rules are told by the buckets afterwards: they were not taken."
        )


def _run(jobs: Sequence[Job], only: Sequence[str] | None, *, dry_run: bool, as_json: bool) -> None:
    from platform_assets.ingestion.ledger import Ledger
    from platform_assets.lakehouse.catalog import Lakehouse
    from platform_assets.lakehouse.maintenance.work import maintenance_of

    settings = settings_here()
    lakehouse = Lakehouse(settings)
    known = lakehouse.tables()
    for name in only or ():
        if name not in known:
            raise failure(f"{name} is no published table; expected one of {', '.join(known) or 'none yet'}")
    work = maintenance_of(lakehouse, Ledger(settings).announced, dry_run=dry_run)
    done: dict[str, list[Outcome]] = {}
    try:
        for job in jobs:
            done[job.value] = _one(work, job, only or ())
    except KeyboardInterrupt:
        typer.echo("Stopped. What was told is done; the table in between is as it was.", err=True)
        raise typer.Exit(_INTERRUPTED) from None
    if as_json:
        told = {job: [outcome.as_json() for outcome in outcomes] for job, outcomes in done.items()}
        typer.echo(json.dumps(told, indent=2))
    else:
        _show(done, dry_run=dry_run)
    if any(outcome.error for outcomes in done.values() for outcome in outcomes):
        raise failure("Some tables could not be maintained; see above. All others are done.")


def _one(work: Maintenance, job: Job, only: Sequence[str]) -> list[Outcome]:
    """One job, told table by table on the error output while it goes on."""
    outcomes = []
    count = len([name for name in work.tables(job) if not only or name in only])
    for number, outcome in enumerate(work.run(job, only), start=1):
        outcomes.append(outcome)
        if outcome.worth_telling:
            typer.echo(f"{job.value} {number}/{count} {outcome.table}: {_in_words(outcome)}", err=True)
    return outcomes


def _show(done: dict[str, list[Outcome]], *, dry_run: bool) -> None:
    for job, outcomes in done.items():
        rows = [{"table": o.table, **o.figures, "told": o.note} for o in outcomes if o.worth_telling]
        if rows:
            show(rich_table(f"{job} (not done)" if dry_run else job, rows))
        else:
            typer.echo(f"{job}: nothing to do in {len(outcomes)} tables.")


def _in_words(outcome: Outcome) -> str:
    return outcome.note or ", ".join(f"{name} {number}" for name, number in outcome.figures.items())
