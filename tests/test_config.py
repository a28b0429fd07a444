"""`feature_store.yaml`: what is accepted, and what is said of what is not."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from tests_support import raises

from feature_platform import FeatureStore, FeatureView, Field, PushSource, RepoConfig
from feature_platform.errors import ConfigError
from feature_platform.types import Int64

AWS = """
project: my_feast_project
registry: s3://my-bucket/feast-registry/registry.db
provider: aws
online_store:
    type: dynamodb
    region: us-west-2
offline_store:
    type: snowflake
    account: my_account
    database: FEAST_DB
    schema: TEAM_A
    warehouse: FEAST_WH
"""


def load(folder: Path, text: str) -> RepoConfig:
    (folder / "feature_store.yaml").write_text(text)
    return RepoConfig.load(folder)


def test_the_defaults_are_embedded(tmp_path: Path) -> None:
    config = load(tmp_path, "project: shop\n")

    assert (config.team, config.registry) == ("platform", "data/registry.db")
    assert (config.online_store.type, config.offline_store.type) == ("sqlite", "duckdb")


def test_settings_of_stores_are_kept_and_not_contacted(tmp_path: Path) -> None:
    config = load(tmp_path, AWS + "team: team_a\n")

    assert config.team == "team_a"
    assert (config.online_store.type, config.online_store.region) == ("dynamodb", "us-west-2")
    assert config.offline_store.plain()["schema"] == "TEAM_A"
    assert "TEAM_A" not in repr(config)


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ("{type: redis, connection: x}", ["'connection'", "'redis'"]),
        ("{type: postgres, port: 'a'}", ["port", "'a'"]),
        ("{type: dynamodb, consistent_reads: 1}", ["consistent_reads", "1"]),
        ("{type: postgres, password: 12345}", ["password"]),
    ],
)
def test_settings_of_online_stores_are_checked(tmp_path: Path, settings, names) -> None:
    with raises(ConfigError, "online_store", *names) as caught:
        load(tmp_path, f"project: p\nonline_store: {settings}\n")
    assert "12345" not in str(caught.value)


def test_an_option_that_redis_does_not_have_is_named(tmp_path: Path) -> None:
    with raises(ConfigError, "connection_string", "'pw'"):
        load(tmp_path, "project: p\nonline_store: {type: redis, connection_string: 'h:1,pw=x'}\n")


def test_no_online_store_and_stores_by_name(tmp_path: Path) -> None:
    config = load(tmp_path, "project: p\nonline_store: null\noffline_store: file\n")

    assert (config.online_store, config.offline_store.type) == (None, "duckdb")


def test_old_keys_are_accepted_with_a_warning(tmp_path: Path) -> None:
    text = "project: p\nprovider: aws\nflags:\n  alpha_features: true\n"
    text += "entity_key_serialization_version: 3\nregistry:\n  path: r.db\n"

    with pytest.warns(UserWarning, match="entity_key_serialization_version, flags"):
        assert load(tmp_path, text).registry == "r.db"


def test_environment_variables_are_read(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("STAGE", "dev")
    text = "project: shop_${STAGE}\nonline_store: {type: sqlite, path: '$STAGE/online.db'}\n"
    config = load(tmp_path, text)

    assert (config.project, config.online_store.path) == ("shop_dev", "dev/online.db")
    with raises(ConfigError, "feature_store.yaml", "NO_SUCH"):
        load(tmp_path, "project: ${NO_SUCH}\n")


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("registry: r.db", ["'project'"]),
        ("project: p\nregistri: r.db", ["'registri'", "'registry'"]),
        ("project: my-project", ["project: 'my-project'"]),
        ("project: p\nteam: a b", ["team: 'a b'"]),
        (
            "project: p\nonline_store: {type: rediss}",
            ["online_store", "'rediss'", "'redis'", "dynamodb"],
        ),
        ("project: p\noffline_store: {account: x}", ["offline_store", "type", "snowflake"]),
        ("project: p\nproject: q", ["'project'"]),
        ("project: &a p\nteam: *a", ["*name"]),
        ("project: !!python/object/apply:os.system ['true']", ["line 1", "constructor"]),
        ("- a\n- b", ["mapping"]),
        ("project: [", ["line 1", "node content"]),
        ("", ["mapping"]),
        ("project: p\nserver: {threads: 0}", ["server", "threads", "1"]),
        ("project: p\nserver: {thread: 1}", ["server", "'thread'", "'threads'"]),
        ("project: p\nserver: {oidc: {issuer: 1, audience: a}}", ["server", "oidc", "issuer"]),
        ("project: p\nconnection: {api_kee: a}", ["connection", "'api_kee'", "'api_key'"]),
        ("project: p\nserver: 3", ["server", "mapping"]),
        (
            "project: p\nprojects: {x: {online_store: {type: redus}}}",
            ["projects.x", "online_store", "'redus'", "'redis'"],
        ),
        ("project: p\nprojects: {x: {onlin: 1}}", ["projects.x", "'onlin'", "online_store"]),
    ],
)
def test_wrong_settings_are_explained(tmp_path: Path, text: str, names) -> None:
    with raises(ConfigError, "feature_store.yaml", *names):
        load(tmp_path, text)


def test_a_folder_without_settings_says_how_to_get_some(tmp_path: Path) -> None:
    with raises(ConfigError, "feature_store.yaml", tmp_path, "feature-platform init"):
        FeatureStore(tmp_path)


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    settings = "project: p\n# "
    most = settings + "x" * ((1 << 20) - len(settings))
    load(tmp_path, most)
    with raises(ConfigError, tmp_path / "feature_store.yaml"):
        load(tmp_path, most + "x")


REDIS = "online_store: {type: redis, connection_string: "


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ('online_store: {type: postgres, password: "hunter2', "line 3"),
        ("online_store: {type: postgres, password: hun:ter2: x}", "line 2"),
        ("online_store: {type: postgres, password: @hunter2}", "line 2"),
        ('online_store: "redis://:hunter2@h"', "online_store"),
        (REDIS + "'redis://:hunt/er2@host'}", "connection_string"),
        (REDIS + "'h:1,password=hunt,er2'}", "connection_string"),
        (REDIS + "'http://:hunter2@h'}", "connection_string"),
        (REDIS + "'redis://:hunter2@h?foo=1'}", "connection_string"),
        (REDIS + "'redis://:hunter2@h:notaport'}", "connection_string"),
    ],
)
def test_settings_that_cannot_be_read_are_not_shown(tmp_path: Path, text: str, name: str) -> None:
    (tmp_path / "feature_store.yaml").write_text(f"project: p\n{text}\n")

    def read() -> None:
        schema, source = [Field(name="a", dtype=Int64)], PushSource(name="s")
        store = FeatureStore(tmp_path)
        store.apply([FeatureView(name="v", schema=schema, source=source)])
        store.get_online_features(["v"], [{"x": 1}])

    with raises(ConfigError, name) as caught:
        read()
    for part in ("hunter2", "hun:ter2", "hunt", "er2"):
        assert part not in str(caught.value)


@pytest.mark.parametrize("password", ["a/b", "a#b", "a?b", "a%zz", "a b", "[a", "a@b", "a:b", "ä$"])
def test_variables_in_the_userinfo_of_a_url_are_encoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, password: str
) -> None:
    monkeypatch.setenv("PASSWORD", password)
    monkeypatch.setenv("HOST", "db:5432")
    text = "project: p\nregistry: postgresql://writer:${PASSWORD}@${HOST}/features\n"
    url = load(tmp_path, text).registry

    assert unquote(urlsplit(url).password or "") == password
    assert urlsplit(url).netloc.endswith("@db:5432")


def test_variables_elsewhere_are_taken_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PASSWORD", "a/b%c d")
    store = "{type: postgres, host: h, password: '${PASSWORD}'}"
    config = load(
        tmp_path, f"project: p\nregistry: 's3://b/${{PASSWORD}}/x@y'\nonline_store: {store}"
    )

    assert config.registry == "s3://b/a/b%c d/x@y"
    assert config.online_store.password.get_secret_value() == "a/b%c d"


def test_a_dollar_sign_can_be_written(tmp_path: Path) -> None:
    text = "project: p\nonline_store: {type: postgres, host: h, password: 'hunter2$$secret'}\n"
    assert load(tmp_path, text).online_store.password.get_secret_value() == "hunter2$secret"

    with raises(ConfigError, "online_store.password", "$$") as caught:
        load(tmp_path, text.replace("$$", "$"))
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("auth: {type: oidc, client_id: x}", ["auth", "server:", "docs/server.md"]),
        ("auth: kubernetes", ["auth", "server:", "docs/server.md"]),
        ("offline_store: {type: duckdb, memory_limit: lots}", ["memory_limit", "'lots'", "4GB"]),
        ("offline_store: {type: duckdb, threads: -1}", ["offline_store", "threads"]),
        ("online_store: {type: postgres, port: -1}", ["online_store", "port"]),
        ("online_store: {type: postgres, port: 70000}", ["online_store", "port"]),
    ],
)
def test_settings_that_could_only_fail_later_are_refused(tmp_path: Path, text, names) -> None:
    with raises(ConfigError, *names):
        load(tmp_path, f"project: p\n{text}\n")


def test_settings_of_feast_without_protection_are_accepted(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="auth"):
        load(tmp_path, "project: p\nauth: {type: no_auth}\n")
    settings_ = "{type: duckdb, memory_limit: 512MB, threads: 2}"
    assert load(tmp_path, f"project: p\noffline_store: {settings_}\n").offline_store.threads == 2


@pytest.mark.parametrize("kind", ["online_store", "broker"])
@pytest.mark.parametrize(
    "address", ["redis://[your-host]:6379", "redis://h:-1", "redis://h:99999", "h:0", "h:x,db=1"]
)
def test_an_address_of_redis_is_checked_when_it_is_declared(kind: str, address: str) -> None:
    with raises(ConfigError, kind, "connection_string") as error:
        RepoConfig(project="p", **{kind: {"type": "redis", "connection_string": address}})
    assert address not in str(error.value)
