"""Threats to the registry: each tried, and each beside what is allowed.

T1 to T5, T10, T11, T19, T20, T24 and T26 of the threat model. T11 (a log that was altered) is
also `reliability/tamper.py`; T24 (spam) is also `test_checkpoints.py`.
"""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests_support import PLAN, assert_names, raises, refused

from feature_platform import (
    Entity,
    FeatureService,
    FeatureView,
    Field,
    FileSource,
    Policy,
    RepoConfig,
)
from feature_platform.config import FILE_NAME
from feature_platform.definitions import Definition, check_strict, is_name, kinds
from feature_platform.errors import (
    ConfigError,
    ConflictError,
    CorruptLogError,
    DefinitionError,
    RefusedError,
    RequestError,
)
from feature_platform.governance import Change, Plan, plan
from feature_platform.project import Key, ProjectSnapshot, Snapshot, advisories
from feature_platform.registry import MemoryLog, Registry, SavedPlan, examine
from feature_platform.registry.commit import MAX_BYTES, Commit, replay
from feature_platform.registry.serialization import encode_record
from feature_platform.types import Int64

VIEW = FeatureView(
    name="stats",
    source=FileSource(name="rows", path="rows.parquet"),
    schema=[Field(name="x", dtype=Int64)],
)
RISK = FeatureService(name="risk_v1", features=["stats"])


def change_to(definition: Definition, before: str | None) -> Change:
    name, after = definition.name, definition.to_json()
    return Change(kind=definition.kind, name=name, before=before, after=after)


def commit(registry: Registry, owner: str, *desired: Any, **options: Any) -> Commit | None:
    made = plan(ProjectSnapshot(registry.snapshot(), "p"), owner=owner, desired=desired, **options)
    return registry.commit(made, principal=owner)


@pytest.fixture
def registry() -> Registry:
    registry = Registry(MemoryLog())
    commit(registry, "platform", VIEW)
    commit(registry, "risk", RISK)
    return registry


names = st.sampled_from(["stats", "rows", "risk_v1", "a", "b", "STATS"])


@given(st.lists(st.tuples(names, st.booleans()), max_size=6), st.booleans())
def test_t1_no_plan_of_a_team_changes_what_the_platform_owns(objects, partial) -> None:
    registry = Registry(MemoryLog())
    commit(registry, "platform", VIEW, Entity(name="e"), Policy(prefixes={"ops": ["ops_"]}))
    commit(registry, "growth", FeatureService(name="growth_v1", features=["stats"]))
    before = registry.snapshot()
    desired = {
        name: FeatureService(name=name, features=["stats"]) if own else Entity(name=name)
        for name, own in objects
    }
    try:
        commit(registry, "risk", *desired.values(), partial=partial, mass_delete=True)
    except RefusedError:
        assert registry.snapshot() == before
    after = registry.snapshot()
    for owner in ("platform", "growth"):
        assert ProjectSnapshot(after, "p").owned_by(owner) == ProjectSnapshot(before, "p").owned_by(
            owner
        )


@pytest.mark.parametrize("action", ["create", "update", "delete"])
@pytest.mark.parametrize("holder", ["platform", "growth"])
def test_t2_nobody_touches_what_another_owns(action: str, holder: str) -> None:
    registry = Registry(MemoryLog())
    commit(registry, "platform", VIEW)
    held = FeatureService(name="held", features=["stats"])
    commit(registry, holder, held)
    changed = held if action == "create" else held.model_copy(update={"description": "mine"})
    options = {"delete": [held]} if action == "delete" else {}
    desired = [] if action == "delete" else [changed]

    with refused(("ownership", "feature service 'held'", holder, "risk")):
        commit(registry, "risk", *desired, **options)
    assert commit(registry, holder, changed.model_copy(update={"description": "ours"}))


