import os
import shutil
import subprocess
import sys

import dagster as dg
import pytest
from dagster._core.launcher import WorkerStatus

from dagster_project import hosting
from dagster_project.run_launcher import WatchingRunLauncher


@pytest.fixture
def environment(tmp_path, monkeypatch):
    at = hosting.Hosting(home=tmp_path / "home", code_host="127.0.0.1", code_port=9)
    stores = {
        hosting.ARCHIVE: f"file:{tmp_path / 'archive'}",
        hosting.WIDE_ROWS: f"sqlite:{tmp_path / 'wide_rows.sqlite'}",
        hosting.RULES: str(tmp_path / "properties.json"),
    }
    for name, value in (at.environment() | stores).items():
        monkeypatch.setenv(name, value)
    at.home.mkdir()
    shutil.copy(hosting.INSTANCE, at.home)
    return at


@pytest.fixture
def instance(environment):
    with dg.DagsterInstance.get() as instance:
        yield instance


def test_the_instance_keeps_everything_under_its_home_and_reports_to_nobody(instance, environment):
    assert instance.root_directory == str(environment.home)
    instance.add_run(dg.DagsterRun(job_name="any"))
    assert (environment.home / "history" / "runs.db").exists()
    assert not instance.telemetry_enabled
    assert not instance.nux_enabled


def test_runs_are_watched_and_those_that_lost_their_process_retried(instance):
    assert instance.run_monitoring_enabled
    assert instance.run_retries_enabled
    assert not instance.run_retries_retry_on_asset_or_op_failure
    assert isinstance(instance.run_launcher, WatchingRunLauncher)
    assert instance.run_launcher.supports_check_run_worker_health


def test_backfills_leave_room_for_other_runs(instance):
    concurrency = instance.get_concurrency_config().run_queue_config
    limits = {limit["key"]: limit["limit"] for limit in concurrency.tag_concurrency_limits}
    assert limits["dagster/backfill"] < concurrency.max_concurrent_runs


def test_a_run_is_not_given_up_while_its_code_server_is_away(instance):
    health = instance.run_launcher.check_run_worker_health(dg.DagsterRun(job_name="any"))
    assert health.status is WorkerStatus.RUNNING


def test_the_definitions_load_and_no_process_that_serves_them_holds_beam(environment):
    code = (
        "import sys; import dagster as dg; from dagster_project.definitions import defs; "
        "dg.Definitions.validate_loadable(defs()); "
        "print(sorted(name for name in sys.modules if name.split('.')[0] in "
        "('apache_beam', 'collector', 'report_api')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=os.environ
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"


def test_settings_of_an_operator_are_left_alone(environment):
    (environment.home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    hosting.make_home(environment.home)
    assert (environment.home / "dagster.yaml").read_text() == "telemetry: {enabled: false}\n"
