"""The sites that serve async requests: ours and the peers, each with nothing but a session."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

DJANGO_MIDDLEWARE = "django.contrib.sessions.middleware.SessionMiddleware"
OUR_MIDDLEWARE = "django_multistore.middleware.SessionMiddleware"
OUR_ENGINE = "django_multistore.engine"

NONE, READ, WRITE = "none", "read", "write"
VIEWS = (NONE, READ, WRITE)  # what they do with the session
BEGIN = "begin"  # stores one, and is not measured

BARE = "no session middleware"
CACHE, CACHED_DB, DB = "Django cache, django-redis", "Django cached_db, django-redis", "Django db"


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """
    One site's settings, and what it is measured against.

    Args:
        middleware: what gives a request its session, if anything does.
        engine: SESSION_ENGINE.
        store: one of bench.settings.SESSION_STORES, for our engine.
        name: one of STORES in __main__.py, of ours.
        peers: the sites to be faster than.
        peer_target: how many times as fast.
        targets: how much of its own NONE each view is to reach with many connections.
    """

    middleware: str | None = DJANGO_MIDDLEWARE
    engine: str = "django.contrib.sessions.backends.db"
    store: str | None = None
    name: str | None = None
    peers: tuple[str, ...] = ()
    peer_target: float = 1.0
    targets: dict[str, float] = field(default_factory=dict)

    @property
    def views(self) -> tuple[str, ...]:
        """What can be measured there."""
        return VIEWS if self.middleware else (NONE,)


def _ours(name: str, store: str, peers: tuple[str, ...], targets: dict[str, float]) -> Site:
    return Site(
        middleware=OUR_MIDDLEWARE,
        engine=OUR_ENGINE,
        store=store,
        name=name,
        peers=peers,
        targets=targets,
    )


def _backend(name: str) -> Site:
    return Site(engine=f"django.contrib.sessions.backends.{name}")


# Peers come next to each other, and so they are measured.
SITES = {
    BARE: Site(middleware=None),
    "RedisStore": _ours("redis", "redis", (CACHE,), {READ: 0.85, WRITE: 0.75}),
    CACHE: _backend("cache"),
    "CacheStore, django-redis": _ours("cache", "django_redis_exact", (CACHE, CACHED_DB), {}),
    "CacheStore without EXACT": _ours("cache", "django_redis_inexact", (CACHE,), {}),
    CACHED_DB: _backend("cached_db"),
    "OrmStore": _ours("orm", "default", (DB,), {}),
    "OrmStore, ASYNC_POOL": replace(
        _ours("orm", "pooled", (DB,), {READ: 0.75, WRITE: 0.60}), peer_target=1.8
    ),
    DB: _backend("db"),
}


def chosen(names: list[str]) -> list[str]:
    """
    Return the sites to measure, in the order of SITES.

    Args:
        names: of our stores.
    """
    ours = {title: site for title, site in SITES.items() if site.name in names}
    wanted = {BARE, *ours, *(peer for site in ours.values() for peer in site.peers)}
    return [title for title in SITES if title in wanted]
