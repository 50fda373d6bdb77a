"""The one tree of errors, so that every failure carries ids, a hint, and whether a retry can help.

LabelopError                       hint, context, retryable = False
  ConfigurationError               SettingsError, PolicyError, CatalogError, MissingExtraError, KeysError,
                                   UnsafeStoreError
  ManifestError                    UnreadableImageError, DigestMismatchError, AnnotationError,
                                   SourceUnavailableError (retryable)
  RoutingError                     NoEligiblePlacementError, PlacementForbiddenError, ReleaseRefusedError,
                                   PlanOutdatedError
  EngineError                      ModelLoadError, ModelInputError, EngineResponseError,
                                   EngineUnavailableError (retryable), EngineTimeoutError (retryable)
  ChildError                       ChildTimeoutError, ChildCrashedError, ChildFaultError
  LandingError                     SchemaMismatchError, ExpectationsFailedError, UnknownTableError, SealedDataError,
                                   StoreUnavailableError (retryable)
  ReviewError                      ReviewFormatError, ReviewRecordError, ReviewServerRefusedError,
                                   ReviewServerError (retryable)
  AnalysisError                    UnknownQueryError, QueryParameterError, MissingPriceError, PilotError,
                                   EmptyArmError
  MachineError                     a disk, a folder or a permission refused where nothing more is known
  RoleError                        somebody asked for what their role does not allow
  SiteError                        PublishedError, OutboxFullError (retryable), HeadOfficeUnavailableError (retryable)
  RunFailedError                   a run ended without doing all of its work
    RunCancelledError                somebody called it off
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

_log = logging.getLogger(__name__)
_FULL = {errno.ENOSPC, errno.EDQUOT}


class LabelopError(Exception):
    """Base of every error this project raises on purpose.

    Args:
        message: What failed, with ids, what was got and what was expected.
        hint: What the reader can do next; one sentence or empty.
        context: Further facts by name. Never pixels, never secrets.
    """

    retryable: ClassVar[bool] = False
    """Whether the same call may succeed later without any change."""
    tellable: ClassVar[bool] = True
    """Whether its words may leave the premises: they hold ids and what the operator wrote, no file's name, no label."""

    def __init__(self, message: str, *, hint: str = "", **context: Any) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.context = context

    def __str__(self) -> str:
        return f"{self.message} Hint: {self.hint}" if self.hint else self.message

    def __reduce__(self) -> tuple[Any, ...]:
        # keyword-only arguments do not survive the default protocol, and errors cross process borders
        return (_rebuild, (type(self), self.message, self.hint, self.context))


def _rebuild(kind: type[LabelopError], message: str, hint: str, context: dict[str, Any]) -> LabelopError:
    return kind(message, hint=hint, **context)


@contextmanager
def kept_first(first: BaseException, doing: str) -> Iterator[None]:
    """Do something in the wake of an error that has to stay the one that is raised.

    What goes wrong meanwhile is logged and becomes a note of the first error, since it is most often its consequence.

    Args:
        first: The error that is being raised.
        doing: What the block does, as the begin of a sentence.
    """
    try:
        yield
    except Exception as later:  # noqa: BLE001 - it is told with the first one
        said = f"{doing} failed too: {type(later).__name__}: {later}"
        _log.warning("%s", said)
        first.add_note(said)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Let an error of the system name the file a block writes: it has a name only where a file was being opened."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise


def of_machine(error: OSError) -> MachineError:
    """Give an error of the system as one of ours: the file it is about, and what helps."""
    what = error.strerror or str(error) or type(error).__name__
    mend = "Make room there" if error.errno in _FULL else "Mend that"
    said = f"{what}{f': {error.filename}' if error.filename else ''}."
    return MachineError(said, hint=f"{mend} and run again: what has landed stays landed.")


class ConfigurationError(LabelopError):
    """Something the operator wrote is wrong or missing."""


class SettingsError(ConfigurationError):
    """A setting or environment variable has no usable value."""


class PolicyError(ConfigurationError):
    """A policy, routing or price file breaks its form."""


class CatalogError(ConfigurationError):
    """A model card breaks its form or does not match its files."""


class MissingExtraError(ConfigurationError):
    """An optional library is needed and not installed."""


class KeysError(ConfigurationError):
    """A key is missing, unsafe where it lies, or not the one it claims to be."""


class UnsafeStoreError(ConfigurationError):
    """The place of the tables lets two racing writers both win, so that rows would be lost."""


class ManifestError(LabelopError):
    """A source or one of its files cannot be taken in."""

    tellable = False


class UnreadableImageError(ManifestError):
    """One file cannot be used as an image; `code` is its quarantine reason."""

    @property
    def code(self) -> str:
        """Quarantine reason code, for example `CORRUPT`."""
        return str(self.context.get("code", "UNREADABLE"))


class DigestMismatchError(ManifestError):
    """Bytes are not the bytes their digest names."""


class SourceUnavailableError(ManifestError):
    """A source cannot be read now; nothing is said about its files, and the same call may succeed later."""

    retryable = True


