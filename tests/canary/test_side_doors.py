"""The small ways out, one test each: errors, names, exports, pages, and what libraries send or fetch by themselves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import duckdb
import numpy as np
import pytest

from labelop.egress import gate as gate_module
from labelop.egress.audit import AuditLog, entries
from labelop.egress.far_end import FarEnd
from labelop.egress.gate import USES, Gate
from labelop.egress.keys import SigningKey
from labelop.egress.public_keys import Keyring
from labelop.engines.lanes import CloudLane, ImageItem, Ready
from labelop.engines.remote import RemoteEngine
from labelop.engines.transport import Travelled
from labelop.errors import (
    AnalysisError,
    AnnotationError,
    ExpectationsFailedError,
    LabelopError,
    ModelInputError,
    ReviewError,
    SettingsError,
    SourceUnavailableError,
)
from labelop.landing.rows import empty_table
from labelop.queries import list_queries, open_tables, run_file
from labelop.schemas import TABLES
from labelop.settings import be_quiet
from tasks import ingest, prelabel, report, review
from tasks.binding import Step
from tasks.told import UnexpectedError, safe, safely
from tests.canary.canaries import tagged
from tests.canary.capture import inference_server
from tests.small_sample import ROOT
from tests.unit.egress.egress_values import Policy
from tests.unit.engines.models import detector, picture

NAME = "cnry-patient-file.jpg"


def failing() -> None:
    """Fail with a name in the words, in the cause, and in the cause of the cause."""
    try:
        Path(f"/nowhere/{NAME}").read_bytes()
    except OSError as error:
        raise ValueError(NAME) from error


def told(error: Exception) -> str:
    """Write an error as an orchestrator does, with all that is chained to it."""
    import traceback  # noqa: PLC0415

    return "".join(traceback.format_exception(error)) + repr(error) + str(getattr(error, "context", ""))


def test_an_unexpected_error_is_told_by_class_and_place(capsys: pytest.CaptureFixture[str]) -> None:
    """Neither words nor causes of a foreign error leave; the worker's own standard error has them."""
    with pytest.raises(UnexpectedError) as caught:
        safely(failing)
    said = told(caught.value)
    assert NAME not in said
    assert "ValueError at test_side_doors.py" in said
    assert NAME in capsys.readouterr().err


@pytest.mark.parametrize(
    "kind", [AnnotationError, SourceUnavailableError, ExpectationsFailedError, ReviewError, AnalysisError]
)
def test_errors_that_may_name_files_keep_their_class_only(kind: type[LabelopError]) -> None:
    """The class says whether a retry helps; words and hint stay at home, also when the error is told twice."""
    first = safe(kind(f"File {NAME} is broken.", hint=NAME))
    again = safe(first)
    assert type(again) is kind
    assert NAME not in told(again)
    assert str(again) == str(first)
    assert "under " in str(again)


def test_what_an_operator_wrote_is_told() -> None:
    """A fault of the set-up is said in full, without what caused it."""
    error = SettingsError("LABELOP_STORE is a file.", hint="Name a folder.")
    error.__cause__ = OSError(NAME)
    said = told(safe(error))
    assert "LABELOP_STORE is a file. Hint: Name a folder." in said
    assert NAME not in said


def test_every_class_of_error_says_whether_it_may_be_told() -> None:
    """Errors about sources, tables, reviews and queries may not; a new family has to decide."""
    families = {kind.__name__: kind.tellable for kind in LabelopError.__subclasses__()}
    assert families == {
        "ConfigurationError": True,
        "ManifestError": False,
        "RoutingError": True,
        "EngineError": True,
        "LandingError": False,
        "ReviewError": False,
        "MachineError": False,
        "RoleError": False,
        "SiteError": False,
        "AnalysisError": False,
        "ChildError": False,
        "RunFailedError": True,
    }


def test_task_names_are_fixed_and_no_input_or_result_is_kept() -> None:
    """No task is named after its input, and Prefect neither hashes inputs nor keeps results."""
    steps = [one for module in (ingest, prelabel, report, review) for one in vars(module).values() if isinstance(one, Step)]  # fmt: skip  # noqa: E501
    assert len(steps) >= 15
    for one in steps:
        assert one.task.task_run_name is None
        assert one.task.persist_result is False
        assert not one.task.log_prints
        assert all(c.isalpha() or c == "-" for c in one.task.name)


