"""Which storage class objects lie in, by their age (S1-49 to S1-51, S1-114, S1-115): rules of the bucket, not ours.

A bucket moves its objects by itself once it has the rules. A local disk has no storage classes: there is nothing to do
there, and nothing is done. No rule ever deletes: an object that Iceberg names must go through the table first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlparse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from platform_assets.settings import Settings

# Days after which an object is older than the class allows; on the last day itself it stays (decisions.md, 7).
_RAW = (("NEARLINE", 91), ("COLDLINE", 366))  # S1-49, S1-114: 90 days hot, Nearline until day 365, then Coldline
_CURATED = (("NEARLINE", 181), ("COLDLINE", 731))  # S1-50, S1-115: 180 days hot, Nearline for two years, then Coldline
_LAYERS = {"bronze": _RAW, "silver": _CURATED, "quarantine": _CURATED}  # gold and mart stay hot (S1-51)


@dataclass(frozen=True)
class StorageRule:
    """That objects of a bucket change their class.

    Attributes:
        prefix: how their names begin.
        suffix: how they end, if that matters: what is read at every planning stays hot.
        age: days since an object was written from which on it belongs to the class.
    """

    bucket: str
    prefix: str
    suffix: str | None
    storage_class: str
    age: int


def storage_rules(settings: Settings) -> list[StorageRule]:
    """The rules of the landing bucket, and of the warehouse's if that is one."""
    return [*_of_landing(settings), *_of_warehouse(settings)]


def apply_storage_rules(settings: Settings) -> list[StorageRule]:
    """Gives the buckets the rules; others that they have stay. Returns those that the buckets then tell.

    Raises:
        google.cloud.exceptions.GoogleCloudError: a bucket is not there, or may not be changed.
    """
    from google.cloud import storage

    client = storage.Client(project=settings.project)
    wanted = storage_rules(settings)
    kept: list[StorageRule] = []
    for name in sorted({rule.bucket for rule in wanted}):
        bucket = client.get_bucket(name)
        known = {_key(dict(rule)) for rule in bucket.lifecycle_rules}
        new = [rule for rule in wanted if rule.bucket == name and _key(as_gcs(rule)) not in known]
        for rule in new:
            bucket.add_lifecycle_set_storage_class_rule(rule.storage_class, **_condition(rule))
        if new:
            bucket.patch()
        told = {_key(dict(rule)) for rule in client.get_bucket(name).lifecycle_rules}
        kept += [rule for rule in wanted if rule.bucket == name and _key(as_gcs(rule)) in told]
    return kept


def as_gcs(rule: StorageRule) -> dict[str, object]:
    """The rule as Cloud Storage's API has it."""
    condition: dict[str, object] = {"age": rule.age, "matchesPrefix": [rule.prefix]}
    if rule.suffix is not None:
        condition["matchesSuffix"] = [rule.suffix]
    return {"action": {"type": "SetStorageClass", "storageClass": rule.storage_class}, "condition": condition}


def _condition(rule: StorageRule) -> dict[str, object]:
    suffix = {} if rule.suffix is None else {"matches_suffix": [rule.suffix]}
    return {"age": rule.age, "matches_prefix": [rule.prefix], **suffix}


def _key(rule: dict[str, object]) -> str:
    import json

    return json.dumps(rule, sort_keys=True)


def _of_landing(settings: Settings) -> Iterator[StorageRule]:
    """What landed is raw, as bronze is."""
    for storage_class, age in _RAW:
        yield StorageRule(settings.landing_bucket, "source=", None, storage_class, age)


def _of_warehouse(settings: Settings) -> Iterator[StorageRule]:
    place = urlparse(settings.resolved_warehouse)
    if place.scheme not in {"gs", "gcs"}:
        return
    folder = place.path.strip("/")
    for layer, classes in _LAYERS.items():
        prefix = f"{folder}/{layer}/" if folder else f"{layer}/"
        for storage_class, age in classes:
            yield StorageRule(place.netloc, prefix, ".parquet", storage_class, age)