def test_t2_the_owner_is_compared_again_when_the_head_moved() -> None:
    class Raced(MemoryLog):
        def append(self, number: int, commit_id: str, record: bytes) -> bool:
            if number == 2 and b"by risk" in record:
                commit(Registry(self), "growth", FeatureService(name="s", features=["stats"]))
            return super().append(number, commit_id, record)

    registry = Registry(Raced())
    commit(registry, "platform", VIEW)
    late = FeatureService(name="s", features=["stats"], description="by risk")
    with raises(ConflictError, "p/feature_service/s", "growth") as caught:
        commit(registry, "risk", late)
    assert_names(caught.value, 1, 2)  # made at, taken in
    assert ProjectSnapshot(registry.snapshot(), "p").find("feature_service", "s").owner == "growth"


@pytest.mark.parametrize("owner", ["platform", "growth", "Risk", "risk ", "", "risk/../platform"])
def test_t3_a_plan_in_anothers_name_is_refused(registry: Registry, owner: str) -> None:
    change = change_to(Entity(name="mine"), None)
    forged = Plan(project="p", owner=owner, version=2, changes=(change,))

    with refused(("ownership", PLAN, "risk")) as caught:
        registry.commit(forged, principal="risk")
    assert repr(owner) in caught.value.problems[0].message
    assert registry.snapshot().version == 2


def hostile_names() -> list[str]:
    """Look-alikes, injections, paths, controls, spaces, lengths, and reserved characters."""
    seeds = [
        "", " ", "_x", "1;x", "x" * 64, "user_feature\u0455", "us\u0435r", "caf\u00e9",
        "cafe\u0301",
        "\uff41bc", "a\u200bb", "a\u202eb", "stats.", "stats ", " stats", "stats\n", "stats\x00",
        "../etc", "a/b", "a\\b", "a:b", "a*b", "a?b", "a'b", 'a"b', "a`b", "a;b", "a--b",
        "a  b", "a -b",
        "a,b", "a.b", "a%b", "a$b", "${HOME}", "$(id)", "{{x}}", "a|b", "a&b", "<b>", "a=b", "a+b",
        "a@b", "a#b", "a!b", "a~b", "a^b", "(a)", "[a]", "{a}", "\x1b[31m", "a\tb", "a\rb", "NUL:",
        "-a", "--help", "'; drop table x; --", "arn:aws:s3:::*", "s3://x", "\u0130stanbul",
    ]  # fmt: skip
    marks = ["\u0455", "\u200d", "'", '"', "/", "*", "\n", "  "]
    return seeds + [f"{seed[:8]}{mark}{n}" for n, seed in enumerate(seeds) for mark in marks]


def test_t4_hostile_names_are_no_names() -> None:
    corpus = hostile_names()
    assert len(corpus) > 500
    for name in corpus:
        assert not is_name(name), name
        with raises(DefinitionError, "name", repr(name)[1:-1][:20], 63):
            Entity(name=name)
    assert is_name("user_features_v2")


@given(st.from_regex(r"[A-Za-z][A-Za-z0-9_]{0,62}", fullmatch=True))
def test_t4_valid_names_are_told_apart_by_their_folded_form(name: str) -> None:
    """ASCII letters fold one to one, so two names that fold alike differ in case only."""
    assert is_name(name)
    assert name.casefold() == name.lower()
    assert len(name.casefold()) == len(name)


@pytest.mark.parametrize("name", ["x'; drop", "../../x", "a  b", "", "\u0455", "X" * 64])
@pytest.mark.parametrize("where", ["name", "kind", "project", "owner"])
def test_t5_hostile_names_written_into_storage_are_not_read(registry, where, name) -> None:
    log = registry.log
    body = json.loads(log.read(1)[0].partition(b"\n")[0])
    change = body["plan"]["changes"][0]
    if where in ("name", "kind"):
        change[where] = name
    else:
        body["plan"][where] = body["principal"] = name
    forged = forge(registry, 1, body)

    with pytest.raises(CorruptLogError):
        replay(registry.snapshot(1), [forged])


