"""
Times are in UTC, whatever USE_TZ and TIME_ZONE say.

Where they were the wall clock of another time zone, each is rewritten. Of the hour that a clock
shows twice the first is taken: what has expired by then stays dead. PostgreSQL has always kept
moments.
"""

from datetime import UTC, datetime, tzinfo
from typing import Any

from django.conf import settings
from django.db import migrations, router
from django.utils import timezone

import django_multistore.models

MODELS = ("StoredSession", "UserSession")
COLUMNS = ("created_at", "authenticated_at", "seen_at", "expires_at")
AT_A_TIME = 1_000


def wall_clock_of(connection: Any) -> tzinfo:
    """Return the time zone in which the database had the times."""
    if connection.features.supports_timezones:
        return UTC
    return connection.timezone if settings.USE_TZ else timezone.get_default_timezone()


def convert(schema_editor: Any, apps: Any, was: tzinfo, becomes: tzinfo) -> None:
    using = schema_editor.connection.alias
    if str(was) == str(becomes):
        return
    for name in MODELS:
        model = apps.get_model("django_multistore", name)
        # By the site's routers each of the tables may be in a database of its own.
        if not router.allow_migrate_model(using, model):
            continue
        rows = model.objects.using(using).order_by("pk")
        batch = list(rows[:AT_A_TIME].only("pk", *COLUMNS))
        while batch:
            for row in batch:
                for column in COLUMNS:
                    setattr(row, column, converted(getattr(row, column), was, becomes))
            rows.bulk_update(batch, COLUMNS, batch_size=100)
            batch = list(rows.filter(pk__gt=batch[-1].pk)[:AT_A_TIME].only("pk", *COLUMNS))


def converted(moment: datetime | None, was: tzinfo, becomes: tzinfo) -> datetime | None:
    if moment is None:
        return None
    try:
        # The field calls all that it reads UTC, and writes what the clock shows there.
        return moment.replace(tzinfo=was).astimezone(becomes).replace(tzinfo=UTC)
    except OverflowError:  # Within a day of the first or last that there is.
        return moment


def forwards(apps: Any, schema_editor: Any) -> None:
    convert(schema_editor, apps, wall_clock_of(schema_editor.connection), UTC)


def backwards(apps: Any, schema_editor: Any) -> None:
    convert(schema_editor, apps, UTC, wall_clock_of(schema_editor.connection))


class Migration(migrations.Migration):
    dependencies = [("django_multistore", "0003_actor")]

    operations = [
        # The columns stay as they are.
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.AlterField(
                    model,
                    column,
                    django_multistore.models.UtcDateTimeField(null=column == "authenticated_at"),
                )
                for model in MODELS
                for column in COLUMNS
            ]
        ),
        # By the field above, so it is undone after it.
        migrations.RunPython(forwards, backwards),
    ]
