"""A run launcher that knows whether the process of a run is alive."""

import os

from dagster import DagsterRun, deserialize_value
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.launcher import CheckRunHealthResult, DefaultRunLauncher, WorkerStatus
from dagster._grpc.client import DagsterGrpcClient
from dagster._grpc.types import GetCurrentRunsResult

from dagster_project.hosting import CODE_HOST, CODE_PORT


class WatchingRunLauncher(DefaultRunLauncher):
    """Dagster's own launcher, plus health: a run lives while the code server knows its process.

    So a run whose process went with its code server is found, marked as failed and started again,
    instead of holding its place in the queue for ever.
    """

    @property
    def supports_check_run_worker_health(self) -> bool:
        """That is what this class is for."""
        return True

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """Ask the code server; one that does not answer is being started again, so ask later."""
        client = DagsterGrpcClient(host=os.environ[CODE_HOST], port=int(os.environ[CODE_PORT]))
        try:
            answer = deserialize_value(client.get_current_runs(), GetCurrentRunsResult)
        except DagsterUserCodeUnreachableError:
            return CheckRunHealthResult(WorkerStatus.RUNNING, "the code server does not answer")
        if run.run_id in answer.current_runs:
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        return CheckRunHealthResult(WorkerStatus.FAILED, "the code server has no process of it")
