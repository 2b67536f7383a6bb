"""Wide rows in a table of Bigtable, or of its emulator."""

import time
from collections.abc import Callable
from typing import Any, Final, TypeVar

import grpc
import polars as pl
from google.api_core import exceptions, retry
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigtable_admin_v2, bigtable_v2
from google.cloud.bigtable_admin_v2.services.bigtable_table_admin.transports import (
    BigtableTableAdminGrpcTransport,
)
from google.cloud.bigtable_v2.services.bigtable.transports import BigtableGrpcTransport

from stores.wide_rows import bigtable_messages as messages
from stores.wide_rows.deadline import spending
from stores.wide_rows.limits import (
    cells_of,
    check_document,
    check_most_rows,
    checked_cells,
    checked_families,
    merged_ranges,
)
from stores.wide_rows.port import FAMILIES, WideRowsUnavailableError

T = TypeVar("T")

_TRANSIENT: Final = (
    exceptions.Aborted,
    exceptions.Cancelled,
    exceptions.DeadlineExceeded,
    exceptions.InternalServerError,
    exceptions.ResourceExhausted,
    exceptions.ServiceUnavailable,
    exceptions.Unknown,  # what a connection that broke off is called
)
_ANONYMOUS: Final = AnonymousCredentials()  # type: ignore[no-untyped-call]
_CHANNEL_OPTIONS: Final = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
]


