#!/usr/bin/env bash
# Django 5.2.8 on the SQLite of the Python that runs it (3.11 to 3.13), run on 29 November 2026.
#
# A field's select_format() says how a column is selected: GeoDjango's fields have one, and so has a field
# that selects a time in another zone. order_by() doesn't go through it. But with values() or
# values_list(), Django orders by the position of what is selected (ORDER BY 1), which is the formatted
# expression. So the same queryset, ordered by the same field, has another order once only that field is
# asked for; and an index on the column no longer helps, which is how a look for the 50,000th row of an
# index became a sort of all rows.
#
# Output seen:
#   all fields: [-3, 1, 2]
#   this field: [1, 2, 3]
#   its SQL ends in: ORDER BY 1 ASC
#
# It fails if that changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check Django==5.2.8
cat > "$folder/run.py" <<'PYTHON'
import django
from django.conf import settings

settings.configure(
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
)
django.setup()
from django.db import connection, models


class Distance(models.IntegerField):
    """A number that is shown without its sign."""

    def select_format(self, compiler, sql, params):
        return f"ABS({sql})", params


class Place(models.Model):
    distance = Distance()
    number = models.IntegerField()  # The same number, in a field that shows it as it is.

    class Meta:
        app_label = "places"


with connection.schema_editor() as editor:
    editor.create_model(Place)
Place.objects.bulk_create([Place(distance=each, number=each) for each in (1, -3, 2)])

ordered = Place.objects.order_by("distance")
whole = [place.number for place in ordered]
alone = list(ordered.values_list("distance", flat=True))
clause = "ORDER BY" + str(ordered.values_list("distance").query).partition("ORDER BY")[2]
print(f"all fields: {whole}")
print(f"this field: {alone}")
print(f"its SQL ends in: {clause}")
assert (whole, alone, clause) == ([-3, 1, 2], [1, 2, 3], "ORDER BY 1 ASC")
PYTHON
"$folder/venv/bin/python" "$folder/run.py"