UNREADABLE = {
    "another name": '{"features":[{"view":"stats"}],"name":"x\'; drop","type":"feature_service"}',
    "another kind": '{"name":"risk_v1","type":"entity"}',
    "no features": '{"features":[],"name":"risk_v1","type":"feature_service"}',
    "no JSON": "no definition at all",
    "a list": "[]",
    "a number that is not finite": '{"name":"risk_v1","tags":NaN,"type":"feature_service"}',
    "a key set twice": '{"name":"risk_v1","name":"risk_v1","type":"feature_service"}',
    "a type of a newer release": '{"name":"risk_v1","type":"feature_check"}',
}


def with_content(registry: Registry, content: str, kind: str = "feature_service") -> MemoryLog:
    """Return the log with a hand-made commit of the team in place of its own."""
    body = json.loads(json.dumps(stored(registry, 2)))
    body["plan"]["changes"][0] |= {"after": content, "kind": kind}
    log = MemoryLog()
    for number, record in enumerate([registry.log.read(0)[0], forge(registry, 1, body)], 1):
        log.append(number, str(number), record)
    return log


@pytest.mark.parametrize("content", UNREADABLE.values(), ids=UNREADABLE)
def test_t5_content_that_cannot_be_read_stops_nobody(registry: Registry, content: str) -> None:
    log = with_content(registry, content)
    opened = Registry(log)
    project = ProjectSnapshot(opened.snapshot(), "p")

    with raises(CorruptLogError, "risk_v1"):
        project.get(FeatureService, "risk_v1")
    assert [view.name for view, _ in project.of(FeatureView)] == ["stats"]
    assert list(project.of(FeatureService)) == []
    report = examine(log)
    assert not report.is_damaged
    assert {(f.version, "risk_v1" in f.message) for f in report.findings} == {(2, True)}
    [advisory] = advisories(project, "risk")
    assert (advisory.reader.name, advisory.breaks) == ("risk_v1", True)
    assert list(advisories(project, "platform")) == []

    assert commit(opened, "platform", VIEW.model_copy(update={"description": "ours"}))
    assert commit(opened, "growth", FeatureService(name="growth_v1", features=["stats"]))
    assert commit(opened, "risk", RISK)
    assert ProjectSnapshot(opened.snapshot(), "p").get(FeatureService, "risk_v1") == RISK


def test_t5_an_owner_can_delete_what_cannot_be_read(registry: Registry) -> None:
    opened = Registry(with_content(registry, "no definition at all"))

    assert commit(opened, "risk", partial=False)
    assert ProjectSnapshot(opened.snapshot(), "p").owned_by("risk") == {}


def test_t5_an_unreadable_policy_permits_nothing(registry: Registry) -> None:
    strict = Policy(prefixes={"risk": ["risk_"]})
    commit(registry, "platform", strict)
    body = json.loads(json.dumps(stored(registry, 3)))
    body["plan"]["changes"][0]["after"] = "no policy at all"
    log = MemoryLog()
    records = [*registry.log.read(0, 2), forge(registry, 2, body)]
    for number, record in enumerate(records, 1):
        log.append(number, str(number), record)
    opened = Registry(log)

    with raises(CorruptLogError, "policy"):
        commit(opened, "risk", FeatureService(name="other", features=["stats"]))
    assert commit(opened, "platform", strict)
    with refused(("naming", "feature service 'other'", "risk", "risk_")):
        commit(opened, "risk", FeatureService(name="other", features=["stats"]))


def test_a_kind_of_a_newer_release_is_left_alone(registry: Registry) -> None:
    content = '{"name":"risk_v1","type":"feature_check"}'
    opened = Registry(with_content(registry, content, kind="feature_check"))
    key = Key("p", "feature_check", "risk_v1")

    assert commit(opened, "risk", partial=False) is None
    assert commit(opened, "risk", FeatureService(name="other", features=["stats"]), partial=False)
    assert opened.snapshot().entries[key].body == content


