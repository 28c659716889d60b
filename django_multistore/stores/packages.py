"""Packages that a store or its cache needs, and that aren't there or are too old."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from .causes import iterate_chain

EXTRA = "python -m pip install 'django-multistore[redis]'"
OLDEST_REDIS_PY = (5, 0, 1)  # the first with aclose() for clusters
# What to install for a module.
PACKAGES = {
    "redis": "'django-multistore[redis]'",
    "django_redis": "'django-multistore[redis]'",
    "django_valkey": "django-valkey",
    "django_bmemcached": "django-bmemcached",
    "django_mysql": "django-mysql",
    "pymemcache": "'django-multistore[memcached]'",
    "pylibmc": "pylibmc",
    "diskcache": "diskcache",
    "psycopg": "'django-multistore[postgres-async]'",
    "psycopg_pool": "'django-multistore[postgres-async]'",
}


def explain_missing_package(error: BaseException) -> str | None:
    """Say what to install if an error, or one of its causes, is that a module isn't there."""
    for each in iterate_chain(error):
        if not isinstance(each, ImportError):
            continue
        module = (each.name or "").partition(".")[0]
        if isinstance(each, ModuleNotFoundError) and module in PACKAGES:
            return _explain(module)
        if reason := explain_old_redis_py():
            return reason
    return None


def explain_old_redis_py() -> str | None:
    """Say what to install if redis-py is older than RedisStore needs; None: it is not."""
    try:
        found = version("redis")
    except PackageNotFoundError:
        return None
    if tuple(int(part) for part in found.split(".")[:3] if part.isdecimal()) >= OLDEST_REDIS_PY:
        return None
    wanted = ".".join(map(str, OLDEST_REDIS_PY))
    return f"redis-py {found} is too old, {wanted} or later is needed. Run: {EXTRA} --upgrade"


def _explain(module: str) -> str:
    if module in ("redis", "django_redis"):
        if module == "redis" and (reason := explain_old_redis_py()):
            return reason
        name = "redis-py" if module == "redis" else "django-redis"
        return f"{name} isn't installed. Run: {EXTRA}"
    return f"{module} isn't installed. Run: python -m pip install {PACKAGES[module]}"
