from django.db import migrations, models

from auditkit_django import installation


class Migration(migrations.Migration):
    dependencies = [
        ("auditkit_django", "0004_retention"),
    ]

    operations = [
        migrations.CreateModel(
            name="KeyGeneration",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "tenant", "epoch", "generation", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("tenant", models.CharField(editable=False, max_length=128, verbose_name="tenant")),
                ("epoch", models.IntegerField(editable=False, verbose_name="epoch")),
                ("generation", models.IntegerField(editable=False, verbose_name="generation")),
                ("seq", models.BigIntegerField(editable=False, verbose_name="seq")),
                ("verifier_key", models.CharField(editable=False, max_length=400, verbose_name="verifier key")),
                ("is_revocation", models.BooleanField(editable=False, verbose_name="is revocation")),
            ],
            options={
                "verbose_name": "key generation",
                "verbose_name_plural": "key generations",
                "default_permissions": (),
            },
        ),
        migrations.AlterField(
            model_name="log",
            name="state",
            field=models.CharField(
                choices=[("open", "open"), ("halted", "halted"), ("closed", "closed")],
                default="open",
                editable=False,
                max_length=8,
                verbose_name="state",
            ),
        ),
        migrations.RunPython(installation.install_guards, migrations.RunPython.noop),
    ]