@pytest.mark.parametrize("content", UNREADABLE.values(), ids=UNREADABLE)
def test_what_is_checked_is_what_would_be_stored(registry: Registry, content: str) -> None:
    made = plan(
        ProjectSnapshot(registry.snapshot(), "p"),
        owner="risk",
        desired=[RISK.model_copy(update={"description": "changed"})],
    )
    changed = made.changes[0].model_copy(update={"after": content})

    with pytest.raises(RefusedError) as caught:
        registry.commit(made.model_copy(update={"changes": (changed,)}), principal="risk")
    assert [p.rule for p in caught.value.problems] == ["form"]
    assert registry.snapshot().version == 2


def test_a_definition_that_was_not_validated_is_refused(registry: Registry) -> None:
    invalid = FeatureService.model_construct(**dict(RISK) | {"references": (), "features": ()})

    with pytest.raises((RefusedError, AttributeError)):
        commit(registry, "risk", invalid)
    with raises(DefinitionError, "features"):
        RISK.model_copy(update={"features": ()})


def forge(registry: Registry, after_version: int, body: dict[str, Any], **changed: Any) -> bytes:
    """Return a commit after a version that is whole in itself: hash, chain and state."""
    before = registry.snapshot(after_version)
    made = Plan.model_validate(body["plan"])
    after = before.with_entries(made.entries(after_version + 1), before.at)
    body |= {
        "version": after_version + 1,
        "parent_id": before.cursor.commit_id,
        "parent_sha256": before.sha256,
        "log_id": before.cursor.log_id,
        "state": f"{after.digest:064x}",
    }
    return encode_record(body | changed)


def stored(registry: Registry, version: int) -> dict[str, Any]:
    return json.loads(registry.log.read(version - 1, 1)[0].partition(b"\n")[0])


def forged_commits(registry: Registry) -> dict[str, bytes]:
    """Commits that somebody with access to the bucket could put there after version 1."""
    good = stored(registry, 2)
    other = Registry(MemoryLog())
    commit(other, "platform", VIEW)
    commit(other, "risk", RISK)
    platforms = json.loads(json.dumps(good))
    platforms["plan"]["changes"][0] = change_to(
        VIEW.model_copy(update={"description": "mine"}), VIEW.to_json()
    ).model_dump()
    unread = json.loads(json.dumps(good))
    unread["plan"]["changes"][0]["before"] = "no definition at all"
    return {
        "of another log": other.log.read(1)[0],
        "another parent": forge(registry, 1, dict(good), parent_sha256="0" * 64),
        "another log id": forge(registry, 1, dict(good), log_id="0" * 32),
        "a later version": forge(registry, 1, dict(good), version=3),
        "an earlier version": registry.log.read(0)[0],
        "an equal time": forge(registry, 1, dict(good), at=str(registry.snapshot(1).at)),
        "another state": forge(registry, 1, dict(good), state="0" * 64),
        "in anothers name": forge(registry, 1, dict(good), principal="platform"),
        "changes what it does not own": forge(registry, 1, platforms),
        "replaces what is not there": forge(registry, 1, unread),
        "a field nobody knows": forge(registry, 1, dict(good), extra=1),
        "a version beyond all": forge(registry, 1, dict(good), version=10**40),
        "no seal": registry.log.read(1)[0].partition(b"\n")[0],
        "ten megabytes of nothing": b"0" * 10_000_000,
    }


FORGERIES = [
    "of another log", "another parent", "another log id", "a later version", "an earlier version",
    "an equal time", "another state", "in anothers name", "changes what it does not own",
    "replaces what is not there", "a field nobody knows", "a version beyond all", "no seal",
    "ten megabytes of nothing",
]  # fmt: skip


