"""Steps that take a dataset in."""

from labelop.ingest.manifest import build_manifest as _build_manifest
from labelop.ingest.manifest import land_manifest as _land_manifest
from labelop.ingest.register import register_dataset as _register_dataset
from labelop.landing.expectations import check_manifest as _check_manifest
from labelop.review.truth import land_truths as _land_truths
from labelop.sensitivity.classify import classify_dataset as _classify_dataset
from tasks.binding import step

build_manifest = step(_build_manifest, name="build-manifest", retries=2)
check_manifest = step(_check_manifest, name="check-manifest")
land_manifest = step(_land_manifest, name="land-manifest", retries=2)
register_dataset = step(_register_dataset, name="register-dataset", retries=2)
land_truths = step(_land_truths, name="land-truths", retries=2)
classify_dataset = step(_classify_dataset, name="classify-dataset", retries=2)
