from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("django_multistore", "0004_times_in_utc")]

    operations = [
        migrations.RenameField("StoredSession", "seen_at", "last_seen_at"),
        migrations.RenameField("UserSession", "seen_at", "last_seen_at"),
    ]