def test_flows_keep_no_results_and_print_nothing() -> None:
    """Flow runs have no name made of their parameters; results are not kept; prints are not logs."""
    from flows.ingest_dataset import ingest_dataset  # noqa: PLC0415
    from flows.nightly import nightly  # noqa: PLC0415
    from flows.prelabel_batches import prelabel_batches  # noqa: PLC0415
    from flows.prelabel_dataset import prelabel_dataset  # noqa: PLC0415

    for one in (ingest_dataset, nightly, prelabel_batches, prelabel_dataset):
        assert one.flow_run_name is None
        assert one.persist_result is False
        assert not one.log_prints


def test_libraries_are_made_quiet_before_they_are_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Usage data and downloads are switched off for each of them; what an operator set stays."""
    for name in ("DO_NOT_TRACK", "HF_HUB_OFFLINE", "GX_ANALYTICS_ENABLED", "PREFECT_SERVER_ANALYTICS_ENABLED"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TRANSFORMERS_OFFLINE", "0")
    be_quiet()
    for name, value in {
        "DISABLE_TELEMETRY": "1",
        "DO_NOT_TRACK": "1",
        "GX_ANALYTICS_ENABLED": "false",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_OFFLINE": "1",
        "ORT_DISABLE_TELEMETRY": "1",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "RAY_USAGE_STATS_ENABLED": "0",
        "TRANSFORMERS_OFFLINE": "0",
    }.items():
        assert os.environ[name] == value


def test_importing_the_flows_is_enough_to_be_quiet() -> None:
    """A worker that nobody told anything is quiet as well, and so is what it starts."""
    code = "import flows, os; print(os.environ['DO_NOT_TRACK'], os.environ['HF_HUB_OFFLINE'])"
    bare = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=bare, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "1"]


def test_no_model_is_fetched_at_run_time() -> None:
    """A hub that would answer is not asked: a model that is not here is refused at once."""
    pytest.importorskip("transformers")
    code = (
        "import flows, socket, sys\n"
        "def no(*a, **k): print('asked the network'); sys.exit(9)\n"
        "socket.socket.connect = no\n"
        "from transformers import AutoConfig\n"
        "try: AutoConfig.from_pretrained('someone/model')\n"
        "except OSError: print('refused')\n"
    )
    bare = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": "/nonexistent"}
    done = subprocess.run([sys.executable, "-c", code], env=bare, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["refused"], done.stdout + done.stderr[-800:]


def test_queries_fetch_no_extension() -> None:
    """DuckDB neither downloads nor loads an extension by itself, and has no way out once views are made."""
    session = open_tables({name: empty_table(name) for name in TABLES})
    said = dict(session.sql("SELECT name, value FROM duckdb_settings()").fetchall())
    assert said["autoinstall_known_extensions"] == said["autoload_known_extensions"] == "false"
    assert said["enable_external_access"] == "false"
    for text in ("INSTALL httpfs", "LOAD httpfs", "SELECT * FROM 'https://labelop.example/x.parquet'"):
        with pytest.raises(duckdb.Error):
            session.execute(text)


def test_openvino_and_onnxruntime_bring_no_telemetry_that_we_start() -> None:
    """The package that comes with OpenVINO, and tells its maker of every import, is not loaded with the engine."""
    pytest.importorskip("openvino")
    code = (
        "import sys\nfrom labelop.engines import vino\nimport onnxruntime\nvino._library()\n"
        "assert 'openvino' in sys.modules\n"
        "print([name for name in sys.modules if name.startswith('openvino_telemetry.')])"
    )
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["[]"], done.stderr[-800:]


def test_onnxruntime_tells_nobody_that_it_is_here(tmp_path: Path) -> None:
    """Its import makes an id of this machine and a queue of events to send, unless it is told not to before."""
    bare = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": str(tmp_path)}
    subprocess.run([sys.executable, "-c", "import labelop.engines.graph"], env=bare, check=True)
    assert list(tmp_path.rglob("*")) == []


@pytest.mark.parametrize("way", ["expired", "used up", "other run"])
def test_a_refusal_on_the_way_is_in_the_audit_and_fails_its_image_alone(tmp_path: Path, way: str) -> None:
    """Far end or sender: the image gets a code of its own, the log a line, and the next image is sent."""
    card, key = detector(tmp_path), SigningKey.generate()
    audit = AuditLog(tmp_path / "audit.jsonl")
    gate = Gate(Policy(public={"cloud"}), audit, "cloud", key=key)
    far_end = FarEnd(Keyring([key.public]), "cloud", run_id="another run" if way == "other run" else None)
    items = [ImageItem(f"{number:064d}", picture(number), "public") for number in range(2)]
    from labelop.settings import Settings  # noqa: PLC0415

    with inference_server({card.id: card}, Settings(), far_end) as (url, _):
        engine = RemoteEngine(url, check=lambda one: gate.check(one, "run-1"), pause=lambda _: None)
        lane = CloudLane(engine, gate, "run-1", simulated=True)
        first, second = (one for one in lane.prepare(items) if isinstance(one, Ready))
        if way == "expired":
            far_end._clock = lambda: 2_000_000_000_000_000
        for _ in range(USES if way == "used up" else 0):
            far_end.check(first.handle.payload, first.handle.token)
        with pytest.raises(ModelInputError) as caught:
            lane.run(card, [first], Travelled())
        code = {"expired": "EXPIRED", "used up": "REPLAYED", "other run": "OTHER_RUN"}[way]
        assert caught.value.context["code"] == f"RELEASE_{code}"
        if way == "used up":
            assert np.isfinite(lane.run(card, [second], Travelled())["boxes"]).all()
        lane.close()
    lines = [line for line in entries(audit.path) if line["event"] == "refused_at_far_end"]
    assert [(line["image_id"], line["reason"], line["answer"]) for line in lines] == [(items[0].image_id, code, "deny")]
    assert lines[0]["payload_digest"] == first.handle.payload_digest


def test_a_release_of_another_run_is_not_sent_at_all(tmp_path: Path) -> None:
    """The sender looks at the release once more: what is not good does not even reach the far end."""
    gate = Gate(Policy(public={"cloud"}), AuditLog(tmp_path / "audit.jsonl"), "cloud")
    card = detector(tmp_path)
    engine = RemoteEngine("http://127.0.0.1:9", check=lambda one: gate.check(one, "run-2"), pause=lambda _: None)
    lane = CloudLane(engine, gate, "run-2", simulated=True)
    made = gate.release(picture(), "a" * 64, "public", "run-1")
    with pytest.raises(ModelInputError, match="OTHER_RUN"):
        lane.run(card, [Ready(ImageItem("a" * 64, picture(), "public"), made)], Travelled())
    (line,) = [one for one in entries(gate.audit.path) if one["event"] == "refused_before_send"]
    assert line["reason"] == "OTHER_RUN"
    lane.close()


def test_cost_tables_have_no_column_for_names() -> None:
    """No query that costs or effort are passed on with returns a path, an address or a free text."""
    session = open_tables({name: empty_table(name) for name in TABLES})
    at_home = {"accounting", "quarantine_list", "picture_list"}
    for info in list_queries():
        params = {one.name: "x" for one in info.params if not one.optional}
        columns = set(run_file(session, info.path, params).column_names)
        assert columns.isdisjoint({"path", "source_uri", "pointer"}) or info.name in at_home, info.name


def test_the_report_has_no_table_of_names() -> None:
    """Tables of the page are also artifacts of the orchestrator: none of them has a column that names a file."""
    from labelop.report.forms import FORMS  # noqa: PLC0415

    fields = {column.field for form in FORMS for column in form.columns}
    assert fields.isdisjoint({"path", "source_uri", "detail", "pointer", "image_id"})
    assert json.dumps(sorted(fields))


def test_notes_in_a_release_stay_whoever_signed_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A gate that hands on a file with its notes signs it like any other: the sender sees what it is and keeps it."""
    public = tagged("public")
    monkeypatch.setattr(gate_module, "encode_payload", lambda _: public.encoded)
    gate = Gate(Policy(public={"cloud"}), AuditLog(tmp_path / "audit.jsonl"), "cloud")
    lane = CloudLane(
        RemoteEngine("http://127.0.0.1:9", check=lambda one: gate.check(one, "run-1")), gate, "run-1", simulated=True
    )
    (ready,) = lane.prepare([ImageItem("a" * 64, public.pixels, "public")])
    assert isinstance(ready, Ready)
    with pytest.raises(ModelInputError, match="bare") as caught:
        lane.run(detector(tmp_path), [ready], Travelled())
    assert caught.value.context["code"] == "RELEASE_HAS_NOTES"
    (line,) = [one for one in entries(gate.audit.path) if one["event"] == "refused_before_send"]
    assert line["reason"] == "HAS_NOTES"
    lane.close()
