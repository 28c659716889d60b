"""The tenants, as django-tenants wants them."""

from __future__ import annotations

from django.db import models
from django_tenants.models import DomainMixin, TenantMixin


class Client(TenantMixin):
    name = models.CharField(max_length=20)

    def __str__(self) -> str:
        return self.name


class Domain(DomainMixin):
    """Where a tenant is found."""
