"""Object stores: what the rest of the package asks of one, answered by boto3 for s3:// and by fsspec for other URLs.

boto3 rather than pyarrow's own S3 or s3fs: its listing gives the ETags, it writes on condition that an object is not
there yet or still the same (the lock of an output), it aborts an upload that breaks off where pyarrow would publish the
half that arrived, and it takes endpoint, region, credentials and profile from where every AWS tool takes them.

A missing object is a FileNotFoundError. Any other fault is an error of ours, never an OSError: what reads a shard takes
those for damage of the file and would go on with the rest.
"""

from __future__ import annotations

import datetime
import errno
import functools
import itertools
import os
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

from dedup.errors import DedupError, RunError, UserError, one_line

ATTEMPTS = 6  # of a request, with 0 to 1, 2, 4 ... 20 s in between; AWS_MAX_ATTEMPTS says otherwise
PART_BYTES = 32 << 20  # of an upload; up to two of them go as one request
UPLOADS = 4  # parts at once
REMOVED = 1_000  # objects by one request, the most that S3 takes
Answer = TypeVar("Answer")


class Object(NamedTuple):
    """What a listing says of an object.

    tag         changes when the object does
    age         seconds since it was written, by the store's clock; None where a listing gave it
    """

    url: str
    bytes: int
    mtime_ns: int
    tag: str
    age: float | None = None


class Conflict(Exception):
    """An object is there already, or is no longer the one that was to be replaced."""


class Store(Protocol):
    """One store; objects go by their whole URLs."""

    def find(self, prefix: str) -> Iterator[Object]:
        """Every object whose URL begins so, by one listing."""
        ...

    def about(self, url: str) -> Object:
        """One object; FileNotFoundError where there is none."""
        ...

    def read(self, url: str, begin: int, end: int | None) -> tuple[bytes, int]:
        """(bytes `begin` to `end` - 1 or as many as there are, size of the object); a negative begin: the last ones."""
        ...

    def upload(self, path: Path, url: str) -> None:
        """Make a file an object, which appears whole or not at all."""
        ...

    def write(self, data: bytes, url: str, only: str | None = None) -> str:
        """Make bytes an object; its tag.

        only   "" where there must be none yet, else the tag of the one to be replaced; Conflict where it is not so
        """
        ...

    def remove(self, url: str) -> None:
        """Remove an object; nothing where there is none."""
        ...

    def remove_below(self, prefix: str) -> None:
        """Remove every object whose URL begins so."""
        ...

    def abort_uploads(self, prefix: str) -> None:
        """Forget what uploads that broke off left below a prefix."""
        ...


def scheme_of(url: str) -> str:
    """The part before ://."""
    return url.partition("://")[0]


def of(url: str) -> Store:
    """The store that a URL names."""
    scheme = scheme_of(url)
    return _s3() if scheme in ("s3", "s3a") else _other(scheme)


# S3


@functools.cache
def _s3() -> S3:
    return S3()


