"""What versions of rules say lies in documents of their own; what is inherited is told apart.

Versions that there are say all that holds by them: nobody's rules change with anybody's defaults
who has not said so.
"""

import hashlib
from collections.abc import Iterator
from typing import Any, Final

import orjson
import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_AT_A_TIME: Final = 500
_REFERS: Final = ("said_id", "whole_id")


def upgrade() -> None:
    op.create_table(
        "rules_documents",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("document", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rules_documents")),
    )
    op.create_table(
        "rules_made_whole",
        sa.Column("preparation", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("said_id", sa.String(length=64), nullable=False),
        sa.Column("whole_id", sa.String(length=64), nullable=False),
        *(
            sa.ForeignKeyConstraint(
                [name], ["rules_documents.id"], name=op.f(f"fk_rules_made_whole_{name}")
            )
            for name in _REFERS
        ),
        sa.PrimaryKeyConstraint("preparation", "said_id", name=op.f("pk_rules_made_whole")),
    )
    for name in _REFERS:
        op.add_column("rules_versions", sa.Column(name, sa.String(length=64), nullable=True))
    _fill(op.get_bind())
    with op.batch_alter_table("rules_versions") as table:
        table.drop_column("document")
        for name in _REFERS:
            table.alter_column(name, existing_type=sa.String(length=64), nullable=False)
            table.create_foreign_key(
                op.f(f"fk_rules_versions_{name}"), "rules_documents", [name], ["id"]
            )


_INSERT: Final = sa.text(
    "INSERT INTO rules_documents (id, document) VALUES (:id, :document) ON CONFLICT DO NOTHING"
).bindparams(sa.bindparam("document", type_=sa.JSON()))
_UPDATE: Final = sa.text(
    "UPDATE rules_versions SET said_id = :id, whole_id = :id"
    " WHERE property_id = :property_id AND number = :number"
)


def _fill(connection: sa.Connection) -> None:
    for rows in _portions(connection):
        told = [
            {"id": _id(document), "document": document, "property_id": owner, "number": number}
            for owner, number, document in rows
        ]
        documents = {row["id"]: {"id": row["id"], "document": row["document"]} for row in told}
        connection.execute(_INSERT, list(documents.values()))
        connection.execute(_UPDATE, told)


def _portions(connection: sa.Connection) -> Iterator[list[Any]]:
    after = (-1, 0)
    while True:
        rows = connection.execute(
            sa.text(
                "SELECT property_id, number, document FROM rules_versions"
                " WHERE property_id > :owner OR (property_id = :owner AND number > :number)"
                " ORDER BY property_id, number LIMIT :most"
            ).columns(property_id=sa.BigInteger, number=sa.Integer, document=sa.JSON),
            {"owner": after[0], "number": after[1], "most": _AT_A_TIME},
        ).all()
        if not rows:
            return
        yield list(rows)
        after = rows[-1][0], rows[-1][1]


def _id(document: dict[str, Any]) -> str:
    return hashlib.sha256(orjson.dumps(document, option=orjson.OPT_SORT_KEYS)).hexdigest()
