"""Loading repo folders: everything or nothing, and never somebody else's modules."""

import sys
from pathlib import Path

import pytest
from tests_support import raises

from feature_platform import FeatureStore
from feature_platform.errors import ConfigError, DefinitionError
from feature_platform.repo import Repo

ENTITIES = "from feature_platform import Entity\ndriver = Entity(name='{name}')\n"
VIEWS = """
from entities import driver
from feature_platform import FeatureView, Field, FileSource
from feature_platform.types import Int64
view = FeatureView(name="{name}_view", entities=[driver], source=FileSource(path="x.parquet"),
                   schema=[Field(name="x", dtype=Int64)])
listed = [driver, view]
"""


def write(folder: Path, name: str = "driver", **files: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "feature_store.yaml").write_text("project: shop\nregistry: ../registry.db\n")
    (folder / "entities.py").write_text(ENTITIES.format(name=name))
    (folder / "views.py").write_text(VIEWS.format(name=name))
    for file, text in files.items():
        path = folder / f"{file.replace('__', '/')}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return folder


def names(repo: Repo) -> set[str]:
    return {definition.name for definition in repo.definitions}


def test_every_module_is_read_once(tmp_path: Path) -> None:
    repo = Repo.load(write(tmp_path / "a", more__rider=ENTITIES.format(name="rider")))

    assert names(repo) == {"driver", "driver_view", "rider"}
    assert len(repo.definitions) == 3


def test_two_repos_with_modules_of_one_name_do_not_mix(tmp_path: Path) -> None:
    first = Repo.load(write(tmp_path / "a", "driver"))
    second = Repo.load(write(tmp_path / "b", "rider"))
    before = set(sys.modules), list(sys.path)

    assert names(first) == {"driver", "driver_view"}
    assert names(second) == {"rider", "rider_view"}
    assert set(sys.modules) - before[0] == set()
    assert sys.path == before[1]
    assert first.import_module("entities") is first.import_module("entities")


def test_a_repo_with_a_broken_module_defines_nothing(tmp_path: Path) -> None:
    folder = write(tmp_path / "a")
    FeatureStore(folder).apply()
    write(folder, broken="import no_such_package\n")

    for partial in (True, False):
        with raises(ConfigError, "broken.py", "no_such_package"):
            FeatureStore(folder).apply(partial=partial)
    assert FeatureStore(folder).list_feature_views()


def test_a_wrong_definition_is_found_by_file_and_line(tmp_path: Path) -> None:
    folder = write(
        tmp_path / "a", bad="from feature_platform import Entity\n\nx = Entity(nam='e')\n"
    )

    with raises(ConfigError, "bad.py:3", "nam", "'name'"):
        Repo.load(folder).definitions  # noqa: B018


def test_scripts_entry_points_and_ignored_files_are_left_alone(tmp_path: Path) -> None:
    boom = "raise RuntimeError('must not be imported')\n"
    folder = write(
        tmp_path / "a",
        apply=f"{boom}FeatureStore('.').apply()",
        definitions=f"{boom}import dagster as dg",
        test_views=f"{boom}def test_views(): ...",
        _private=boom,
        notes__x=boom,
    )
    (folder / ".featureignore").write_text("# not definitions\nnotes/\n")

    assert names(Repo.load(folder)) == {"driver", "driver_view"}


def test_what_is_only_named_like_a_script_declares_objects(tmp_path: Path) -> None:
    """As in Feast: `definitions.py` is a name that people give to definitions."""
    written = {name: ENTITIES.format(name=name) for name in ("definitions", "test_rider")}
    folder = write(tmp_path / "a", **written)
    assert names(Repo.load(folder)) == {"driver", "driver_view", *written}


@pytest.mark.parametrize("packages", [(), ("features",), ("features", "features/deep")])
def test_folders_are_modules_with_and_without_an_init(tmp_path: Path, packages) -> None:
    folder = write(tmp_path / "a")
    deep = folder / "features" / "deep" / "deeper"
    deep.mkdir(parents=True)
    (deep / "riders.py").write_text(ENTITIES.format(name="rider"))
    for package in packages:
        (folder / package / "__init__.py").touch()
    assert names(Repo.load(folder)) == {"driver", "driver_view", "rider"}


def test_a_file_that_cannot_be_imported_is_named(tmp_path: Path) -> None:
    folder = write(tmp_path / "a")
    (folder / "my-views.py").write_text("")

    with raises(ConfigError, folder / "my-views.py", ".featureignore"):
        Repo.load(folder).definitions  # noqa: B018


def test_a_full_sync_of_an_empty_folder_deletes_nothing(tmp_path: Path) -> None:
    folder = write(tmp_path / "a")
    FeatureStore(folder).apply()
    (folder / "views.py").unlink()
    (folder / "entities.py").unlink()

    with raises(ConfigError, folder, "teardown"):
        FeatureStore(folder).apply(partial=False)
    assert FeatureStore(folder).list_entities()


def test_what_a_folder_no_longer_defines_goes_with_a_full_sync(tmp_path: Path) -> None:
    folder = write(tmp_path / "a", rider=ENTITIES.format(name="rider"))
    settings = folder / "feature_store.yaml"
    settings.write_text(settings.read_text() + "team: platform\n")
    FeatureStore(folder).apply(partial=False)
    (folder / "rider.py").unlink()
    FeatureStore(folder).apply()
    assert {e.name for e in FeatureStore(folder).list_entities()} == {"driver", "rider"}

    FeatureStore(folder).apply(partial=False)
    assert {e.name for e in FeatureStore(folder).list_entities()} == {"driver"}


