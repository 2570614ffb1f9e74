"""`submit`: tasks from files, or one from options; and `schema`, which helps to write files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, cast, get_args

import msgspec
import typer

from autopilot.cli import inline, issue, show, taskfile
from autopilot.cli.client import Client
from autopilot.cli.failure import INTERRUPTED, CliError, RefusedError, UsageError
from autopilot.cli.options import AsJson, DataDir, client
from autopilot.cli.sending import send
from autopilot.cli.taskfile import Given
from autopilot.cli.tasks import summary
from autopilot.cli.watch import Watch
from autopilot.schema import WRITTEN, written
from contracts.task import OnFailedDependency, TaskSpec
from services.scheduler.domain.batch import Fault

#: Status of an answer that says that too many wait.
TOO_MANY = 429


def _says(help_: str, metavar: str | None = None) -> Any:
    """Declare an option that says what a task file says."""
    return typer.Option(
        help=help_, metavar=metavar, rich_help_panel="A task without a file (not together with FILE)"
    )


def submit(
    files: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="FILE",
            help="Files of one or more tasks, - for standard input; keys may depend on each other. Or one address"
            " of a GitHub issue, which stands for --repo, --title and --body.",
        ),
    ] = None,
    repo: Annotated[str | None, _says("A checkout (. is this one), or a git URL.", "PATH|URL")] = None,
    title: Annotated[str | None, _says("What shall be different, in a line.")] = None,
    body: Annotated[str | None, _says("What is wrong; - is standard input.", "TEXT|@FILE|-")] = None,
    test: Annotated[str | None, _says("Runs the whole suite.", "COMMAND")] = None,
    fail_to_pass: Annotated[
        list[str] | None, _says("Fails now and must pass on the change; may be repeated.", "COMMAND")
    ] = None,
    base: Annotated[str | None, _says("Branch, tag or commit; default: what is checked out.", "REF")] = None,
    setup: Annotated[str | None, _says("Runs first in every fresh checkout.", "COMMAND")] = None,
    env: Annotated[
        list[str] | None,
        _says(
            "For its commands; may be repeated. Without a PATH, programs of the repository's .venv come first, or of"
            " the active virtual environment.",
            "NAME=VALUE",
        ),
    ] = None,
    patch: Annotated[Path | None, _says("The change itself, for engine patch.", "FILE")] = None,
    engine: Annotated[
        str | None, _says("Who makes the change; default: auto, or patch with --patch.")
    ] = None,
    priority: Annotated[str | None, _says("urgent, normal or low.")] = None,
    queue: Annotated[str | None, _says("Whose work it is.")] = None,
    depends_on: Annotated[
        list[str] | None, _says("Starts after this task, on its change; may be repeated.", "TASK")
    ] = None,
    wall: Annotated[int | None, _says("Time that any one command may take.", "SECONDS")] = None,
    memory: Annotated[int | None, _says("Memory that any one command may take.", "MB")] = None,
    key: Annotated[str | None, _says("A name for the task.")] = None,
    on_failed_dependency: Annotated[
        str,
        typer.Option(
            metavar="park|cancel",
            help="What becomes of those that depend on one that fails: they wait for you, or are cancelled.",
        ),
    ] = "park",
    even_if_full: Annotated[
        bool,
        typer.Option("--even-if-full", help="Wait behind however many there are, beyond max_queued too."),
    ] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Stay until every task has ended; exit 1 unless all are done.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check, print as a task file, and send nothing.")
    ] = False,
    idempotency_key: Annotated[
        str, typer.Option(metavar="TEXT", help="Sent again with the same tasks, it makes nothing twice.")
    ] = "",
    data_dir: DataDir = None,
    json: AsJson = False,
) -> None:
    """Submit tasks. From files, of which all are taken or none; or one from --repo, --title and the options below them."""
    options = inline.Options(
        repo=repo,
        title=title,
        body=body,
        test=test,
        fail_to_pass=tuple(fail_to_pass or ()),
        base=base,
        setup=setup,
        env=tuple(env or ()),
        patch=patch,
        engine=engine,
        priority=priority,
        queue=queue,
        depends_on=tuple(depends_on or ()),
        wall=wall,
        memory=memory,
        key=key,
    )
    if on_failed_dependency not in get_args(OnFailedDependency):
        raise UsageError(f"--on-failed-dependency: {on_failed_dependency!r} is neither park nor cancel")
    given = _given(files or [], options)
    specs = taskfile.checked(given)
    if dry_run:
        show.as_json(msgspec.to_builtins(specs)) if json else typer.echo(taskfile.dump(specs), nl=False)
        return
    connected = client(data_dir)
    try:
        ids = send(
            connected,
            specs,
            idempotency_key,
            on_failed_dependency=cast(OnFailedDependency, on_failed_dependency),
            anyway=even_if_full,
        )
    except RefusedError as error:
        raise _in_their_words(given, error) from error
    if wait:
        _wait(connected, ids, specs, as_json=json)
    elif json:
        show.as_json([{"id": task_id, "key": spec.key} for task_id, spec in zip(ids, specs, strict=True)])
    else:
        for task_id, spec in zip(ids, specs, strict=True):
            show.line("  ".join(filter(None, (task_id, spec.key, spec.title))))


def schema(
    kind: Annotated[str, typer.Argument(help=f"One of: {', '.join(WRITTEN)}.")] = "task",
) -> None:
    """Print the JSON Schema of what is written by hand. Editors check and complete with it."""
    if kind not in WRITTEN:
        raise UsageError(f"{kind!r} is none of {', '.join(WRITTEN)}")
    typer.echo(msgspec.json.format(msgspec.json.encode(written(kind)), indent=2).decode())


def _given(files: list[str], options: inline.Options) -> list[Given]:
    """Collect what is to be submitted, from either side. Raises UsageError."""
    if len(files) == 1 and issue.is_issue(files[0]):
        found = issue.read(files[0])
        words = {"repo": found.repo_url, "title": found.title, "body": found.body}
        missing = {name: text for name, text in words.items() if getattr(options, name) is None}
        files, options = [], msgspec.structs.replace(options, **missing)
    if not files:
        task = inline.task(options)
        for note in task.notes:
            show.complain(note)
        return [task]
    if options.named:
        raise UsageError(
            f"{options.named[0]}: a file says all about its tasks; give FILE or --repo, not both"
        )
    return [one for file in files for one in taskfile.documents(Path(file))]


def _in_their_words(given: list[Given], error: RefusedError) -> Exception:
    """Name what the scheduler refused as whoever wrote it knows it."""
    try:
        found = msgspec.convert(error.problem.get("errors", []), list[Fault])
        said = taskfile.complaints(given, found)
    except (msgspec.ValidationError, IndexError):
        said = []
    if error.status == TOO_MANY:
        return CliError(f"{error}; --even-if-full does so")
    return UsageError("\n".join(said)) if said else error


def _wait(connected: Client, ids: list[str], specs: list[TaskSpec], *, as_json: bool) -> None:
    """Watch tasks to their end and tell it. Raises typer.Exit with 1 unless all are done."""
    try:
        final = Watch(connected, ids, [spec.key for spec in specs]).run(quiet=as_json)
    except KeyboardInterrupt:
        show.complain(
            f"no longer watched, but not stopped: {', '.join(ids)}; `autopilot cancel TASK` stops one"
        )
        raise typer.Exit(INTERRUPTED) from None
    if as_json:
        show.as_json(final)
    else:
        summary(connected, final)
    if any(one["phase"] != "done" for one in final):
        raise typer.Exit(1)
