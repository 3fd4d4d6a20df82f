"""``INSTALLED_APPS += ["taskplane.django"]``. Settings are ``TASKPLANE = {"BRAIN_URL": …}`` or the environment's."""
