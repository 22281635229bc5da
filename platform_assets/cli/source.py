"""`platform-assets source …`: from a sample to a source that runs (S1-65 to S1-68, S1-89)."""

from __future__ import annotations

import getpass
import json
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from platform_assets.cli.output import AsJson, failure, rich_table, settings_here, show
from platform_assets.sources.pattern import Pattern

if TYPE_CHECKING:
    from platform_assets.operations.onboarding.trial import Trial
    from platform_assets.sources.model import Source

source_app = typer.Typer(
    help="Onboard a source: `new`, `validate`, `test`, `deploy`. A source is a folder with a YAML and a JSON Schema.",
    no_args_is_help=True,
)
Which = Annotated[str, typer.Argument(help="A source's name, or the path of its folder or file.")]
_MARKS = {"done": "green", "unchanged": "green", "not needed": "dim", "waiting": "yellow", "failed": "red"}


@source_app.command()
def new(
    name: Annotated[str, typer.Argument(help="Lower-case letters, digits and underscores: `stripe_payments`.")],
    *,
    pattern: Annotated[Pattern, typer.Option(help="How the data arrives.")] = Pattern.BATCH_FILE,
    sample: Annotated[
        Path | None,
        typer.Option(
            "--from", help="A file of records (CSV, JSON, Parquet, Avro, gzip) to tell the schema from.", exists=True
        ),
    ] = None,
    connector_type: Annotated[
        str | None, typer.Option(help="webhook, sftp or database_query, which have a template of their own.")
    ] = None,
    table: Annotated[list[str] | None, typer.Option(help="Of a replicated database; may be given again.")] = None,
    owner: Annotated[
        str, typer.Option(help="Who answers for it: an e-mail address or `team:name`.")
    ] = "team:data-platform",
    domain: Annotated[str, typer.Option(help="The group of tables that it belongs to.")] = "platform",
    as_json: AsJson = False,
) -> None:
    """Write the folder of a new source: its file, its schema, an excerpt of the sample without personal data."""
    from platform_assets.operations.onboarding.new import new_source
    from platform_assets.sources.yaml_file import SourceError

    try:
        written = new_source(
            settings_here().sources,
            name,
            pattern,
            sample=sample,
            owner=owner,
            domain=domain,
            connector_type=connector_type,
            tables=table or (),
        )
    except SourceError as error:
        raise failure(str(error)) from None
    if as_json:
        files = [str(file) for file in written.files]
        typer.echo(json.dumps({"folder": str(written.folder), "files": files, "next": written.next_command}, indent=2))
        return
    for file in written.files:
        typer.echo(f"wrote {file}")
    typer.echo(f"Read source.yaml: what a person has to decide is marked. Then: {written.next_command}")