@pytest.mark.parametrize("what", FORGERIES)
def test_t10_a_forged_commit_ends_what_is_read(registry: Registry, what: str) -> None:
    log = MemoryLog()
    [first, second] = registry.log.read(0)
    forged = forged_commits(registry)[what]
    assert forged != second
    log.append(1, "a", first)
    log.append(2, "b", forged)

    with pytest.raises(CorruptLogError):
        Registry(log).snapshot()
    assert Registry(log).snapshot(1).version == 1
    with pytest.raises(CorruptLogError):
        commit(Registry(log), "platform", Entity(name="more"))
    assert len(log.read(0)) == 2
    assert [finding.version for finding in examine(log).findings] == [2]


def test_t10_the_same_commit_unforged_is_read(registry: Registry) -> None:
    assert forge(registry, 1, stored(registry, 2)) == registry.log.read(1)[0]
    assert replay(registry.snapshot(1), registry.log.read(1)).version == 2


def test_t10_a_forgery_that_keeps_the_chain_is_found_by_fsck(registry: Registry) -> None:
    """Who can write the storage can break rules that readers do not check; fsck says which."""
    service = FeatureService(name="dangling", features=["nowhere"])
    body = stored(registry, 2)
    body["plan"]["changes"] = [change_to(service, None).model_dump()]
    body["commit_id"] = "f" * 32
    log = MemoryLog()
    log.append(1, "a", registry.log.read(0)[0])
    log.append(2, "b", forge(registry, 1, body))

    [finding] = examine(log).findings
    assert (finding.version, finding.damage) == (2, False)
    assert_names(finding.message, "dangling", "nowhere")


@pytest.mark.parametrize("content", ["{}", Policy(reserved=["more"], max_objects=1).to_json()])
def test_t10_a_policy_that_a_team_forged_binds_nobody(registry: Registry, content: str) -> None:
    body = stored(registry, 2)
    change = Change(kind=Policy.kind, name="policy", before=None, after=content)
    body["plan"]["changes"] = [change.model_dump()]
    log = MemoryLog()
    log.append(1, "a", registry.log.read(0)[0])
    log.append(2, "b", forge(registry, 1, body | {"commit_id": "f" * 32}))

    forged = Registry(log)
    services = [FeatureService(name=name, features=["stats"]) for name in ("more", "most")]
    assert commit(forged, "growth", *services)
    assert commit(forged, "platform", Policy(reserved=["least"]))  # takes its place
    with refused(("naming", "feature service 'least'")):
        commit(forged, "growth", FeatureService(name="least", features=["stats"]))


YAML = [
    "!!python/object/apply:os.system ['touch hacked']",
    "!!python/name:os.system",
    "project: !!python/object/new:os.system ['touch hacked']",
    "!custom {project: x}",
    "project: a\nproject: b",
    "project: a\nteam: x\nteam: platform",
    "a: &a [x]\nproject: *a",
    "a: &a {x: 1}\nproject: {<<: *a}",
    "project: no",
    "project: 12:30:45",
    "project: 2026-01-01",
    "project: null",
    "project: [a]",
    "- project",
    "project",
    "",
    "project: 'a",
    "\t- x",
    "project: a\nunknown: 1",
    "project: a\nonline_store: {type: sqlite, path: [1]}",
    "project: " + "a" * 100,
    "project: ../../etc",
    "project: a\nteam: 'x; drop'",
    "project: " + "[" * 2000,
    "project: " + "{a: " * 500 + "}" * 500,
    "project: a\n" + "# x\n" * 400_000,
]


@pytest.mark.parametrize("text", YAML, ids=range(len(YAML)))
def test_t19_hostile_yaml_is_a_clear_error(tmp_path: Path, monkeypatch, text: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / FILE_NAME).write_text(text)

    with raises(ConfigError, FILE_NAME):
        RepoConfig.load(tmp_path)
    assert not (tmp_path / "hacked").exists()