class BigtableWideRows:
    """The port ``WideRows`` over a table. Threads may share it.

    Args:
        project: Project id; any name with the emulator.
        instance: Instance id; any name with the emulator.
        table: Table id.
        emulator: ``HOST:PORT`` of an emulator, else Bigtable with the default credentials.
        creates: Whether a table that is missing is created.
        deadline_seconds: How long a call, with its repetitions, may take; less where the request
            has less time left (``stores.wide_rows.deadline``).
    """

    def __init__(
        self,
        project: str,
        instance: str,
        table: str,
        *,
        emulator: str = "",
        creates: bool = False,
        deadline_seconds: float = 10.0,
    ) -> None:
        self._parent = f"projects/{project}/instances/{instance}"
        self._table_id = table
        self._table = f"{self._parent}/tables/{table}"
        self._emulator = emulator
        self._creates = creates
        self._deadline_seconds = deadline_seconds
        self._client = bigtable_v2.BigtableClient(transport=self._transport(BigtableGrpcTransport))

    def write(self, cells: pl.DataFrame) -> None:
        """Write a frame of cells; what a failed call did write may be written again."""
        for request in messages.write_requests(self._table, checked_cells(cells)):
            self._mutate(request)

    def read(
        self,
        ranges: list[tuple[bytes, bytes]],
        families: tuple[str, ...] = (),
        *,
        most_rows: int | None = None,
    ) -> pl.DataFrame:
        """The newest cells of all rows, or the first, in the ranges; each row as of one moment."""
        merged, wanted = merged_ranges(ranges), checked_families(families)
        check_most_rows(most_rows)
        if not merged:  # to Bigtable no ranges would mean the whole table
            return cells_of([])
        request = messages.range_request(self._table, merged, wanted, most_rows=most_rows)
        return cells_of(self._read(request))

    def read_rows(self, row_keys: list[bytes], families: tuple[str, ...] = ()) -> pl.DataFrame:
        """The newest cells of the named rows, ordered by key."""
        keys, wanted = sorted(set(row_keys)), checked_families(families)
        requests = messages.row_requests(self._table, keys, wanted)
        return cells_of([cell for request in requests for cell in self._read(request)])

    def compare_and_set(
        self,
        row_key: bytes,
        qualifier: bytes,
        *,
        expected: bytes | None,
        value: bytes,
        version: int,
    ) -> bool:
        """Write a control document if its newest value is ``expected``."""
        check_document(row_key, qualifier, value, version)
        held = self.read_rows([row_key], ("c",)).filter(pl.col("qualifier") == qualifier)
        held_value, held_version = (
            held.select("value", "version").row(0) if len(held) else (None,) * 2
        )
        if held_value != expected or (held_version is not None and held_version >= version):
            return False
        request = messages.document_request(
            self._table, row_key, qualifier, held_version=held_version, value=value, version=version
        )
        wrapped = bigtable_v2.CheckAndMutateRowRequest.wrap(request)
        # Not repeated: the answer to a second try could not tell our own write from another's.
        answer = self._once(
            lambda seconds: self._client.check_and_mutate_row(wrapped, retry=None, timeout=seconds)
        )
        return bool(answer.predicate_matched) == (expected is not None)

    def delete(self, ranges: list[tuple[bytes, bytes]]) -> None:
        """Remove the rows that the ranges hold now."""
        merged = merged_ranges(ranges)
        if not merged:
            return
        cells = self._read(messages.keys_request(self._table, merged))
        for request in messages.delete_requests(self._table, [cell[0] for cell in cells]):
            self._mutate(request)

    def close(self) -> None:
        """Close the channel."""
        self._client.transport.close()  # type: ignore[no-untyped-call]

    def _read(self, request: Any) -> list[tuple[bytes, str, bytes, int, bytes]]:
        wrapped = bigtable_v2.ReadRowsRequest.wrap(request)

        def attempt(seconds: float) -> list[tuple[bytes, str, bytes, int, bytes]]:
            responses = self._client.read_rows(wrapped, retry=None, timeout=seconds)
            return list(messages.merged_cells(responses))

        return self._repeatedly(attempt)

    def _mutate(self, request: Any) -> None:
        wrapped = bigtable_v2.MutateRowsRequest.wrap(request)

        def attempt(seconds: float) -> None:
            for response in self._client.mutate_rows(wrapped, retry=None, timeout=seconds):
                for entry in response.entries:
                    if entry.status.code:
                        raise _failure(entry.status)

        self._repeatedly(attempt)

    def _repeatedly(self, attempt: Callable[[float], T]) -> T:
        """Try until it works or the deadline has passed; for what may be done twice."""
        with spending(self._deadline_seconds) as seconds:
            end = time.monotonic() + seconds
            again = retry.Retry(
                predicate=retry.if_exception_type(*_TRANSIENT),
                initial=0.02,
                maximum=1.0,
                timeout=seconds,
            )
            with_time_left = again(lambda: attempt(max(0.001, end - time.monotonic())))
            return self._once(lambda _: with_time_left())

    def _once(self, attempt: Callable[[float], T]) -> T:
        try:
            try:
                return attempt(self._deadline_seconds)
            except exceptions.NotFound:
                self._create_table()
                return attempt(self._deadline_seconds)
        except (*_TRANSIENT, exceptions.RetryError) as error:
            raise WideRowsUnavailableError(f"the wide rows in {self._table}: {error}") from error

    def _create_table(self) -> None:
        if not self._creates:
            raise LookupError(
                f"there is no {self._table}; create it with the families {', '.join(FAMILIES)}, "
                "each with a GC policy of one version, or let it be created: &create=true"
            )
        one_version = {"gc_rule": {"max_num_versions": 1}}
        table = {"column_families": dict.fromkeys(FAMILIES, one_version)}
        request = {"parent": self._parent, "table_id": self._table_id, "table": table}
        admin = bigtable_admin_v2.BaseBigtableTableAdminClient(
            transport=self._transport(BigtableTableAdminGrpcTransport)
        )
        with admin:
            try:
                admin.create_table(request, retry=None, timeout=self._deadline_seconds)
            except exceptions.AlreadyExists:
                return

    def _transport(self, kind: Any) -> Any:
        if not self._emulator:
            return kind()
        channel = grpc.insecure_channel(self._emulator, options=_CHANNEL_OPTIONS)
        return kind(channel=channel, credentials=_ANONYMOUS)


def _failure(status: Any) -> exceptions.GoogleAPICallError:
    failure: exceptions.GoogleAPICallError = exceptions.from_grpc_status(  # type: ignore[no-untyped-call]
        status.code, status.message
    )
    return failure
