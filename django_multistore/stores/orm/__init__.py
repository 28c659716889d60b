"""OrmStore: sessions in a database of the site's. It stands on stores/sql/."""

from .store import OrmStore

__all__ = ["OrmStore"]
