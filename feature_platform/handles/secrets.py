"""API keys from AWS Secrets Manager and Parameter Store."""

import json
import os
from typing import Any, Final

from feature_platform.errors import ConfigError

STORES: Final = ("secretsmanager", "parameterstore", "local")
_SECRET: Final = "hopsworks/role/{role}"  # noqa: S105 - a name, as Hopsworks has it
_FIELD: Final = "api-key"
_PARAMETER: Final = "/hopsworks/role/{role}/type/api-key"
_NAME: Final = "FEATURE_PLATFORM_SECRET"


def api_key(store: str, region_name: str) -> str:
    """Return the API key that a secrets store keeps for the AWS role of this process.

    Args:
        store: `secretsmanager`: the field `api-key` of the secret `hopsworks/role/<role>`.
            `parameterstore`: the parameter `/hopsworks/role/<role>/type/api-key`. The environment
            variable `FEATURE_PLATFORM_SECRET` names another secret or parameter.
        region_name: AWS region; `default` for boto3's.

    Raises:
        ConfigError: There is no such secret, or it cannot be read.
    """
    if store == "local":
        raise ConfigError("secrets_store='local' needs api_key_file.")
    if store not in STORES:
        raise ConfigError(f"secrets_store={store!r} is not one of {', '.join(STORES)}.")
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    options = {} if region_name == "default" else {"region_name": region_name}
    try:
        if store == "secretsmanager":
            name = os.environ.get(_NAME) or _SECRET.format(role=_role(options))
            text = boto3.client("secretsmanager", **options).get_secret_value(SecretId=name)
            return str(json.loads(text["SecretString"])[_FIELD])
        name = os.environ.get(_NAME) or _PARAMETER.format(role=_role(options))
        answer = boto3.client("ssm", **options).get_parameter(Name=name, WithDecryption=True)
        return str(answer["Parameter"]["Value"])
    except ConfigError:
        raise
    except (BotoCoreError, ClientError, KeyError, ValueError) as error:
        raise ConfigError(
            f"The API key cannot be read from {store}: {type(error).__name__}. Pass api_key_value "
            "or api_key_file, or give the AWS role of this process the right to read it."
        ) from None


def _role(options: dict[str, Any]) -> str:
    """Return the AWS role that this process assumed."""
    import boto3

    arn = str(boto3.client("sts", **options).get_caller_identity()["Arn"])
    kind, _, rest = arn.rpartition(":")[2].partition("/")
    role = rest.partition("/")[0]
    if kind != "assumed-role" or not role:
        raise ConfigError(
            "This process has no AWS role, which names the secret of the API key. Set "
            f"{_NAME}, or pass api_key_value or api_key_file."
        )
    return role
