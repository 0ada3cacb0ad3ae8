from django.db import migrations, models

from auditkit_django import installation


class Migration(migrations.Migration):
    dependencies = [
        ("auditkit_django", "0006_publications"),
    ]

    operations = [
        migrations.AddIndex(
            model_name="event",
            index=models.Index(
                condition=models.Q(("outcome__in", ["failure", "denied"])),
                fields=["tenant", "outcome", "occurred_at"],
                name="auditkit_event_outcome",
            ),
        ),
        migrations.AddIndex(
            model_name="event",
            index=models.Index(
                condition=models.Q(("severity__in", ["high", "critical"])),
                fields=["tenant", "severity", "occurred_at"],
                name="auditkit_event_severity",
            ),
        ),
        migrations.RunPython(installation.install_searching, installation.remove_searching),
    ]
