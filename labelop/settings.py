"""Where things are: the only module that reads the environment.

Knows names and defaults, not what is in the files they point at.
"""

from __future__ import annotations

import os
import pwd
import resource
import sys
import tempfile
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from labelop.egress.address import read_address, shown
from labelop.egress.environment import QUIET
from labelop.errors import SettingsError

MOST_RETENTION_HOURS = 10 * 366 * 24
"""Ten years: no reader is slower, and the table library ends the process on what its clock cannot count."""

_CHECKOUT = Path(__file__).resolve().parent.parent


class Settings(BaseSettings):
    """Operator settings; every field can be set as `LABELOP_<NAME>` in the environment."""

    model_config = SettingsConfigDict(env_prefix="LABELOP_", extra="ignore", frozen=True, hide_input_in_errors=True)

    store: str = Field(default="store", description="Root of the tables: a folder or any fsspec URI.")
    config: Path = Field(
        default=_CHECKOUT / "data/sample/config",
        description="Folder of policy.yaml, routing.yaml, prices.yaml, roles.yaml.",
    )
    catalog: Path = Field(default=_CHECKOUT / "data/sample/models", description="Folder of model cards (*.yaml).")
    sql: Path | None = Field(default=None, description="Folder of the SQL files; found by itself when empty.")
    cloud_url: str | None = Field(
        default=None,
        description="Open Inference Protocol v2 server of the cloud arm, http(s) or grpc(s); on loopback when empty.",
    )
    cloud_requests: int = Field(default=4, ge=1, description="Most requests of one worker under way to that server.")
    cloud_timeout_seconds: float = Field(default=60.0, gt=0, description="Longest wait for a whole answer of it.")
    cloud_compress: bool = Field(default=False, description="Send requests to it as gzip; JPEG gets no smaller.")
    # one configuration may serve machines of several sizes, so the bound is no core count of this one
    engine_threads: int = Field(default=1, ge=1, le=256, description="Threads one engine may use, at most 256.")
    engine: Literal["auto", "onnxruntime", "openvino", "torch"] = Field(
        default="auto",
        description="What runs models here; auto takes what `labelop models profile` measured, else the default.",
    )
    engine_precision: Literal["auto", "f32", "bf16"] = Field(
        default="auto", description="Precision of a pass; auto takes the measured one, else f32."
    )
    engine_device: Literal["auto", "cpu", "cuda", "tensorrt"] = Field(
        default="auto", description="Device of a pass; auto takes the measured one, else the processor."
    )
    engine_compile: bool = Field(default=False, description="Let torch compile models: slow to start, then faster.")
    shard_seconds: float = Field(
        default=300.0, gt=0, description="Work of one child run, where attempts or a profile tell how long it takes."
    )
    shard_workers: int = Field(
        default=1, ge=1, description="Workers of a pool: its work is cut into at least as many child runs."
    )
    operators_waiting: float | None = Field(
        default=None,
        ge=0,
        le=100,
        description="People who cannot work while this machine prelabels; the price book's `blocked` when empty.",
    )
    gpu_slots: int = Field(
        default=0, ge=0, description="Shards that may hold models on this machine at a time; no cap when 0."
    )
    gpu_slots_folder: Path = Field(
        default=Path(tempfile.gettempdir()) / "labelop-slots",
        description="Folder of the slots' lock files, one for all workers of the machine.",
    )
    audit: Path | None = Field(default=None, description="Egress log; beside a local store.")
    audit_heads: Path | None = Field(
        default=None, description="Folder of the egress log's signed heads, best on another disk; in the key folder."
    )
    keys: Path | None = Field(
        default=None, description="Folder of the private release key; beside a local store, and never inside it."
    )
    public_keys: Path | None = Field(
        default=None, description="Folder of public keys: an inference server then takes signed releases only."
    )
    approvals: Path | None = Field(
        default=None,
        description="Folder of the key that seals approvals of labels; beside a local store, and never inside it.",
    )
    user: str | None = Field(
        default=None, min_length=1, description="Name of who gives commands, as in roles.yaml; the system's user."
    )
    release_seconds: float = Field(default=900.0, gt=0, le=86400, description="How long a release is good for.")
    placement: Literal["onprem", "cloud"] | None = Field(
        default=None, description="Placement this process belongs to; it then does no work of another."
    )
    site: str | None = Field(
        default=None,
        pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$",
        description="Name of this site; its nights need no network, and `labelop sync` hands over what waits for one.",
    )
    site_folder: Path | None = Field(
        default=None,
        description="Folder of a site's outbox and of what it took; beside a local store.",
    )
    outbox_items: int = Field(default=10_000, ge=16, description="Most items that wait for the network.")
    outbox_bytes: int = Field(default=1 << 28, ge=1 << 20, description="Most bytes of what waits for the network.")
    head_store: str | None = Field(default=None, description="Store of head office: a folder or s3://bucket/prefix.")
    head_keys: Path | None = Field(
        default=None, description="Folder of head office's public keys: models and policies are taken when they fit."
    )
    openlineage: str | None = Field(
        default=None,
        description="Where OpenLineage events of nights go, file:///path or http(s)://host; none if empty.",
    )
    effort: Path | None = Field(
        default=None,
        description="Folder of seconds that reviewers' own work taught, a file per dataset; beside a local store.",
    )
    data_docs: Path | None = Field(default=None, description="Folder of the validation pages; beside a local store.")
    report: Path | None = Field(default=None, description="File of the nightly report; beside a local store.")
    label_studio_url: str | None = Field(
        default=None, description="Label Studio that drafts are pushed to and corrections pulled from, http(s)."
    )
    label_studio_token_file: Path | None = Field(
        default=None, description="File that holds the token for it and nothing else, for its owner only."
    )
    label_studio_root: Path | None = Field(
        default=None, description="Folder whose files it serves (its document root); images lie in folders below."
    )
    label_studio_onprem: bool = Field(
        default=False,
        description="It stands on premises, so every image may be named to it; one on loopback always does.",
    )
    s3_endpoint: str | None = Field(default=None, description="Endpoint of an S3-compatible store.")
    s3_key: str | None = Field(default=None, description="Access key id of that store.")
    s3_secret: SecretStr | None = Field(default=None, description="Secret of that store; never shown.")
    s3_region: str = Field(default="us-east-1", description="Region of that store.")
    store_single_writer: bool = Field(
        default=False,
        description="Use a store that cannot refuse the second of two writers; then write from one machine only.",
    )
    store_retention_hours: int = Field(
        default=168,
        ge=1,
        le=MOST_RETENTION_HOURS,
        description="How long files of old table versions are kept: longer than the longest reader.",
    )

    @field_validator("label_studio_url")
    @classmethod
    def _is_web_address(cls, value: str | None) -> str | None:
        if value and read_address(value).scheme not in ("http", "https"):
            raise ValueError(f"{shown(value)!r} is no web address; http(s)://host:port is expected")
        return value

    @field_validator("cloud_url")
    @classmethod
    def _is_address(cls, value: str | None) -> str | None:
        if value:
            read_address(value)
        return value

    @field_validator("openlineage", "s3_endpoint")
    @classmethod
    def _hides_nothing(cls, value: str | None) -> str | None:
        # such an address would be shown by `doctor`, by errors and by the libraries that open it
        if value and not value.startswith("file:") and shown(value) != value:
            raise ValueError("it holds a name, a password or a query, which anybody may read; leave it out")
        return value

    @property
    def local_root(self) -> Path:
        """Folder for what must be a local file: the store itself, or `labelop-local` where the store is remote."""
        return Path("labelop-local") if "://" in self.store else Path(self.store)

    @property
    def audit_path(self) -> Path:
        """Egress log on local disk, since a line must be on disk before a byte is sent."""
        return self.audit or self.local_root / "audit" / "egress.jsonl"

    @property
    def keys_path(self) -> Path:
        """Folder of the private release key, outside the tables: who reads tables must not be able to sign."""
        root = self.local_root.absolute()
        return self.keys or root.parent / f"{root.name or 'labelop'}-keys"

    @property
    def tokens_path(self) -> Path:
        """File of the key for tokens, outside the tables; not in LABELOP_KEYS, which only the gate's worker has."""
        root = self.local_root.absolute()
        return root.parent / f"{root.name or 'labelop'}-keys" / "tokens.key"

    @property
    def approvals_path(self) -> Path:
        """Folder of the key that seals approvals, outside the tables; everybody who counts accepted labels reads it."""
        root = self.local_root.absolute()
        return self.approvals or root.parent / f"{root.name or 'labelop'}-keys" / "approvals"

    @property
    def backend_token_path(self) -> Path:
        """File of the token that editors need for masks."""
        return self.approvals_path.parent / "backend.token"

    @property
    def acting_user(self) -> str:
        """Name of who gives commands: LABELOP_USER, else the user of this process. A word, not a proof."""
        if self.user:
            return self.user
        try:
            return pwd.getpwuid(os.getuid()).pw_name
        except KeyError:
            return f"uid-{os.getuid()}"  # a container without a user database

    @property
    def site_path(self) -> Path:
        """Folder of what waits at a site and of what it took, outside the tables."""
        root = self.local_root.absolute()
        return self.site_folder or root.parent / f"{root.name or 'labelop'}-site"

    @property
    def audit_heads_path(self) -> Path:
        """Folder of the egress log's signed heads."""
        return self.audit_heads or self.keys_path / "heads"

    @property
    def effort_path(self) -> Path:
        """Folder of what `labelop review calibrate --save` learnt."""
        return self.effort or self.local_root / "effort"

    @property
    def data_docs_path(self) -> Path:
        """Folder of the validation pages."""
        return self.data_docs or self.local_root / "data_docs"

    @property
    def report_path(self) -> Path:
        """File of the nightly report."""
        return self.report or self.local_root / "report.html"


