"""A local S3 server, and the environment that points boto3, DVC and MLflow at it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
import requests
from moto.server import ThreadedMotoServer

ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}
_USERS_OWN = ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_S3", "AWS_CONFIG_FILE", "AWS_REGION")


@dataclass(frozen=True)
class S3Server:
    """A server without buckets.

    Attributes:
        endpoint_url: also in AWS_ENDPOINT_URL.
        client: of boto3.
    """

    endpoint_url: str
    client: Any

    def upload(self, folder: Path, bucket: str, prefix: str = "") -> None:
        """Put every file of a folder into a new bucket."""
        self.client.create_bucket(Bucket=bucket)
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                self.client.put_object(
                    Bucket=bucket, Key=prefix + path.relative_to(folder).as_posix(), Body=path.read_bytes()
                )

    def upload_in_parts(self, bucket: str, key: str, content: bytes) -> None:
        """Put an object whose ETag is no MD5, as of every large one."""
        asked = {"Bucket": bucket, "Key": key}
        asked["UploadId"] = self.client.create_multipart_upload(**asked)["UploadId"]
        part = {"PartNumber": 1, "ETag": self.client.upload_part(**asked, PartNumber=1, Body=content)["ETag"]}
        self.client.complete_multipart_upload(**asked, MultipartUpload={"Parts": [part]})

    def trust_nobody(self) -> None:
        """From now on refuse every request whose credentials the server has not issued."""
        requests.post(f"{self.endpoint_url}/moto-api/reset-auth", data="0", timeout=10).raise_for_status()


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    for name in _USERS_OWN:
        monkeypatch.delenv(name, raising=False)
    for name, value in (ENVIRONMENT | {"AWS_ENDPOINT_URL": s3_endpoint}).items():
        monkeypatch.setenv(name, value)
    requests.post(f"{s3_endpoint}/moto-api/reset", timeout=10).raise_for_status()
    yield S3Server(s3_endpoint, boto3.client("s3"))
    requests.post(f"{s3_endpoint}/moto-api/reset-auth", data="inf", timeout=10).raise_for_status()
