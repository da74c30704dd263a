"""The `dedup` command: parse, call, print, exit code. Results go to stdout, everything else to stderr."""

from __future__ import annotations

import functools
import json
import os
import sys
import traceback
from collections.abc import Callable
from typing import Any

import click

from dedup import __version__
from dedup.errors import DedupError, RunError, UserError
from dedup.report import commands
from dedup.report.sweep import sweep
from dedup.runner import progress

Command = Callable[..., Any]


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="dedup")
def cli() -> None:
    """Deduplicate and clean training data: every removal verified, written down and reproducible.

    \b
    Examples:
      dedup near data/sample -o out/similar  near duplicates at Jaccard 0.8
      dedup run configs/quickstart.toml      a whole recipe
      dedup why out/quickstart en-30         why a document went, or what it stands for
      dedup recipes; dedup stages            what comes with the package
    """


class _ManyWords(click.Command):
    """A command whose --against takes all words up to the next option: the shell writes a glob out."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Name the option before each of its words."""
        words: list[str] = []
        many = False
        for word, after in zip(args, [*args[1:], "-"], strict=True):
            many = word == "--against" or (many and not word.startswith("-"))
            if word != "--against":
                words += ["--against", word] if many else [word]
            elif after.startswith("-"):
                raise click.BadOptionUsage("against", "Option '--against' requires an argument.", ctx)
        return super().parse_args(ctx, words)


def _against(command: Command) -> Command:
    option = click.option(
        "--against",
        multiple=True,
        metavar="PATH...",
        help="Files, folders or globs to compare with; neither changed nor written.",
    )
    return option(command)


def _run_options(command: Command) -> Command:
    """The options that every command that reads an input and runs something takes."""
    limit = click.option(
        "--limit", type=click.IntRange(min=1), metavar="N", help="Only the first N documents of every shard."
    )
    index = click.option(
        "--index", type=click.Path(), help="Folder or URL of what earlier runs kept; compared with, added to."
    )
    return index(_how_options(limit(_against(command))))


def _how_options(command: Command) -> Command:
    """The options of what writes an output."""
    options = [
        click.option("-o", "--output", type=click.Path(), help="Folder or URL to write to."),
        click.option(
            "--set", "changes", multiple=True, metavar="KEY=VALUE", help="Change a setting; step.N.KEY for one step."
        ),
        click.option(
            "--memory", metavar="SIZE", help="Such as 8G; all processes together. Default: 70 % of what is there."
        ),
        click.option("--workers", type=click.IntRange(min=0), metavar="N", help="Processes; 0: one a core."),
        click.option("--executor", type=click.Choice(["serial", "local", "ray"]), help="Where tasks run."),
        click.option("--address", metavar="HOST:PORT", help="Of a Ray cluster, for --executor ray."),
        click.option("--work", type=click.Path(), help="Folder or URL for temporary work, instead of OUTPUT/work."),
        click.option("--keep-work", is_flag=True, help="Leave intermediate files, for `dedup rerun` and `sweep`."),
        click.option("--quiet", is_flag=True, help="No progress on stderr."),
        click.option("--log-json", is_flag=True, expose_value=False, help="JSON objects on stderr, one a line."),
    ]
    return functools.reduce(lambda done, option: option(done), reversed(options), command)


def _inputs(command: Command) -> Command:
    """Inputs after -i; the shell writes a glob out, so that more words than one may follow."""
    words = click.argument("more", nargs=-1, metavar="[INPUT]...")
    option = click.option(
        "-i",
        "--input",
        "inputs",
        multiple=True,
        metavar="INPUT",
        help="Files, folders, globs or URLs, instead of the recipe's.",
    )
    return words(option(command))


@cli.command(cls=_ManyWords)
@click.argument("recipe", type=click.Path())
@_inputs
@_run_options
def run(recipe: str, inputs: tuple[str, ...], more: tuple[str, ...], output: str | None, **options: Any) -> None:
    """Run a recipe. It is a .toml file, or the name of one that comes with the package.

    Example: dedup run configs/quickstart.toml -i data/sample -o out/first
    """
    _run(recipe, [*inputs, *more] or None, output, options)


@cli.command(cls=_ManyWords)
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@click.option(
    "--threshold", type=float, default=0.8, show_default=True, help="Jaccard similarity from which a document goes."
)
@click.option("--shingle", type=int, default=5, show_default=True, help="Tokens a shingle.")
@click.option(
    "--keep", default="first", show_default=True, help="first, last, longest, shortest, highest:COLUMN, lowest:COLUMN."
)
@click.option("--text", default="text", show_default=True, help="Column of the texts.")
@click.option("--id", "id_", default=None, help="Column of the ids; by default path#row.")
@_run_options
def near(
    inputs: tuple[str, ...], output: str | None, threshold: float, shingle: int, keep: str, **options: Any
) -> None:
    """Drop near duplicates, exact ones included.

    Example: dedup near data/sample/*.jsonl* -o out/strict --threshold 0.9
    """
    step = {"dedup": "near", "threshold": threshold, "shingle": shingle, "keep": keep}
    _run(_one_step(step, options), list(inputs), output, options)