def test_t19_honest_yaml_is_read(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_text("project: a\nteam: b\n")

    assert RepoConfig.load(tmp_path).team == "b"


def smuggled() -> list[bytes]:
    """JSON that two readers could understand in two ways."""
    texts = [
        b'{"a":1,"a":2}', b'{"x":{"owner":"risk","owner":"platform"}}', b'{"a":NaN}',
        b'{"a":Infinity}', b'{"a":-Infinity}', b"[" * 100_000, b'{"a":' * 100_000, b"", b"nonsense",
        b'{"a":1}{"b":2}', b'{"a":1,}', b"{'a':1}", b'{"a":01}', b'{"a":"\xff"}', b"\xef\xbb\xbf{}",
        b'{"a":"\n"}', b'{"a":.5}', b'{"a":+1}', b"// x", b'{"a":undefined}',
    ]  # fmt: skip
    for key in ("format", "version", "plan", "owner", "kind"):
        for value in (b"1", b'"x"', b"null", b"[]"):
            texts.append(b'{"%s":%s,"%s":2}' % (key.encode(), value, key.encode()))
            texts.append(b'{"deep":[{"%s":%s,"b":0,"%s":3}]}' % (key.encode(), value, key.encode()))
    return texts + [b'{"a":%s}' % (b"[" * n + b"NaN" + b"]" * n) for n in range(40)]


def test_t20_what_could_be_read_in_two_ways_is_refused() -> None:
    corpus = smuggled()
    assert len(corpus) >= 100
    for text in corpus:
        with pytest.raises(ValueError):  # noqa: PT011 - whatever is wrong with it
            check_strict(text)
    check_strict(b'{"a":1,"b":{"a":2}}')


@pytest.mark.parametrize("where", ["commit", "plan", "checkpoint"])
def test_t20_a_key_set_twice_is_refused_wherever_it_stands(registry: Registry, where: str) -> None:
    from feature_platform.registry.checkpoint import Checkpoint

    def sealed(text: bytes) -> bytes:
        return text + b"\n" + sha256(text).hexdigest().encode()

    body = registry.log.read(1)[0].partition(b"\n")[0]
    if where == "commit":
        twice = body.replace(b'"principal":"risk"', b'"principal":"platform","principal":"risk"')
        with raises(CorruptLogError, "'principal'"):
            replay(registry.snapshot(1), [sealed(twice)])
    elif where == "plan":
        made = SavedPlan.of(Plan(project="p", owner="a", version=1, changes=()), Snapshot())
        text = made.to_bytes().partition(b"\n")[0].replace(b'"owner":', b'"owner":"b","owner":')
        with raises(RequestError, "plan.json") as caught:
            SavedPlan.read(sealed(text), "plan.json")
        assert isinstance(caught.value.__cause__, CorruptLogError)
        assert "'owner'" in str(caught.value.__cause__)
    else:
        text = Checkpoint.of(registry.snapshot()).to_bytes().partition(b"\n")[0]
        assert Checkpoint.read(sealed(text.replace(b'"format":', b'"format":9,"format":'))) is None


def test_t24_a_commit_has_a_largest_size() -> None:
    registry = Registry(MemoryLog())
    huge = Entity(name="huge", description="x" * MAX_BYTES)

    with refused(("size", PLAN)) as caught:
        commit(registry, "platform", huge)
    assert_names(caught.value.problems[0].message.replace(",", ""), MAX_BYTES)
    assert commit(registry, "platform", Entity(name="big", description="x" * 1_000_000))


def test_t26_an_old_commit_cannot_be_written_again(registry: Registry) -> None:
    commit(registry, "risk", delete=[RISK])
    old = registry.log.read(1, 1)[0]
    for again in (old, forge(registry, 3, stored(registry, 2))):
        log = MemoryLog()
        for number, record in enumerate([*registry.log.read(0), again], 1):
            log.append(number, str(number), record)
        findings = []
        try:
            Registry(log).snapshot()
        except CorruptLogError as error:
            findings.append(str(error))
        else:
            findings += [finding.message for finding in examine(log).findings]
        assert findings


def test_kinds_are_what_the_log_accepts() -> None:
    assert set(kinds()) >= {"entity", "source", "feature_view", "transfer", "policy"}