class S3:
    """Amazon's S3 and what speaks its protocol; AWS_ENDPOINT_URL says where."""

    def __init__(self) -> None:
        try:
            import boto3
            import botocore.config
            import botocore.exceptions
        except ImportError:
            raise UserError("s3:// needs one more package: pip install 'dedup[s3]'") from None
        self._errors: Any = botocore.exceptions
        retries: dict[str, Any] = {"mode": "standard"}
        if "AWS_MAX_ATTEMPTS" not in os.environ:
            retries["total_max_attempts"] = ATTEMPTS
        config = botocore.config.Config(retries=retries, max_pool_connections=64, tcp_keepalive=True)
        try:
            region = boto3.session.Session().region_name or "us-east-1"
            self._client: Any = boto3.client("s3", region_name=region, config=config)
        except (botocore.exceptions.BotoCoreError, ValueError) as error:
            raise UserError(f"s3: {one_line(error)}") from None

    def find(self, prefix: str) -> Iterator[Object]:
        bucket, key = _parts(prefix)
        begin = prefix[: len(prefix) - len(key)]
        more: dict[str, str] = {}
        while True:
            ask = functools.partial(self._client.list_objects_v2, Bucket=bucket, Prefix=key, **more)
            answer = self._ask(prefix, ask)
            for one in answer.get("Contents", ()):
                stamp = int(one["LastModified"].timestamp() * 1_000_000_000)
                yield Object(begin + one["Key"], one["Size"], stamp, one["ETag"].strip('"'))
            if not answer.get("IsTruncated"):
                return
            more = {"ContinuationToken": answer["NextContinuationToken"]}

    def about(self, url: str) -> Object:
        bucket, key = _parts(url)
        answer = self._ask(url, lambda: self._client.head_object(Bucket=bucket, Key=key))
        written, now = answer["LastModified"], _date(answer)
        age = (now - written).total_seconds() if now is not None else None
        stamp = int(written.timestamp() * 1_000_000_000)
        return Object(url, answer["ContentLength"], stamp, answer["ETag"].strip('"'), age)

    def read(self, url: str, begin: int, end: int | None) -> tuple[bytes, int]:
        bucket, key = _parts(url)
        wanted = f"bytes={begin}" if begin < 0 else f"bytes={begin}-{'' if end is None else end - 1}"

        def ask() -> tuple[bytes, int]:
            answer = self._client.get_object(Bucket=bucket, Key=key, Range=wanted)
            try:
                data = answer["Body"].read()
            except self._errors.BotoCoreError as error:
                raise _BrokenBody(one_line(error)) from None
            whole = answer.get("ContentRange", "").rpartition("/")[2]
            return data, int(whole) if whole.isdigit() else len(data)

        for attempt in range(ATTEMPTS):
            try:
                return self._ask(url, ask)
            except _EmptyRange as empty:
                return b"", empty.size
            except _BrokenBody as broken:  # which boto3 does not ask for again
                if attempt + 1 == ATTEMPTS:
                    raise RunError(f"{url}: {broken}; the same command goes on from here") from None
                time.sleep(0.1 * 2**attempt)
        raise AssertionError("unreachable")

    def upload(self, path: Path, url: str) -> None:
        from boto3.exceptions import S3UploadFailedError
        from boto3.s3.transfer import TransferConfig

        bucket, key = _parts(url)
        config = TransferConfig(2 * PART_BYTES, UPLOADS, PART_BYTES, preferred_transfer_client="classic")

        def ask() -> None:
            try:
                self._client.upload_file(str(path), bucket, key, Config=config)
            except S3UploadFailedError as error:  # it says which of botocore's it was in its context only
                raise (error.__context__ or error) from None

        self._ask(url, ask)

    def write(self, data: bytes, url: str, only: str | None = None) -> str:
        bucket, key = _parts(url)
        condition = {} if only is None else {"IfMatch": f'"{only}"'} if only else {"IfNoneMatch": "*"}
        answer = self._ask(url, lambda: self._client.put_object(Bucket=bucket, Key=key, Body=data, **condition))
        return str(answer["ETag"].strip('"'))

    def remove(self, url: str) -> None:
        bucket, key = _parts(url)
        self._ask(url, lambda: self._client.delete_object(Bucket=bucket, Key=key))

    def remove_below(self, prefix: str) -> None:
        bucket, _ = _parts(prefix)
        for some in _batched(self.find(prefix), REMOVED):
            keys = [{"Key": _parts(one.url)[1]} for one in some]
            ask = functools.partial(self._client.delete_objects, Bucket=bucket, Delete={"Objects": keys, "Quiet": True})
            for fault in self._ask(prefix, ask).get("Errors", ()):
                raise UserError(f"s3://{bucket}/{fault['Key']}: cannot be removed ({fault['Code']})")

    def abort_uploads(self, prefix: str) -> None:
        bucket, key = _parts(prefix)
        try:
            answer = self._ask(prefix, lambda: self._client.list_multipart_uploads(Bucket=bucket, Prefix=key))
        except DedupError:
            return  # a key may be allowed to write and not to list uploads; they cost room only
        for one in answer.get("Uploads", ()):
            ask = functools.partial(self._client.abort_multipart_upload, Bucket=bucket)
            self._ask(prefix, functools.partial(ask, Key=one["Key"], UploadId=one["UploadId"]))

    def _ask(self, url: str, ask: Callable[[], Answer]) -> Answer:
        """Do a request, its fault said in our words."""
        errors = self._errors
        try:
            return ask()
        except errors.ClientError as error:
            raise self._of_answer(url, error.response) from None
        except (errors.NoCredentialsError, errors.PartialCredentialsError, errors.ProfileNotFound) as error:
            raise UserError(
                f"{url}: {one_line(error)}; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
            ) from None
        except errors.ParamValidationError as error:
            raise UserError(f"{url}: {one_line(error)}") from None
        except errors.BotoCoreError as error:
            raise RunError(f"{url}: {one_line(error)}; the same command goes on from here") from None

    @staticmethod
    def _of_answer(url: str, answer: dict[str, Any]) -> Exception:
        error = answer.get("Error", {})
        code, status = str(error.get("Code", "")), answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        said = f"{code}: {one_line(error.get('Message', ''))}"
        if code == "NoSuchBucket":
            return UserError(f"{url}: there is no bucket {_parts(url)[0]!r}")
        if status == 404:
            return FileNotFoundError(errno.ENOENT, "no such object", url)
        if status == 412 or code == "ConditionalRequestConflict":
            return Conflict(url)
        if status == 416:
            return _EmptyRange(int(error.get("ActualObjectSize", 0)))
        if status in (401, 403):
            return UserError(f"{url}: access denied ({said})")
        if status >= 500 or status == 429:
            return RunError(f"{url}: the store fails ({said}); the same command goes on from here")
        return UserError(f"{url}: the store refuses ({said})")