@cli.command(cls=_ManyWords)
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@click.option("--on", multiple=True, metavar="COLUMN", help="Columns that must be equal, instead of the text.")
@click.option(
    "--keep", default="first", show_default=True, help="first, last, longest, shortest, highest:COLUMN, lowest:COLUMN."
)
@click.option("--text", default="text", show_default=True, help="Column of the texts.")
@click.option("--id", "id_", default=None, help="Column of the ids; by default path#row.")
@_run_options
def exact(inputs: tuple[str, ...], output: str | None, on: tuple[str, ...], keep: str, **options: Any) -> None:
    """Drop documents of equal text, or of equal columns.

    Example: dedup exact data/sample/*.parquet -o out/sources --on source
    """
    step = {"dedup": "exact", "keep": keep} | ({"on": list(on)} if on else {})
    _run(_one_step(step, options), list(inputs), output, options)


def _one_step(step: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
    recipe: dict[str, Any] = {"text": options.pop("text"), "step": [step]}
    identifier = options.pop("id_")
    return recipe | ({"id": identifier} if identifier else {})


def _run(recipe: Any, inputs: Any, output: str | None, options: dict[str, Any]) -> None:
    import dedup

    against = list(options.pop("against")) or None
    _show(dedup.run(recipe, inputs, output, against=against, **options), quiet=options["quiet"])


def _show(result: Any, *, quiet: bool) -> None:
    """Print what a run gave, and exit as it says."""
    if not quiet:
        from dedup.report.summary import render

        click.echo(render(result))
    sys.exit(result.exit_code)


@cli.command()
@click.argument("earlier", type=click.Path(), metavar="OUTPUT")
@click.argument("recipe", type=click.Path())
@_how_options
def rerun(earlier: str, recipe: str, output: str | None, **options: Any) -> None:
    """Run another recipe over what a run has read. Measures and signatures that it left are used.

    OUTPUT was made with --keep-work. What RECIPE says of its input gives way to what that run has read. The bytes are
    those of `dedup run`; a changed threshold costs little more than writing.

    Example: dedup rerun out/kept quickstart --set threshold=0.9 -o out/rerun
    """
    import dedup

    if output is None:
        raise click.UsageError("Missing option '-o' / '--output'.")
    _show(dedup.rerun(earlier, recipe, output, **options), quiet=options["quiet"])


@cli.command(cls=_ManyWords)
@click.argument("recipe", type=click.Path())
@_inputs
@_against
@click.option("--index", type=click.Path(), help="Folder or URL of what earlier runs kept.")
@click.option("-o", "--output", type=click.Path(), help="Folder to write to, whose disk has to have room.")
@click.option("--set", "changes", multiple=True, metavar="KEY=VALUE", help="Change a setting; step.N.KEY for one step.")
@click.option("--memory", metavar="SIZE", help="As for a run.")
@click.option("--workers", type=click.IntRange(min=0), metavar="N", help="As for a run.")
@click.option("--no-sample", is_flag=True, help="Read no documents, and say nothing of memory, disk and time.")
@click.option("--json", "as_json", is_flag=True, help="What it takes, as one JSON object.")
def plan(
    recipe: str,
    inputs: tuple[str, ...],
    more: tuple[str, ...],
    against: tuple[str, ...],
    no_sample: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Show what a recipe would do and what it would take. A sample of the documents is run for that.

    Example: dedup plan configs/quickstart.toml -i data/sample --memory 2G
    """
    from dedup.io import shards
    from dedup.plan import describe, make_plan
    from dedup.recipe import load

    given = [*inputs, *more]
    loaded = load(recipe, input=given or None, against=list(against) or None, fill_output=True, **options)
    try:
        found = shards.discover(loaded.input)
        references = shards.discover_against(loaded.against, found)
    except UserError:
        if given or against:
            raise
        found, references = [], []  # the recipe's own input may be on another machine
    planned = make_plan(loaded, found, references)
    if not as_json:
        click.echo(describe(planned))
        if loaded.index is not None:
            from dedup.runner.indexing import describe_index

            click.echo("\n".join(describe_index(planned)))
    if found and not no_sample:
        from dedup.runner import estimate

        taken = estimate.estimate(planned)
        click.echo(json.dumps(taken._asdict()) if as_json else estimate.describe(taken))
        estimate.check_fits(planned, taken)


for command in (*commands.COMMANDS, sweep):
    cli.add_command(command)


@cli.command()
@click.argument("output", type=click.Path())
def report(output: str) -> None:
    """Make the report of a finished run anew. That is report/report.html and the tables that it shows.

    Example: dedup report out/quickstart
    """
    from dedup.report.write import again

    click.echo(again(output, lambda text: click.echo(f"dedup: {text}", err=True)))


@cli.group()
def index() -> None:
    """Look at an index, or change it.

    \b
    Examples:
      dedup index info out/index
      dedup index merge out/index
      dedup index remove-source out/index data/sample/en-0.jsonl
    """


@index.command()
@click.argument("folder", type=click.Path())
@click.option("--json", "as_json", is_flag=True, help="The catalogue as JSON.")
def info(folder: str, as_json: bool) -> None:
    """Tell generations, documents, settings and source files.

    Example: dedup index info out/index
    """
    from dedup.runner.index_upkeep import tell

    click.echo(tell(folder, as_json=as_json))


@index.command()
@click.argument("folder", type=click.Path())
def merge(folder: str) -> None:
    """Put all generations into one folder. There is as much to read, in fewer pieces.

    Example: dedup index merge out/index
    """
    from dedup.runner import index_upkeep

    click.echo(f"{index_upkeep.merge(folder):,} documents in one folder")


@index.command("remove-source")
@click.argument("folder", type=click.Path())
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...")
def remove_source(folder: str, sources: tuple[str, ...]) -> None:
    """Forget the documents of some files or folders. Later runs keep them again.

    Example: dedup index remove-source out/index data/sample/en-0.jsonl
    """
    from dedup.runner import index_upkeep

    click.echo(f"{index_upkeep.remove_source(folder, sources):,} documents are forgotten")


@cli.command()
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@click.option(
    "-o", "--output", "path", type=click.Path(), default="recipe.toml", show_default=True, help="File to write."
)
@click.option("--recipe", "name", metavar="NAME", help="Begin with it, instead of what suits the languages seen.")
def init(inputs: tuple[str, ...], path: str, name: str | None) -> None:
    """Write a commented recipe for an input after a look at it.

    Example: dedup init data/sample -o first.toml
    """
    from dedup.runner.proposal import propose

    seen = propose(inputs, path, name)
    told = f"text = {seen.text}" + ("" if seen.id is None else f", id = {seen.id}")
    click.echo(f"{path}: {told}, {seen.documents:,} documents looked at. Next: dedup plan {path}")


@cli.command()
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@click.option("-o", "--output", required=True, type=click.Path(), help="Folder to write to.")
@click.option("--weight", default="weight", show_default=True, help="Column of the weights.")
def rehydrate(inputs: tuple[str, ...], output: str, weight: str) -> None:
    """Write every row as often as its weight says.

    Example: dedup rehydrate out/weighted/documents -o out/rehydrated
    """
    from dedup.runner.rehydrate import rehydrate as write

    rows, copies = write(inputs, output, weight)
    click.echo(f"{output}: {copies:,} rows of {rows:,}")


@cli.command()
def recipes() -> None:
    """List the recipes that come with the package. `dedup run NAME` runs one.

    Example: dedup recipes
    """
    from dedup.recipe import purpose, shipped

    found = shipped()
    _list({name: purpose(path) for name, path in found.items()})
    click.echo(f"\n{next(iter(found.values())).parent}")


@cli.command()
@click.argument("name", required=False)
def stages(name: str | None) -> None:
    """List stages for recipes, or tell everything of one.

    Example: dedup stages clean.normalize
    """
    from dedup.stages import first_line, shipped, tell

    if name is not None:
        click.echo(tell(name))
        return
    _list({stage: first_line(function) for stage, function in sorted(shipped().items())})


def _list(lines: dict[str, str]) -> None:
    width = max(map(len, lines))
    for name, line in lines.items():
        click.echo(f"{name:{width}}  {line}")


def main(arguments: list[str] | None = None) -> None:
    """Entry point: a mistake or a fault is one line on stderr, without a traceback."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # NumPy starts one a core at import; we take no products
    if arguments is None and sys.argv[1:2] and sys.argv[1] in commands.NAMES:
        from dedup.runner.worker import skip_optional_imports

        skip_optional_imports()  # 0.4 of 1.0 s of CPU; this process is the command's alone
    words = sys.argv[1:] if arguments is None else arguments
    if "--log-json" not in words:  # looked for here: what click says of the other options is an object, too
        _main(words)
        return
    before = progress.AS_JSON.set(True)
    try:
        with progress.only_objects():
            _main(words)
    finally:
        progress.AS_JSON.reset(before)


def _complain(text: str) -> None:
    if progress.AS_JSON.get():
        progress.log("error", message=text)
    else:
        click.echo(f"dedup: {text}", err=True)


def _main(arguments: list[str]) -> None:
    try:
        cli.main(arguments, prog_name="dedup", standalone_mode=False)
    except click.exceptions.Abort:
        _complain("stopped; the same command goes on from here")
        sys.exit(130)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(2)
    except click.ClickException as error:
        message = " ".join(error.format_message().split()).removesuffix(".")
        context = getattr(error, "ctx", None)
        hint = f" (see {context.command_path} --help)" if context else ""
        _complain(f"{message}{hint}")
        sys.exit(2)
    except DedupError as error:
        _complain(str(error))
        sys.exit(error.exit_code)
    except Exception as error:
        if not progress.AS_JSON.get():
            raise
        progress.log("error", message=f"{type(error).__name__}: {error}", traceback=traceback.format_exc())
        sys.exit(RunError.exit_code)


if __name__ == "__main__":
    main()
