"""An S3 server in this process, and sealed folders to put there."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import boto3
from moto.server import ThreadedMotoServer

from parfocal.core import manifest

BUCKET = "photographs"


class S3:
    """moto's server: it speaks HTTP to every process, and keeps what it holds while it is away."""

    def __init__(self) -> None:
        logging.getLogger("werkzeug").setLevel(logging.WARNING)
        self.server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        self.server.start()
        self.host, self.port = self.server.get_host_and_port()

    @property
    def environment(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": f"http://{self.host}:{self.port}",
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def client(self) -> "boto3.client":
        return boto3.client("s3", endpoint_url=f"http://{self.host}:{self.port}")

    def written(self) -> dict[str, object]:
        """Object to when it was written."""
        found = self.client().list_objects_v2(Bucket=BUCKET).get("Contents", [])
        return {one["Key"]: one["LastModified"] for one in found}

    def go(self) -> None:
        self.server.stop()

    def come_back(self) -> None:
        self.server = ThreadedMotoServer(ip_address="127.0.0.1", port=self.port, verbose=False)
        self.server.start()


@contextmanager
def serving() -> Iterator[S3]:
    """A server with an empty bucket, which the environment names; its keys are believed whatever they are."""
    s3 = S3()
    with mock.patch.dict(os.environ, s3.environment):
        s3.client().create_bucket(Bucket=BUCKET)
        try:
            yield s3
        finally:
            s3.go()


def folder(place: Path, kind: str = "dataset", files: int = 5, content: str = "") -> Path:
    """A sealed folder with a file in every subfolder."""
    with manifest.new_folder(place, kind) as scratch:
        for number in range(files):
            file = scratch / f"part {number % 3}" / f"{number}.txt"
            file.parent.mkdir(exist_ok=True)
            file.write_text(f"{content}{number}" * 100)
    return place