class AnnotationError(ManifestError):
    """An annotation file or record breaks its form."""


class RoutingError(LabelopError):
    """No decision could be made about where work may run."""


class NoEligiblePlacementError(RoutingError):
    """Every placement was refused; the reasons are in the context."""


class PlacementForbiddenError(RoutingError):
    """Work reached a placement that its level does not allow."""


class ReleaseRefusedError(RoutingError):
    """The far end did not take an image: its release is missing or not good for it. `code` says why."""

    @property
    def code(self) -> str:
        """Reason code, for example `OTHER_BYTES`; all are in `labelop/egress/release_token.py`."""
        return str(self.context.get("code", "MALFORMED"))


class PlanOutdatedError(RoutingError):
    """What is known of a batch's images has changed since it was planned: a new run plans it anew and heals it.

    Not retryable, since the same call would meet the same plan again.
    """


class EngineError(LabelopError):
    """A model could not be loaded or run."""


class ModelLoadError(EngineError):
    """A model file cannot be opened by its engine."""


class ModelInputError(EngineError):
    """An input does not have the shape or type the model expects."""


class EngineResponseError(EngineError):
    """An engine or server answered with something else than was asked for."""


class EngineUnavailableError(EngineError):
    """The engine did not answer; the same call may succeed later."""

    retryable = True


class EngineTimeoutError(EngineError):
    """The engine answered too late; the same call may succeed later."""

    retryable = True


class ChildError(LabelopError):
    """A child process gave no answer."""

    tellable = False


class ChildTimeoutError(ChildError):
    """A child process was killed at its deadline."""


class ChildCrashedError(ChildError):
    """A child process ended before its answer."""


class ChildFaultError(ChildError):
    """What ran in a child process raised; `kind` in the context is the name of its error."""


class LandingError(LabelopError):
    """Rows could not be written to or read from a table."""

    tellable = False


class UnknownTableError(LandingError):
    """No table of this name exists in the schema."""


class SchemaMismatchError(LandingError):
    """Rows do not have the columns or types of their table."""


class StoreUnavailableError(LandingError):
    """An object store, or the way to it, does not answer as it should; the same call may succeed later."""

    retryable = True


class ExpectationsFailedError(LandingError):
    """Rows break an expectation and were not let through."""


class SealedDataError(LandingError):
    """Encrypted bytes cannot be opened: damaged, of another image or purpose, or their key was shredded."""


class ReviewError(LabelopError):
    """A review could not be exported or imported."""

    tellable = False


class ReviewFormatError(ReviewError):
    """A review file breaks its form."""


class ReviewRecordError(ReviewError):
    """One record of a review file cannot be used; its siblings can. `code` is its quarantine reason."""

    @property
    def code(self) -> str:
        """Quarantine reason code, for example `UNKNOWN_LABEL`."""
        return str(self.context.get("code", "BAD_RECORD"))

    @property
    def pointer(self) -> str:
        """JSON pointer of the place, below the record as far as the raiser knew it; empty for the record itself."""
        return str(self.context.get("pointer", ""))

    def below(self, pointer: str) -> ReviewRecordError:
        """Name the same fault as seen from one level up, where the record lies at `pointer`."""
        return ReviewRecordError(self.message, hint=self.hint, **{**self.context, "pointer": pointer + self.pointer})


class ReviewServerError(ReviewError):
    """A review server, or the way to it, does not answer as it should; the same call may succeed later."""

    retryable = True


class ReviewServerRefusedError(ReviewError):
    """A review server answered that it will not do what was asked, or with something else than was asked for."""


class AnalysisError(LabelopError):
    """A question could not be answered from the tables."""

    tellable = False


class UnknownQueryError(AnalysisError):
    """No query of this name exists."""


class QueryParameterError(AnalysisError):
    """A query parameter is missing, unknown or of the wrong type."""


class MissingPriceError(AnalysisError):
    """The price book has no price for something that was used."""

    tellable = True


class PilotError(AnalysisError):
    """A pilot cannot be planned or compared as it was asked for."""


class EmptyArmError(AnalysisError):
    """An arm of a comparison has nothing to compare."""


class MachineError(LabelopError):
    """A disk, a folder or a permission refused, in a place that has no error of its own for it."""

    tellable = False


class RoleError(LabelopError):
    """Somebody asked for what their role does not allow."""

    tellable = False


class SiteError(LabelopError):
    """What a site keeps for the network, or takes from it, is not as it should be."""

    tellable = False


class OutboxFullError(SiteError):
    """The outbox takes no more: work has to stop until something was handed over."""

    retryable = True


class HeadOfficeUnavailableError(SiteError):
    """Head office could not be reached; what waits goes on waiting."""

    retryable = True


class PublishedError(SiteError):
    """What head office published is not taken: forged, older, stale, or it does not fit together."""


class RunFailedError(LabelopError):
    """A run ended without doing all of its work."""


class RunCancelledError(RunFailedError):
    """A run ended because somebody called it off; it can be resumed."""
