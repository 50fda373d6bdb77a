"""What the header of a DICOM file says: whose image it is, and whether names are drawn into the pixels.

DICOM is told by its content. Such files are not taken in as images; asking what they hold works all the same. Knows
no policy and no table; imports pydicom where a file is DICOM and nowhere else.
"""

from __future__ import annotations

import io

from labelop.errors import MissingExtraError, UnreadableImageError
from labelop.sensitivity.signals.base import Observation, keyed_token

NAME = "dicom"
VERSION = "1"
CATEGORIES = ("dicom_identity", "dicom_burned_in", "dicom_private")

_PREAMBLE = 128
_MAGIC = b"DICM"
_IDENTITY = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientAddress", "PatientTelephoneNumbers", "OtherPatientIDs",
    "OtherPatientNames", "PatientMotherBirthName", "IssuerOfPatientID", "AccessionNumber", "InstitutionName",
    "InstitutionAddress", "ReferringPhysicianName", "PerformingPhysicianName", "OperatorsName", "PhysiciansOfRecord",
    "RequestingPhysician", "DeviceSerialNumber", "StudyID",
)  # fmt: skip


def is_dicom(data: bytes) -> bool:
    """Say whether the content is a DICOM file."""
    return data[_PREAMBLE : _PREAMBLE + len(_MAGIC)] == _MAGIC


def observe(data: bytes, key: str = "") -> list[Observation]:
    """Look into the header; a file that is not DICOM has none.

    Raises:
        MissingExtraError: It is DICOM and pydicom is not installed.
        UnreadableImageError: The header cannot be read.
    """
    if not is_dicom(data):
        return []
    try:
        from pydicom import config, dcmread  # noqa: PLC0415 - only where a file is DICOM
    except ImportError as error:
        raise MissingExtraError(
            "DICOM files need pydicom.", hint="pip install 'labelop[sensitivity]'", code="MISSING"
        ) from error
    try:
        config.settings.reading_validation_mode = (
            config.IGNORE
        )  # odd values are common, and their names are all we want
        header = dcmread(io.BytesIO(data), stop_before_pixels=True)
        named = [name for name in _IDENTITY if str(header.get(name, "")).strip()]
        said = " ".join(str(header.get(name)) for name in named)
        flag = str(header.get("BurnedInAnnotation", "")).strip().upper()
        private = any(element.tag.is_private for element in header)
    except Exception as error:
        # a parser of hostile bytes: any class, and this is the rim
        raise UnreadableImageError(
            f"The DICOM header cannot be read: {type(error).__name__}.", code="CORRUPT"
        ) from error
    found = []
    if named:
        found.append(
            Observation("dicom_identity", "identity fields " + ", ".join(named), token=keyed_token(key, NAME, said))
        )
    if flag != "NO":
        said_so = "says YES" if flag == "YES" else "does not say NO"
        found.append(Observation("dicom_burned_in", f"the flag for burned-in annotation {said_so}"))
    if private:
        found.append(Observation("dicom_private", "private fields, which may hold anything"))
    return found
