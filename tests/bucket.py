"""A bucket on the tests' S3 server: files to and fro, and faults on demand."""

from __future__ import annotations

import json
import urllib.request
import uuid
from pathlib import Path
from typing import Any

from dedup.io import place, store


class Bucket:
    """A new bucket.

    url   s3://NAME
    """

    def __init__(self, endpoint: str) -> None:
        import boto3

        store._s3.cache_clear()  # another test may have had another endpoint or other credentials
        self.endpoint = endpoint
        self.name = f"tests-{uuid.uuid4().hex}"
        self.client: Any = boto3.client("s3")
        self.client.create_bucket(Bucket=self.name)
        self.url = f"s3://{self.name}"

    def put(self, source: Path, name: str) -> str:
        """Copy a file or folder there; its URL."""
        for path in [source] if source.is_file() else sorted(p for p in source.rglob("*") if p.is_file()):
            key = name if path == source else f"{name}/{path.relative_to(source).as_posix()}"
            self.client.put_object(Bucket=self.name, Key=key, Body=path.read_bytes())
        return f"{self.url}/{name}"

    def get(self, name: str, target: Path) -> Path:
        """Copy a folder from there."""
        for key in self.names(name + "/"):
            path = target / key[len(name) + 1 :]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(self.read(key))
        return target

    def names(self, prefix: str = "") -> list[str]:
        """The keys of all objects."""
        return [one.url[len(self.url) + 1 :] for one in store.of(self.url).find(f"{self.url}/{prefix}")]

    def read(self, key: str) -> bytes:
        """An object's bytes."""
        return place.Remote(f"{self.url}/{key}").read_bytes()

    def control(self, **fault: Any) -> None:
        """Have the server fail some of the next requests, as tests/store_server.py tells; without arguments none."""
        body = json.dumps(fault).encode()
        with urllib.request.urlopen(urllib.request.Request(f"{self.endpoint}/.control", body, method="POST")):
            pass

    def counts(self) -> dict[str, int]:
        """Requests by method since this was last asked; LIST are those that list."""
        with urllib.request.urlopen(f"{self.endpoint}/.control") as answer:
            return dict(json.load(answer))
