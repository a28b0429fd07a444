"""The command line: its commands in sections. A command's module is imported when it runs."""

import gc
import os
from importlib import import_module
from pathlib import Path

import click

from feature_platform.errors import did_you_mean

SECTIONS = {
    "Change the registry": {
        "init": ("applying", "Make a repo folder with an example."),
        "plan": (
            "applying",
            "Show what apply would change, who is affected, and whether it is allowed.",
        ),
        "apply": (
            "applying",
            "Register what the folder defines, all or nothing; or apply only the plan file SAVED.",
        ),
        "restore": (
            "applying",
            "Restore your own objects to their state AT a version or time, in a new commit.",
        ),
        "teardown": (
            "applying",
            "Delete all of your own objects, and their online tables.",
        ),
    },
    "Read the registry": {
        "list": ("history", "List what is registered, by kind and owner."),
        "describe": ("history", "Show every object with this name."),
        "history": ("history", "List commits, newest first."),
        "show": ("history", "Show what one commit changed."),
        "diff": (
            "history",
            "Show what changed from one version or time to another, by owner; to now if left out.",
        ),
    },
    "Share with other projects": {
        "share": ("sharing", "Offer PROJECT the VIEWS, or the whole store."),
        "accept": ("sharing", "Accept what PROJECT shares, so that this project can read it."),
        "reject": (
            "sharing",
            "Reject what PROJECT shares, also after accepting it, or end a request.",
        ),
        "request": ("sharing", "Ask PROJECT for a share; what it then offers is accepted at once."),
        "revoke": ("sharing", "End the share with PROJECT at once, after listing who loses what."),
        "shares": ("sharing", "List what the project shares, and what is shared with it."),
    },
    "Load and serve features": {
        "materialize": ("features", "Load rows from START to END into the online store."),
        "materialize-incremental": ("features", "Load rows since the last load."),
        "ingest": (
            "features",
            "Push the broker's messages for the stream source SOURCE, until Ctrl-C.",
        ),
        "get-online-features": ("features", "Read the newest features of entities."),
        "get-historical-features": (
            "rows",
            "Join features to the entities and times in ROWS, a Parquet, CSV or JSON lines file.",
        ),
        "push": ("rows", "Send the rows of FILE to the views of the push source SOURCE."),
        "write": (
            "rows",
            "Write the rows of FILE to a view's online table, or append them to its source.",
        ),
        "delete-online": (
            "rows",
            "Delete the keys in FILE from a view's online table.",
        ),
        "expire-online": ("features", "Remove online rows that are older than their view's ttl."),
    },
    "Check": {
        "validate": (
            "applying",
            "Check definitions and their sources, without the registry.",
        ),
        "schema": (
            "rows",
            "Print the declaration of a source's columns, for the schema of a view.",
        ),
        "statistics": (
            "rows",
            "Describe the features of a view's history: counts, nulls, ranges, means.",
        ),
        "check": ("features", "Check the rows of NAMES against what their owners declared."),
        "verify-parity": (
            "features",
            "Compare served features with history. Exits with 1 if anything differs.",
        ),
        "fsck": ("history", "Check the whole registry and report what is recoverable."),
    },
    "Run the server": {
        "serve": ("server", "Serve the registry, features and training sets over HTTP."),
        "keys": ("server", "Create, list, rotate and revoke API keys of the server."),
    },
    "Back up": {
        "export": (
            "history",
            "Write the registry, all projects and all history, to FILE (- for standard output).",
        ),
        "import": ("history", "Fill an empty registry from a FILE that `export` wrote."),
    },
}
"""Section → command → its module and summary: listing the commands imports none of them."""

_MODULES = {name: module for section in SECTIONS.values() for name, (module, _) in section.items()}


_FEASTS = {
    "configuration": "Read feature_store.yaml.",
    "demo-notebooks": "Run `init`: it makes a repo with data.",
    "endpoint": "The settings of a client name its server.",
    "listen": "Run `serve`.",
    "registry-dump": "Run `export -`, or `list --json`.",
    "serve-offline": "Run `serve`.",
    "serve-registry": "Run `serve`.",
    "serve-transformations": "Run `serve`.",
    "ui": "Run `dagster dev`: the registry's objects are assets there.",
    "version": "Run `--version`.",
}
"""Command that only Feast has → what to run instead."""


class Commands(click.Group):
    """The commands of `SECTIONS`; `KIND list` and `KIND describe NAME` as in Feast's."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command of the arguments.

        Raises:
            click.UsageError: Only Feast has it, or nobody.
        """
        if args[0] in _FEASTS:
            raise click.UsageError(f"{args[0]!r} is a command of Feast. {_FEASTS[args[0]]}", ctx)
        if args[0] not in _MODULES and args[1:2] == ["list"]:
            args = ["list", args[0], *args[2:]]
        elif args[0] not in _MODULES and args[1:2] in (["describe"], ["get"]):
            args = ["describe", *args[2:]]
        name = args[0].replace("_", "-")
        if name not in _MODULES:
            raise click.UsageError(f"No such command {name!r}.{did_you_mean(name, _MODULES)}", ctx)
        return super().resolve_command(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands."""
        return list(_MODULES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command; underscores in its name are hyphens."""
        name = cmd_name.replace("_", "-")
        if name not in _MODULES:
            return None
        module = import_module(f"feature_platform.cli.{_MODULES[name]}")
        if not gc.isenabled():  # in a program that `run` started
            gc.freeze()
            gc.enable()
        command: click.Command = getattr(module, name.replace("-", "_"), None) or getattr(
            module, f"{name}_"
        )
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the sections of the help text."""
        for title, section in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(name, summary) for name, (_, summary) in section.items()])


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "-C",
    "-c",  # Feast's
    "--chdir",
    "--repo",
    "repo",
    default=".",
    show_default="this folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder with the feature_store.yaml.",
)
@click.version_option(package_name="feature-platform")
@click.pass_context
def main(context: click.Context, repo: Path) -> None:
    """Share one feature store among a platform team and many product teams.

    Exit codes: 0 done; 1 an error, a refused plan or a damaged registry; 2 wrong usage; 3 there
    are changes to apply (`plan --detailed-exitcode`); 4 the registry did not confirm a commit:
    apply again, which is safe.
    """
    context.obj = repo


def run() -> None:
    """Run the program, whose start leaves out two things that took a third of a short command.

    Nothing that is imported is garbage, so the collector waits until the command is imported.
    And NumPy starts no threads for linear algebra, which no command uses; a setting that the
    environment has counts.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    gc.disable()
    main()
