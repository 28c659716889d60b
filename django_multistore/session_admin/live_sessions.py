"""
Users by their live sessions: subqueries, and the filter of a changelist of users.

For stores that have an index in the database where the users are.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Self

from django.contrib.admin import SimpleListFilter
from django.db import connections, models
from django.db.models import Count, Exists, OuterRef, Subquery, Value
from django.db.models.functions import Cast, Coalesce, Concat, Substr
from django.utils.translation import gettext_lazy as _

from .. import clock
from ..devices import configured_engine
from ..models import SessionRowQuerySet

if TYPE_CHECKING:
    from django.contrib.admin import ModelAdmin
    from django.db.models.expressions import Combinable
    from django.http import HttpRequest
    from django_stubs_ext import StrOrPromise

# Types of a primary key whose text the database writes as Python does.
TEXT_LIKE = (models.IntegerField, models.CharField, models.TextField, models.UUIDField)


@dataclass(frozen=True, slots=True)
class LiveSessions:
    """The live sessions of each user of a queryset, for subqueries in it."""

    rows: SessionRowQuerySet  # Those of the outer query's user.

    @classmethod
    def beside(cls, users: models.QuerySet[Any]) -> Self | None:
        """Return those of these users; None where the database can't tell them."""
        engine = configured_engine()
        index = None if engine is None else engine.get_store().database_index()
        if index is None or index.db != users.db:
            return None
        user_id = _user_id(_stored_field(users.model), users.db)
        return None if user_id is None else cls(index.filter(user_id=user_id))

    def exist(self, **conditions: Any) -> Exists:
        """Return whether the user has such a session."""
        return Exists(self.rows.filter(**conditions))

    def number(self) -> Coalesce:
        """Return how many the user has."""
        counted = self.rows.order_by().values("user_id").annotate(number=Count("*"))
        return Coalesce(Subquery(counted.values("number")), 0)


class LiveSessionsFilter(SimpleListFilter):
    """Narrow a changelist of users to those with such sessions."""

    title = _("sessions")
    parameter_name = "live_sessions"
    seen_within = {
        "hour": timedelta(hours=1),
        "day": timedelta(days=1),
        "week": timedelta(days=7),
    }

    def lookups(
        self, request: HttpRequest, model_admin: ModelAdmin[Any]
    ) -> list[tuple[str, StrOrPromise]]:
        return [
            ("live", _("With live sessions")),
            ("hour", _("Seen within the last hour")),
            ("day", _("Seen within the last 24 hours")),
            ("week", _("Seen within the last 7 days")),
            ("several", _("Two or more")),
            ("none", _("Without live sessions")),
        ]

    def queryset(
        self, request: HttpRequest, queryset: models.QuerySet[Any]
    ) -> models.QuerySet[Any]:
        chosen, sessions = self.value(), LiveSessions.beside(queryset)
        if chosen is None or sessions is None:
            return queryset
        if chosen in self.seen_within:
            seen_since = clock.now() - self.seen_within[chosen]
            return queryset.filter(sessions.exist(seen_at__gte=seen_since))
        if chosen == "live":
            return queryset.filter(sessions.exist())
        if chosen == "none":
            return queryset.filter(~sessions.exist())
        if chosen == "several":
            queryset = queryset.alias(_sessions=sessions.number()).filter(_sessions__gte=2)
        return queryset


def _stored_field(model: type[models.Model]) -> models.Field[Any, Any]:
    # A child's primary key is a link to its parent.
    field: Any = model._meta.pk
    while field.is_relation:
        field = field.target_field
    return field  # type: ignore[no-any-return]


def _user_id(field: models.Field[Any, Any], using: str) -> Combinable | None:
    # On the outer side, once for each user, so that the index on user_id is used. A field that
    # makes something else of what is stored has a text that only Python knows.
    if not isinstance(field, TEXT_LIKE) or hasattr(field, "from_db_value"):
        return None
    pk = OuterRef("pk")
    if isinstance(field, models.UUIDField) and field.db_type(connections[using]) == "char(32)":
        return _dashed(pk)
    return Cast(pk, models.CharField())


def _dashed(pk: OuterRef) -> Concat:
    # The 32 hexadecimal digits that are stored, in the form that str() gives a UUID.
    groups: list[Combinable] = []
    for start, length in ((1, 8), (9, 4), (13, 4), (17, 4), (21, 12)):
        groups += [Substr(pk, start, length), Value("-")]
    return Concat(*groups[:-1])
