"""Users with primary keys of other types than an integer."""

from __future__ import annotations

import uuid

from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import User
from django.db import models


class UUIDUser(AbstractBaseUser):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    USERNAME_FIELD = "id"

    def __str__(self) -> str:  # AbstractBaseUser's is no text, where the username is none.
        return str(self.pk)


class NamedUser(AbstractBaseUser):
    name = models.CharField(max_length=50, primary_key=True)
    USERNAME_FIELD = "name"


class ProxyUser(User):
    class Meta:
        proxy = True


class Customer(User):
    number = models.IntegerField(default=0)


class LeavingUser(AbstractBaseUser):
    """Whether one is active follows from something else."""

    name = models.CharField(max_length=50, unique=True)
    left_at = models.DateTimeField(null=True)
    USERNAME_FIELD = "name"

    @property
    def is_active(self) -> bool:  # type: ignore[override]
        return self.left_at is None
