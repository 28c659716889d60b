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

from ..http.request_subject import find_engine
from ..models import SessionRowQuerySet
from ..session import clock
from ..session.namespaces import qualify_sql
from ..session.user_ids import get_primary_key

if TYPE_CHECKING:
    from django.contrib.admin import ModelAdmin
    from django.db.models.expressions import Combinable
    from django.http import HttpRequest
    from django_stubs_ext import StrOrPromise


@dataclass(frozen=True, slots=True)
class LiveSessions:
    """The live sessions of each user of a queryset, for subqueries in it."""

    # The sessions of the outer query's user, by each spelling of the primary key. In one condition
    # MariaDB would leave its index on user_id aside, for it is a list of expressions.
    rows: tuple[SessionRowQuerySet, ...]

    @classmethod
    def find_beside(cls, users: models.QuerySet[Any]) -> Self | None:
        """Return the live sessions of these users; None where the database can't tell them."""
        engine = find_engine()
        if engine is None or not engine.get_store().has_database_index:
            return None
        index = engine.get_store().database_index()
        if index.db != users.db:
            return None
        texts = get_primary_key(users.model).build_sql(users.model, users.db)
        if texts is None:
            return None
        return cls(tuple(index.filter(user_id=user_id) for user_id in qualify_sql(texts)))

    def build_exists(self, **conditions: Any) -> Q:
        """Build the condition that the user has such a session."""
        return reduce(or_, (Q(Exists(rows.filter(**conditions))) for rows in self.rows))

    def build_number(self) -> Combinable:
        """Build the number of the user's sessions."""
        return reduce(add, map(_count_rows, self.rows))


class LiveSessionsFilter(SimpleListFilter):
    """Narrow a changelist of users to those with such sessions."""

    title = _("sessions")
    parameter_name = "live_sessions"
    seen_within = {"hour": timedelta(hours=1), "day": timedelta(days=1), "week": timedelta(days=7)}

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
        chosen, sessions = self.value(), LiveSessions.find_beside(queryset)
        if chosen is None or sessions is None:
            return queryset
        if chosen in self.seen_within:
            seen_since = clock.now() - self.seen_within[chosen]
            return queryset.filter(sessions.build_exists(last_seen_at__gte=seen_since))
        if chosen == "live":
            return queryset.filter(sessions.build_exists())
        if chosen == "none":
            return queryset.filter(~sessions.build_exists())
        if chosen == "several":
            queryset = queryset.alias(_sessions=sessions.build_number()).filter(_sessions__gte=2)
        return queryset


def _count_rows(rows: SessionRowQuerySet) -> Combinable:
    counted = rows.order_by().values("user_id").annotate(number=Count("*"))
    return Coalesce(Subquery(counted.values("number")), 0)