@source_app.command()
def validate(
    which: Annotated[str | None, typer.Argument(help="A source's name, or a path; without it all of them.")] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Check source files: every problem with its line, what was expected, the nearest right word."""
    from platform_assets.operations.onboarding.validate import validated

    found = validated(settings_here().sources if which is None else folder_of(which), every=which is None)
    if as_json:
        typer.echo(json.dumps([result.as_json() for result in found], indent=2))
    else:
        for result in found:
            for problem in result.problems:
                typer.secho(problem, fg=typer.colors.RED, err=True)
        right = [result.source for result in found if not result.problems]
        typer.echo(f"{len(right)} of {len(found)} right{': ' + ', '.join(right) if right else ''}")
    if any(result.problems for result in found):
        raise typer.Exit(1)


@source_app.command("test")
def try_out(
    which: Which,
    *,
    sample: Annotated[
        list[Path] | None,
        typer.Option(help="Files as the source drops them; by default those of its `sample` folder.", exists=True),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Dry run: the sample through the real reading, conforming and publishing, in a scratch lakehouse."""
    from tempfile import TemporaryDirectory

    from platform_assets.operations.onboarding.made_up import write_made_up
    from platform_assets.operations.onboarding.trial import samples_of, try_source
    from platform_assets.sources.registry import load_folder
    from platform_assets.sources.yaml_file import SourceError

    settings = settings_here()
    try:
        sources = _named(which) or load_folder(folder_of(which))
    except SourceError as error:
        raise failure(str(error)) from None
    trials = []
    with TemporaryDirectory() as scratch:
        for source in sources:
            files = sample or samples_of(source) or [write_made_up(source, Path(scratch))]
            trials.append(try_source(settings, source, files))
    if as_json:
        typer.echo(json.dumps([asdict(trial) | {"passed": trial.passed} for trial in trials], indent=2))
    else:
        for trial in trials:
            _show_trial(trial)
    if not all(trial.passed for trial in trials):
        raise typer.Exit(1)


@source_app.command()
def deploy(which: Which, *, as_json: AsJson = False) -> None:
    """Bring a source to life: topic, connector, tables, schema, freshness, alerts. Again is harmless."""
    from rich.console import Console

    from platform_assets.operations.onboarding.deploy import deploy as steps_of
    from platform_assets.sources.yaml_file import SourceError

    console = Console(stderr=as_json, soft_wrap=True)
    taken = []
    try:
        for step in steps_of(settings_here(), folder_of(which)):
            taken.append(step)
            console.print(f"{step.number}/7 {step.title}: [{_MARKS[step.outcome]}]{step.outcome}[/]: {step.detail}")
    except SourceError as error:
        raise failure(str(error)) from None
    if as_json:
        typer.echo(json.dumps([step.as_json() for step in taken], indent=2))
    if any(step.outcome == "failed" for step in taken):
        raise typer.Exit(1)


@source_app.command()
def land(
    name: Annotated[str, typer.Argument(help="The source's name.")],
    files: Annotated[list[Path], typer.Argument(help="What it would drop.", exists=True, dir_okay=False)],
    *,
    arrival_date: Annotated[
        datetime | None, typer.Option("--date", formats=["%Y-%m-%d"], help="Its arrival date; by default today (UTC).")
    ] = None,
    wait: Annotated[
        float, typer.Option(help="Wait up to so many seconds until every silver table has taken it.", min=0)
    ] = 0,
) -> None:
    """Land files as if the source had dropped them; a running platform takes them from there."""
    from platform_assets.ingestion.landing import LandingError
    from platform_assets.operations.onboarding.land import LandError, land_files, taken

    (source,) = _named(name) or (None,)
    if source is None:
        raise failure(f"no source is called {name!r}; `platform-assets source list` names them")
    settings = settings_here()
    try:
        for landed in land_files(settings, source, files, arrival_date.date() if arrival_date else None):
            typer.echo(f"landed {landed.uri}")
            if wait:
                for table, rows in taken(settings, source, landed, wait):
                    typer.echo(f"{table}: {rows:,} rows")
    except (LandError, LandingError) as error:
        raise failure(str(error)) from None


@source_app.command("list")
def list_sources(*, as_json: AsJson = False) -> None:
    """Every source: how it arrives, whose it is, which tables it has."""
    rows = [_summary(source) for source in _load_all()]
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
    else:
        show(rich_table("Sources", [{**row, "silver": ", ".join(row["silver"])} for row in rows]))


@source_app.command("show")
def show_source(which: Which, *, as_json: AsJson = False) -> None:
    """Everything that a source's files say and imply: settings, columns, rules, tables, sensors, alerts."""
    from platform_assets.operations.onboarding.describe import describe
    from platform_assets.sources.registry import load_folder
    from platform_assets.sources.yaml_file import SourceError

    try:
        found = [describe(source) for source in _named(which) or load_folder(folder_of(which))]
    except SourceError as error:
        raise failure(str(error)) from None
    if as_json:
        typer.echo(json.dumps([description.as_json() for description in found], indent=2, default=str))
    else:
        from rich.console import Console
        from rich.markdown import Markdown

        console = Console()
        for description in found:
            page = description.as_markdown()
            console.print(Markdown(page)) if console.is_terminal else typer.echo(page)


@source_app.command()
def gold(
    which: Which,
    *,
    write: Annotated[bool, typer.Option("--write", help="Write the files, if they do not exist.")] = False,
) -> None:
    """The first draft of a gold table from `processing.silver_to_gold` (S1-85): a dbt model, then the analyst's."""
    from platform_assets.operations.onboarding.gold import scaffold, write_scaffold
    from platform_assets.sources.registry import load_source
    from platform_assets.sources.yaml_file import SourceError

    project = settings_here().dbt_project
    try:
        made = scaffold(load_source(folder_of(which)), project)
        if write:
            for path in write_scaffold(made, project):
                typer.echo(f"wrote {path}")
            return
    except SourceError as error:
        raise failure(str(error)) from None
    typer.echo(made.sql)
    typer.echo(made.yml)


@source_app.command()
def remove(
    which: Which,
    *,
    why: Annotated[str, typer.Option(help="Why nobody needs it any more; it is kept on record.")],
    by: Annotated[str | None, typer.Option(help="Who decided; by default the user of this machine.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Take a source out of the graph. Its data stays: landing, tables and history are untouched."""
    from platform_assets.operations.onboarding.remove import remove_source
    from platform_assets.sources.yaml_file import SourceError

    folder = folder_of(which)
    if not yes:
        typer.confirm(f"Remove {folder}? Its tables stay, but nothing arrives in them any more.", abort=True)
    try:
        removed = remove_source(folder, by=by or getpass.getuser(), why=why)
    except SourceError as error:
        raise failure(str(error)) from None
    typer.echo(
        f"{removed.source} is removed and recorded in {removed.record}. Its data stays: {', '.join(removed.tables)}"
    )


def _show_trial(trial: Trial) -> None:
    from rich.console import Console

    console = Console(soft_wrap=True)
    console.print(f"[bold]{trial.source}[/]: {', '.join(trial.files)}")
    console.print(f"  bronze: {trial.records:,} records in {trial.seconds['bronze']} s")
    for reason, count in trial.dead_letters.items():
        console.print(f"  [red]dead letter[/] ({count:,}): {reason}", highlight=False)
    for member, count in trial.unexpected.items():
        console.print(f"  [yellow]not in the schema[/] ({count:,}): {member}", highlight=False)
    for table in trial.tables:
        console.print(
            f"  {table.table}: {table.rows_in:,} in = {table.rows_out:,} out + {table.rows_quarantined:,} quarantined "
            f"+ {table.rows_duplicate:,} duplicates, {table.partitions} partitions in {trial.seconds[table.table]} s"
        )
        for rules, count in table.quarantined.items():
            console.print(f"    [red]quarantined[/] ({count:,}): {rules}", highlight=False)
        for rule, count in table.warnings.items():
            console.print(f"    [yellow]counted[/] ({count:,}): {rule}", highlight=False)
        for what in table.not_checked:
            console.print(f"    [yellow]not checked[/]: {what}", highlight=False)
        if table.blocked:
            console.print(f"    [red]not published[/]: {table.blocked}", highlight=False)
    if not trial.tables:
        console.print("  no silver table: the source has no schema yet")
    console.print("  [green]passed[/]" if trial.passed else "  [red]failed[/]")


def folder_of(which: str) -> Path:
    """The folder of a source, by its name or by a path to it or its file.

    Raises:
        typer.Exit: there is none.
    """
    from platform_assets.contracts.words import nearest
    from platform_assets.sources.registry import SOURCE_FILE

    root = settings_here().sources
    path = Path(which)
    if path.name == SOURCE_FILE and path.is_file():
        return path.resolve().parent
    if (path / SOURCE_FILE).is_file():
        return path.resolve()
    if (root / which / SOURCE_FILE).is_file():
        return root / which
    names = sorted(folder.parent.name for folder in root.glob(f"*/{SOURCE_FILE}"))
    raise failure(f"{which!r} is no source of {root}, nor the path of one{nearest(which, names)}")


def _named(which: str) -> list[Source]:
    """The one source of that name where its folder stands for several."""
    return [source for source in _load_all() if source.name == which]


def _load_all() -> tuple[Source, ...]:
    from platform_assets.sources.registry import load_sources
    from platform_assets.sources.yaml_file import SourceError

    try:
        return load_sources(settings_here().sources)
    except SourceError as error:
        raise failure(str(error)) from None


def _summary(source: Source) -> dict[str, Any]:
    file = source.file
    return {
        "source": source.name,
        "pattern": file.ingestion.pattern,
        "format": file.ingestion.format,
        "domain": file.domain,
        "owner": file.owner,
        "schema": f"v{source.schema_version}" if source.record_schema else "none",
        "fresh_within_minutes": file.freshness.fail_minutes,
        "silver": [table.table for table in file.silver],
    }
