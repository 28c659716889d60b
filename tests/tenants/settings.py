"""
A site with django-tenants, as docs/tenants.md has it.

MULTISTORE_TENANTS says how sessions are kept: "shared", "schemas", "both", "cache", "redis", or
"unsaid".
MULTISTORE_TENANTS_DB is a database of PostgreSQL.
"""

from __future__ import annotations

import os

from tests import servers
from tests.settings import OWN_PREFIX, PASSWORD_HASHERS, SECRET_KEY, TEMPLATES, database

__all__ = ["PASSWORD_HASHERS", "SECRET_KEY", "TEMPLATES"]

PLACE = os.environ["MULTISTORE_TENANTS"]

DATABASES = {
    "default": database(
        "postgres", os.environ["MULTISTORE_TENANTS_DB"], servers.require("postgres")
    )
    | {"ENGINE": "django_tenants.postgresql_backend"}
}
DATABASE_ROUTERS = ["django_tenants.routers.TenantSyncRouter"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

OURS = "django_multistore"
SHARED_APPS = ["django_tenants", "tests.tenants", "django.contrib.contenttypes"]
TENANT_APPS = ["django.contrib.contenttypes", "django.contrib.auth"]
if PLACE in ("schemas", "both"):
    TENANT_APPS.append(OURS)
if PLACE != "schemas":
    SHARED_APPS.append(OURS)
INSTALLED_APPS = list(dict.fromkeys([*SHARED_APPS, *TENANT_APPS]))
TENANT_MODEL, TENANT_DOMAIN_MODEL = "tenants.Client", "tenants.Domain"

CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.locmem.LocMemCache",
        "KEY_FUNCTION": "django_tenants.cache.make_key",
    }
}
SESSION_ENGINE = "django_multistore.engine"
LOGIN_URL = LOGIN_REDIRECT_URL = "https://accounts.example.com/"
if PLACE == "cache":
    SESSION_STORES = {"default": {"BACKEND": "django_multistore.stores.cache.CacheStore"}}
elif PLACE == "redis":
    SESSION_STORES = {
        "default": {
            "BACKEND": "django_multistore.stores.redis.RedisStore",
            "OPTIONS": {
                "URL": f"redis://{servers.require('redis')}/8",
                "KEY_PREFIX": f"{OWN_PREFIX}:tenants:",
            },
        }
    }
if PLACE in ("shared", "redis"):
    SESSION_USER_NAMESPACE = "tests.tenants.site.tenant_of_users"

MIDDLEWARE = [
    "tests.tenants.site.TenantMiddleware",
    "django_multistore.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
ROOT_URLCONF = "tests.tenants.site"
ALLOWED_HOSTS = ["*"]
USE_TZ = True
