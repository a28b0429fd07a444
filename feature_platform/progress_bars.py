"""Progress of long work, for terminals and notebooks."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress() -> Iterator[Callable[..., None]]:
    """Yield a callback for `on_progress` that shows each step with its rows and its time.

    In a terminal or a notebook every view that is loaded, and every step of a query, is a line that
    moves while it runs. Where nobody watches, as in a job, nothing is printed. A notebook needs
    `ipywidgets` for it.

    Example:
        >>> with progress() as tell:  # doctest: +SKIP
        ...     store.materialize_incremental(on_progress=tell)
        ...     frame = store.get_historical_features(rows, ["weather"]).on_progress(tell).to_df()
    """
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

    screen = Console(stderr=True)
    columns = (
        SpinnerColumn(finished_text=" "),
        TextColumn("{task.description}", markup=False),
        TextColumn("{task.fields[shown]}"),
        TimeElapsedColumn(),
    )
    bars = Progress(*columns, console=screen, disable=not (screen.is_terminal or screen.is_jupyter))
    tasks: dict[str, TaskID] = {}

    def tell(step: str, rows: int | None = None) -> None:
        if step not in tasks:
            for task in bars.task_ids:  # one step at a time
                bars.update(task, total=1, completed=1)
            tasks[step] = bars.add_task(step, total=None, shown="")
        if rows is not None:
            bars.update(tasks[step], shown=f"{rows:,} rows")

    with bars:
        yield tell
        for task in bars.task_ids:
            bars.update(task, total=1, completed=1)
