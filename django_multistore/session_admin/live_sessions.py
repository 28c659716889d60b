"""
Users by their live sessions: subqueries, and the filter of a changelist of users.

For stores that have an index in the database where the users are.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from functools import reduce
from operator import add, or_
from typing import TYPE_CHECKING, Any, Self

from django.contrib.admin import SimpleListFilter
from django.db import models
from django.db.models import Count, Exists, Q, Subquery
from django.db.models.functions import Coalesce
from django.utils.translation import gettext_lazy as _

from ..devices import configured_engine
from ..models import SessionRowQuerySet
from ..session import clock
from ..session.namespaces import in_sql
from ..session.users import key_of

if TYPE_CHECKING:
    from django.contrib.admin import ModelAdmin
    from django.db.models.expressions import Combinable
    from django.http import HttpRequest
    from django_stubs_ext import StrOrPromise


@dataclass(frozen=True, slots=True)
class LiveSessions:
    """The live sessions of each user of a queryset, for subqueries in it."""

    # Those of the outer query's user, by each spelling of the primary key. Not by one condition:
    # MariaDB leaves its index on user_id aside for a list of expressions.
    rows: tuple[SessionRowQuerySet, ...]

    @classmethod
    def beside(cls, users: models.QuerySet[Any]) -> Self | None:
        """Return those of these users; None where the database can't tell them."""
        engine = configured_engine()
        if engine is None or not engine.get_store().has_database_index:
            return None
        index = engine.get_store().database_index()
        if index.db != users.db:
            return None
        texts = key_of(users.model).in_sql(users.model, users.db)
        if texts is None:
            return None
        return cls(tuple(index.filter(user_id=user_id) for user_id in in_sql(texts)))

    def exist(self, **conditions: Any) -> Q:
        """Return whether the user has such a session."""
        return reduce(or_, (Q(Exists(rows.filter(**conditions))) for rows in self.rows))

    def number(self) -> Combinable:
        """Return how many the user has."""
        return reduce(add, map(_number_of, self.rows))


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
            return queryset.filter(sessions.exist(last_seen_at__gte=seen_since))
        if chosen == "live":
            return queryset.filter(sessions.exist())
        if chosen == "none":
            return queryset.filter(~sessions.exist())
        if chosen == "several":
            queryset = queryset.alias(_sessions=sessions.number()).filter(_sessions__gte=2)
        return queryset


def _number_of(rows: SessionRowQuerySet) -> Combinable:
    counted = rows.order_by().values("user_id").annotate(number=Count("*"))
    return Coalesce(Subquery(counted.values("number")), 0)
