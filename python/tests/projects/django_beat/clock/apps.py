from django.apps import AppConfig
from django.core.exceptions import ValidationError


class ClockConfig(AppConfig):
    name = "clock"

    def ready(self):
        from django.db.models.signals import pre_save
        from django_celery_beat.models import PeriodicTask

        pre_save.connect(keep_the_house_rule, sender=PeriodicTask, weak=False)


def keep_the_house_rule(instance, **_):
    """A rule of the application's own, as applications have them: in a signal of the model."""
    if instance.task == "clock.detonate":
        raise ValidationError("nothing is detonated here")