def test_a_module_may_open_its_own_store_whatever_the_current_folder(tmp_path: Path) -> None:
    own = "from feature_platform import FeatureStore\nstore = FeatureStore(repo_path='.')\n"
    folder = write(tmp_path / "a", opener=own)

    assert names(Repo.load(folder)) == {"driver", "driver_view"}


def test_objects_imported_from_elsewhere_are_referred_to_and_not_claimed(tmp_path: Path) -> None:
    write(tmp_path / "shared")
    write(
        tmp_path / "team",
        service="import sys\nsys.path.append('../shared')\n"
        f"sys.path.append({str(tmp_path)!r})\n"
        "from shared.entities import driver as shared_driver\n"
        "from feature_platform import FeatureService\n"
        "service = FeatureService(name='s', features=['driver_view'])\n",
    )

    repo = Repo.load(tmp_path / "team")
    assert sorted(d.name for d in repo.definitions) == ["driver", "driver_view", "s"]
    sys.path.remove("../shared")
    sys.path.remove(str(tmp_path))
    for name in ("shared", "shared.entities"):
        sys.modules.pop(name, None)


def test_an_unfinished_view_is_not_applied(tmp_path: Path) -> None:
    unfinished = (
        "from feature_platform import Field, OnDemandFeatureView\n"
        "from feature_platform.types import Int64\n"
        "fields = [Field(name='y', dtype=Int64)]\n"
        "v = OnDemandFeatureView(name='v', sources=['driver_view:x'], schema=fields)\n"
    )
    folder = write(tmp_path / "a", on_demand_views=unfinished)

    with raises(DefinitionError, "'v'", "udf"):
        FeatureStore(folder).plan()


BROKEN = {
    "an exception that is none": "class Stop(BaseException): pass\nraise Stop",
    "an exception without a text": (
        "class Mute(Exception):\n    def __str__(self): raise RuntimeError\nraise Mute"
    ),
    "an exit": "raise SystemExit(3)",
    "a changed definition": "from entities import driver\ndriver.description = 'x'",
    "a deleted attribute": "from entities import driver\ndel driver.description",
}


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN)
def test_whatever_a_module_raises_is_one_error_with_its_line(tmp_path: Path, text: str) -> None:
    repo = Repo.load(write(tmp_path / "a", broken=text))

    with raises(ConfigError, f"{tmp_path / 'a' / 'broken.py'}:{len(text.splitlines())}"):
        names(repo)


def test_an_interrupt_is_not_swallowed(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        names(Repo.load(write(tmp_path / "a", broken="raise KeyboardInterrupt")))


def test_collections_may_contain_themselves(tmp_path: Path) -> None:
    text = "from entities import driver\nx = [driver]\nx.append(x)\ny = {'x': x}\ny['y'] = y"

    assert names(Repo.load(write(tmp_path / "a", more=text))) == {"driver", "driver_view"}


@pytest.mark.parametrize("change", ["sys.path.clear()", "sys.path = []", "del sys.path[0]"])
def test_the_path_of_other_modules_survives_a_module(tmp_path: Path, change: str) -> None:
    path, entries = sys.path, list(sys.path)
    text = f"import sys\n{change}\nsys.path.append('/added/by/a/module')"
    names(Repo.load(write(tmp_path / "a", zz=text)))

    assert sys.path is path
    assert sys.path == [*entries, "/added/by/a/module"]
    sys.path.remove("/added/by/a/module")


def test_a_module_does_not_take_the_name_of_one_of_pythons(tmp_path: Path) -> None:
    folder = write(tmp_path / "a", queue="raise SystemError")

    with raises(ConfigError, folder / "queue.py", ".featureignore"):
        names(Repo.load(folder))
    (folder / ".featureignore").write_text("queue.py")
    assert names(Repo.load(folder)) == {"driver", "driver_view"}


def test_hidden_folders_are_not_searched(tmp_path: Path) -> None:
    folder = write(tmp_path / "a")
    (folder / ".venv" / "lib").mkdir(parents=True)
    (folder / ".venv" / "lib" / "broken.py").write_text("raise SystemError")

    assert names(Repo.load(folder)) == {"driver", "driver_view"}


@pytest.mark.parametrize("file", [".featureignore", ".feastignore"])
def test_ignore_files_have_the_patterns_of_git(tmp_path: Path, file: str) -> None:
    (tmp_path / "feature_store.yaml").write_text("project: shop\n")
    for name in ("notes/a.py", "deep/notes/b.py", "deep/old/c.py", "old/d.py", "kept/e.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("raise RuntimeError\n")
    (tmp_path / "kept" / "e.py").write_text(
        "from feature_platform import Entity\nkept = Entity(name='kept')\n"
    )
    lines = "\ufeffnotes/\n# a comment\n\nnotes/\n**/old/*.py\nkept/*\n!kept/e.py\n"
    (tmp_path / file).write_text(lines)
    assert [d.name for d in Repo.load(tmp_path).definitions] == ["kept"]
    (tmp_path / file).write_text("!\n")
    with raises(ConfigError, file):
        _ = Repo.load(tmp_path).definitions


def test_a_path_that_no_store_may_read_is_refused_when_it_is_declared(tmp_path: Path) -> None:
    source = "from feature_platform import FileSource\ns = FileSource(name='s', path={path!r})\n"
    folder = write(tmp_path / "a", sources=source.format(path="../elsewhere/rows.parquet"))
    with raises(ConfigError, "'s'", "../elsewhere/rows.parquet", folder):
        FeatureStore(folder).plan()
    (tmp_path / ".git").mkdir()  # the checkout is the folder above
    assert "s" in names(Repo.load(folder))
