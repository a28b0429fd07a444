"""The policies in the documentation, as far as the emulator evaluates them."""

import json
import re
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto.core.authorization import enable_iam_authentication
from tests_support import raises

from feature_platform.errors import StoreError
from feature_platform.registry.logs.s3 import S3Log

DOCS = Path(__file__).parents[2] / "docs" / "registry.md"


def policies(bucket: str) -> list[dict[str, Any]]:
    blocks = re.findall(r"```json\n(.*?)```", DOCS.read_text(), re.DOTALL)
    return [json.loads(block.replace("my-bucket", bucket)) for block in blocks]


@pytest.fixture
def clients(s3_endpoint: str, s3: Any, bucket: str) -> Any:
    """S3 clients of a team's role and of a reader, with permissions enforced."""
    iam = boto3.client("iam", endpoint_url=s3_endpoint)
    team, _ = policies(bucket)
    reader = json.loads(json.dumps(team))
    reader["Statement"][0]["Action"] = ["s3:GetObject"]
    made = {}
    for name, policy in (("team", team), ("reader", reader)):
        user = f"{name}-{bucket}"
        iam.create_user(UserName=user)
        iam.put_user_policy(UserName=user, PolicyName="p", PolicyDocument=json.dumps(policy))
        key = iam.create_access_key(UserName=user)["AccessKey"]
        made[name] = boto3.client(
            "s3",
            endpoint_url=s3_endpoint,
            region_name="us-east-1",
            aws_access_key_id=key["AccessKeyId"],
            aws_secret_access_key=key["SecretAccessKey"],
        )
    with enable_iam_authentication():
        yield made


def test_a_team_can_add_and_not_delete(clients: Any, bucket: str) -> None:
    log = S3Log(bucket, "registry", clients["team"])
    assert log.append(1, "a", b"first")
    log.keep(1, b"state")
    assert (log.read(0), log.last(), log.checkpoint()) == ([b"first"], 1, b"state")

    with raises(ClientError, "AccessDenied", "DeleteObject"):
        clients["team"].delete_object(Bucket=bucket, Key=f"registry/_log/{1:020d}.json")
    with raises(StoreError, f"s3://{bucket}/elsewhere/", "AccessDenied", "PutObject"):
        S3Log(bucket, "elsewhere", clients["team"]).append(1, "a", b"x")


def test_a_reader_cannot_add(clients: Any, bucket: str) -> None:
    S3Log(bucket, "registry", clients["team"]).append(1, "a", b"first")
    log = S3Log(bucket, "registry", clients["reader"])

    assert log.read(0) == [b"first"]
    with raises(StoreError, f"s3://{bucket}/registry/", "AccessDenied", "PutObject"):
        log.append(2, "b", b"second")


def test_the_bucket_policy_is_one_that_s3_takes(s3: Any, bucket: str) -> None:
    _, policy = policies(bucket)

    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy))
    assert json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"]) == policy
