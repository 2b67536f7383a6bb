"""The tables, as the newest migration leaves them. Times are UTC microseconds."""

from typing import Final

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
)

METADATA: Final = MetaData(
    naming_convention={
        "ix": "ix_%(column_0_label)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _id() -> Column[int]:
    """Drawn at random, so that an id tells nothing of how many there are."""
    return Column("id", BigInteger, primary_key=True, autoincrement=False)


FEED: Final = Table(
    "feed",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=False),  # 1: there is one row
    Column("database_id", String(32), nullable=False),
    Column("position", BigInteger, nullable=False),  # the newest sequence of ``changes``
    Column("kept_after", BigInteger, nullable=False),  # sequences up to here are forgotten
)
"""Locked by each transaction that writes: changes are numbered in the order of their commits."""

ORGANISATIONS: Final = Table(
    "organisations",
    METADATA,
    _id(),
    Column("name", String(100), nullable=False),
    Column("default_rules", JSON, nullable=False),  # what its properties' rules do not say
    Column("created_at", BigInteger, nullable=False),
)

USERS: Final = Table(
    "users",
    METADATA,
    _id(),
    Column("email", String(254), nullable=False, unique=True),
    Column("name", String(100), nullable=False),
    Column("created_at", BigInteger, nullable=False),
)

MEMBERSHIPS: Final = Table(
    "memberships",
    METADATA,
    Column("organisation_id", ForeignKey("organisations.id"), primary_key=True),
    Column("user_id", ForeignKey("users.id"), primary_key=True),
    Column("role", String(10), nullable=False),
    Column("created_at", BigInteger, nullable=False),
)

PROPERTIES: Final = Table(
    "properties",
    METADATA,
    _id(),
    Column("organisation_id", ForeignKey("organisations.id"), nullable=False, index=True),
    Column("name", String(100), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
)

DATA_STREAMS: Final = Table(
    "data_streams",
    METADATA,
    _id(),
    Column("property_id", ForeignKey("properties.id"), nullable=False, index=True),
    Column("measurement_id", String(12), nullable=False, unique=True),
    Column("name", String(100), nullable=False),
    Column("allowed_hosts", JSON, nullable=False),
    Column("enhanced_measurement", JSON, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
)

KEYS: Final = Table(
    "keys",
    METADATA,
    _id(),
    Column("key_hash", String(64), nullable=False, unique=True),
    Column("name", String(100), nullable=False),
    Column("scopes", JSON, nullable=False),
    Column("role", String(10), nullable=True),  # of a key of nobody's, with scope configure
    Column("user_id", ForeignKey("users.id"), nullable=True),  # whose memberships say the role
    Column("organisation_id", ForeignKey("organisations.id"), nullable=True, index=True),
    Column("property_id", ForeignKey("properties.id"), nullable=True, index=True),
    Column("data_stream_id", ForeignKey("data_streams.id"), nullable=True),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=True),
    Column("last_used_at", BigInteger, nullable=True),
    Column("revoked_at", BigInteger, nullable=True),
    Column("rotated_from", BigInteger, nullable=True),
)
"""Without an organisation a key is one of the whole deployment."""

RULES_DOCUMENTS: Final = Table(
    "rules_documents",
    METADATA,
    Column("id", String(64), primary_key=True),  # a hash of what it says
    Column("document", JSON, nullable=False),
)
"""Never changed: what many versions say lies here once."""

RULES_VERSIONS: Final = Table(
    "rules_versions",
    METADATA,
    Column("property_id", ForeignKey("properties.id"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("saved_at", BigInteger, nullable=False),
    Column("effective_at", BigInteger, nullable=True),  # null: since ever
    Column("author", String(200), nullable=False),
    Column("comment", Text, nullable=False),
    Column("said_id", ForeignKey("rules_documents.id"), nullable=False),  # of the property itself
    Column("whole_id", ForeignKey("rules_documents.id"), nullable=False),  # with what it inherits
)
"""Never changed."""

MADE_WHOLE: Final = Table(
    "rules_made_whole",
    METADATA,
    Column("preparation", BigInteger, primary_key=True, autoincrement=False),
    Column("said_id", ForeignKey("rules_documents.id"), primary_key=True),
    Column("whole_id", ForeignKey("rules_documents.id"), nullable=False),
)
"""What is said, with defaults that are about to be changed to; empty in between."""

CHANGES: Final = Table(
    "changes",
    METADATA,
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("at", BigInteger, nullable=False),
    Column("property_id", BigInteger, nullable=False),
    Column("measurement_ids", JSON, nullable=False),
)

AUDIT: Final = Table(
    "audit",
    METADATA,
    _id(),
    Column("at", BigInteger, nullable=False),
    Column("organisation_id", BigInteger, nullable=True),
    Column("property_id", BigInteger, nullable=True),
    Column("actor", String(200), nullable=False),
    Column("action", String(60), nullable=False),
    Column("resource", String(200), nullable=False),
    Column("details", JSON, nullable=False),
    Index("ix_audit_organisation_at", "organisation_id", "at"),
)

IDEMPOTENCY_KEYS: Final = Table(
    "idempotency_keys",
    METADATA,
    Column("caller", String(200), primary_key=True),
    Column("idempotency_key", String(200), primary_key=True),
    Column("fingerprint", String(64), nullable=False),
    Column("answer", JSON, nullable=False),
    Column("created_at", BigInteger, nullable=False, index=True),
)
