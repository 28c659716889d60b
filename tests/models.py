"""Users with primary keys of other types than an integer."""

from __future__ import annotations

import uuid

from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import User
from django.contrib.sessions.base_session import AbstractBaseSession
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


def bare_uuid() -> str:
    return uuid.uuid4().hex


class BareUUIDUser(AbstractBaseUser):
    """Whose primary key is text without dashes until it is read from the database."""

    id = models.UUIDField(primary_key=True, default=bare_uuid)
    USERNAME_FIELD = "id"

    def __str__(self) -> str:
        return str(self.pk)


class DecimalUser(AbstractBaseUser):
    number = models.DecimalField(max_digits=10, decimal_places=2, primary_key=True)
    USERNAME_FIELD = "number"

    def __str__(self) -> str:
        return str(self.pk)


class CompositeUser(AbstractBaseUser):
    pk = models.CompositePrimaryKey("shop", "number")
    shop = models.CharField(max_length=20)
    number = models.IntegerField()
    name = models.CharField(max_length=20, unique=True)
    USERNAME_FIELD = "name"


class Guest(NamedUser):
    """A child with a primary key of its own, which is no user's."""

    number = models.AutoField(primary_key=True)
    named_user = models.OneToOneField(
        NamedUser, models.CASCADE, parent_link=True, related_name="guest"
    )


class LeavingUser(AbstractBaseUser):
    """Whether one is active follows from something else."""

    name = models.CharField(max_length=50, unique=True)
    left_at = models.DateTimeField(null=True)
    USERNAME_FIELD = "name"

    @property
    def is_active(self) -> bool:  # type: ignore[override]
        return self.left_at is None


class AccountSession(AbstractBaseSession):
    """A row of Django's sessions with a column of a site's own."""

    account_id = models.IntegerField(null=True)
