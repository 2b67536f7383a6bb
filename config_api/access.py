"""Access: roles, scopes, what each kind of call needs, and what a caller may see."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum


class Role(IntEnum):
    """What somebody may do with an organisation; a higher one may all that a lower one may."""

    VIEWER = 1
    ANALYST = 2
    EDITOR = 3
    OWNER = 4


ROLES = {role.name.lower(): role for role in Role}


class Scope(StrEnum):
    """What a key opens."""

    COLLECT = "collect"  # sends hits by the Measurement Protocol
    READ = "read"  # reads reports
    CONFIGURE = "configure"  # this service, as far as the role goes
    REPLAY = "replay"  # computes history again
    FEED = "feed"  # follows the changes of all properties, for workers


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Who calls, as its key says.

    Attributes:
        actor: The name that the audit trail has.
        scopes: Of the key.
        role: In the whole deployment; ``None`` where it is one of organisations alone.
        roles: By organisation.
        property_id: The one property that the key is for; ``None`` where there is no such bound.
    """

    actor: str
    scopes: frozenset[str]
    role: Role | None = None
    roles: Mapping[int, Role] = field(default_factory=dict)
    property_id: int | None = None

    @property
    def organisation_ids(self) -> frozenset[int] | None:
        """Those that it may see; ``None`` means all."""
        return None if self.role is not None else frozenset(self.roles)

    def role_in(self, organisation_id: int | None) -> Role | None:
        """What it is in an organisation; ``None`` where it may not know that it exists.

        Without an organisation the deployment is meant.
        """
        if self.role is not None:
            return self.role
        return None if organisation_id is None else self.roles.get(organisation_id)


@dataclass(frozen=True)
class Needs:
    """What a call needs: a scope, and a role in what it is about."""

    scope: Scope
    role: Role = Role.VIEWER


_READS = Needs(Scope.CONFIGURE, Role.VIEWER)
_TRIES = Needs(Scope.CONFIGURE, Role.ANALYST)
_WRITES = Needs(Scope.CONFIGURE, Role.EDITOR)
_OWNS = Needs(Scope.CONFIGURE, Role.OWNER)
_FOLLOWS = Needs(Scope.FEED)
_REPLAYS = Needs(Scope.REPLAY)

NEEDS: Mapping[str, Needs] = {
    "list_accounts": _READS,
    "create_account": _OWNS,
    "get_account": _READS,
    "change_account": _OWNS,
    "list_properties": _READS,
    "create_property": _WRITES,
    "get_property": _READS,
    "change_property": _WRITES,
    "list_data_streams": _READS,
    "create_data_stream": _WRITES,
    "get_data_stream": _READS,
    "change_data_stream": _WRITES,
    "get_rules": _READS,
    "put_rules": _WRITES,
    "list_rules_versions": _READS,
    "get_rules_version": _READS,
    "diff_rules": _READS,
    "validate_rules": _TRIES,
    "preview_rules": _TRIES,
    "roll_back_rules": _WRITES,
    "replay_rules": _REPLAYS,
    "list_replays": _REPLAYS,
    "get_replay": _REPLAYS,
    "list_keys": _WRITES,
    "create_key": _WRITES,
    "rotate_key": _WRITES,
    "delete_key": _WRITES,
    "list_users": _OWNS,
    "create_user": _OWNS,
    "list_memberships": _OWNS,
    "create_membership": _OWNS,
    "put_membership": _OWNS,
    "delete_membership": _OWNS,
    "list_audit": _OWNS,
    "list_changes": _FOLLOWS,
    "lookup_properties": _FOLLOWS,
    "page_properties": _FOLLOWS,
}
"""By the name of the call: the table that every request is held against."""

ROLE_TO_GIVE: Mapping[str, Role] = {
    Scope.COLLECT: Role.EDITOR,
    Scope.READ: Role.EDITOR,
    Scope.CONFIGURE: Role.OWNER,
    Scope.REPLAY: Role.OWNER,
    Scope.FEED: Role.OWNER,
}
"""Who may hand out, rotate and delete keys of a scope."""