def process_environment() -> dict[str, str]:
    """Copy the environment of this process, for a look at what it must not hold."""
    return dict(os.environ)


def be_quiet(*names: str) -> None:
    """Switch off what libraries would send or fetch by themselves, wherever nobody has said otherwise.

    To be called before they are imported: most of them look once.

    Args:
        names: Variables of `QUIET` to set; all when none is named.
    """
    for name in names or QUIET:
        os.environ.setdefault(name, QUIET[name])


def leave_no_dumps() -> None:
    """Let a crash of this process or its children write no core file: it would hold pixels, and the release key."""
    _, most = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, most))


def forbid(module: str) -> None:
    """Let no library import a module in this process, where its makers left no other way to keep it quiet."""
    sys.modules.setdefault(module, None)  # type: ignore[arg-type]


def load_settings(**overrides: object) -> Settings:
    """Read settings from the environment; overrides that are None are ignored.

    Raises:
        SettingsError: A value does not fit; the message names the setting.
    """
    given = {name: value for name, value in overrides.items() if value is not None}
    try:
        return Settings(**given)  # type: ignore[arg-type]
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=True)[0]
        name = "LABELOP_" + str(first["loc"][0]).upper() if first["loc"] else "settings"
        raise SettingsError(
            f"Setting {name} has the value {shown(str(first.get('input')))!r}: {first['msg']}.",
            hint="`labelop doctor` lists every setting with its value.",
        ) from error