class _EmptyRange(Exception):
    """Nothing of an object is in the range that was asked for."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.size = size


class _BrokenBody(Exception):
    """An answer broke off."""


def _batched(objects: Iterable[Object], size: int) -> Iterator[list[Object]]:
    """Some objects at a time; itertools.batched came with Python 3.12."""
    left = iter(objects)
    while some := list(itertools.islice(left, size)):
        yield some


def _parts(url: str) -> tuple[str, str]:
    """(bucket, key) of a URL."""
    bucket, _, key = url.partition("://")[2].partition("/")
    return bucket, key


def _date(answer: dict[str, Any]) -> datetime.datetime | None:
    """When the store answered, by its own clock."""
    from email.utils import parsedate_to_datetime

    said = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
    return parsedate_to_datetime(said) if said else None


# Whatever else fsspec opens


@functools.cache
def _other(scheme: str) -> Other:
    return Other(scheme)


class Other:
    """A store that fsspec knows. Whether its objects appear whole, and what is told of them, is the store's matter."""

    def __init__(self, scheme: str) -> None:
        try:
            import fsspec

            self._fs: Any = fsspec.filesystem(scheme, use_listings_cache=False)
        except (ImportError, ValueError) as error:
            raise UserError(f"{scheme}:// cannot be opened ({one_line(error)}); pip install fsspec and it") from None
        self._begin = f"{scheme}://"

    def find(self, prefix: str) -> Iterator[Object]:
        folder = prefix.rpartition("/")[0]
        self._fs.invalidate_cache()
        try:
            found = self._ask(prefix, lambda: self._fs.find(self._inside(folder), detail=True))
        except FileNotFoundError:
            return
        for name in sorted(found):
            one = self._object(self._url(name), found[name])
            if one.url.startswith(prefix):
                yield one

    def about(self, url: str) -> Object:
        info = self._ask(url, lambda: self._fs.info(self._inside(url)))
        if info.get("type") == "directory":
            raise FileNotFoundError(errno.ENOENT, "no such object", url)
        return self._object(url, info)

    def read(self, url: str, begin: int, end: int | None) -> tuple[bytes, int]:
        size = self.about(url).bytes
        begin, end = max(begin + size, 0) if begin < 0 else begin, size if end is None else min(end, size)
        if begin >= end:
            return b"", size
        return self._ask(url, lambda: self._fs.cat_file(self._inside(url), start=begin, end=end)), size

    def upload(self, path: Path, url: str) -> None:
        inside = self._inside(url)
        self._ask(url, lambda: self._fs.makedirs(self._fs._parent(inside), exist_ok=True))
        self._ask(url, lambda: self._fs.put_file(str(path), inside))

    def write(self, data: bytes, url: str, only: str | None = None) -> str:
        inside = self._inside(url)
        try:
            now = self.about(url).tag
        except FileNotFoundError:
            now = ""
        if only is not None and now != only:
            raise Conflict(url)
        self._ask(url, lambda: self._fs.makedirs(self._fs._parent(inside), exist_ok=True))
        self._ask(url, lambda: self._fs.pipe_file(inside, data))
        return self.about(url).tag

    def remove(self, url: str) -> None:
        try:
            self._ask(url, lambda: self._fs.rm_file(self._inside(url)))
        except FileNotFoundError:
            return

    def remove_below(self, prefix: str) -> None:
        for one in list(self.find(prefix)):
            self.remove(one.url)

    def abort_uploads(self, prefix: str) -> None:
        """Not ours to know."""

    def _inside(self, url: str) -> str:
        return str(self._fs._strip_protocol(url))

    def _url(self, name: str) -> str:
        return self._begin + str(name).removeprefix(self._begin)

    def _object(self, url: str, info: dict[str, Any]) -> Object:
        stamp = next((info[n] for n in ("mtime", "LastModified", "last_modified", "created") if info.get(n)), 0)
        seconds = stamp.timestamp() if isinstance(stamp, datetime.datetime) else stamp
        stamp_ns = int(seconds * 1_000_000_000) if isinstance(seconds, int | float) else 0
        tag = next((info[n] for n in ("ETag", "etag", "md5Hash", "ino") if info.get(n)), "")
        age = time.time() - seconds if stamp_ns else None
        return Object(url, int(info.get("size") or 0), stamp_ns, f"{tag}-{stamp_ns}".strip('"'), age)

    def _ask(self, url: str, ask: Callable[[], Any]) -> Any:
        try:
            return ask()
        except FileNotFoundError:
            raise FileNotFoundError(errno.ENOENT, "no such object", url) from None
        except PermissionError as error:
            raise UserError(f"{url}: access denied ({one_line(error)})") from None
        except Exception as error:  # every store has its own
            raise RunError(
                f"{url}: {type(error).__name__}: {one_line(error)}; the same command goes on from here"
            ) from None
