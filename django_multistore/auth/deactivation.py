"""Whether a save of a user is what deactivates the user."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.contrib.auth import load_backend
from django.core.exceptions import FieldDoesNotExist
from django.db import Error

from ..stores.sql.lost_transactions import find_loss

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser

IS_ACTIVE = "is_active"
# An attribute of the instance, from the signal before its save to the one after.
MARK = "_multistore_is_deactivated"


def note_deactivation(
    *,
    instance: AbstractBaseUser,
    raw: bool = False,
    using: str | None = None,
    update_fields: Collection[str] | None = None,
    **kwargs: Any,
) -> None:
    """
    Note, before a user is saved, whether the save makes an active user inactive.

    It costs nothing for an active user, and a look at the row for others. With a backend that
    takes inactive users, as AllowAllUsersModelBackend does, nothing is noted.
    """
    instance.__dict__.pop(MARK, None)
    if raw or instance.pk is None or not _writes_is_active(instance, update_fields):
        return
    if getattr(instance, IS_ACTIVE, True) or _may_log_in(instance):
        return
    if _was_active(instance, using, update_fields):
        instance.__dict__[MARK] = True


def is_deactivated(instance: AbstractBaseUser) -> bool:
    """Say whether the save that has just happened has deactivated the user."""
    return instance.__dict__.pop(MARK, None) is not None


def _writes_is_active(instance: AbstractBaseUser, update_fields: Collection[str] | None) -> bool:
    # The instance is not asked, for its field may be deferred.
    return update_fields is None or IS_ACTIVE in update_fields or _find_field(instance) is None


def _find_field(instance: AbstractBaseUser) -> Any:
    """Return the field; None where it is a property, or the same for all."""
    try:
        return instance._meta.get_field(IS_ACTIVE)
    except FieldDoesNotExist:
        return None


def _may_log_in(instance: AbstractBaseUser) -> bool:
    for path in settings.AUTHENTICATION_BACKENDS:
        takes = getattr(load_backend(path), "user_can_authenticate", None)
        if takes is not None and takes(instance):
            return True
    return False


def _was_active(
    instance: AbstractBaseUser, using: str | None, update_fields: Collection[str] | None
) -> bool:
    field = _find_field(instance)
    # The parent's row may be there before the child's, and have a primary key of its own.
    model = type(instance) if field is None else field.model
    link = instance._meta.get_ancestor_link(model)
    pk = instance.pk if link is None else getattr(instance, link.attname)
    try:
        row = model._base_manager.using(using).filter(pk=pk).first()
    except Error as error:
        # The caller takes this for an error of the save, and may go on without that.
        find_loss([error])
        raise
    if row is None or not getattr(row, IS_ACTIVE, True):
        return False
    if update_fields is None or field is not None:
        return True
    # is_active is a property of other fields, of which only these are written.
    for each in row._meta.concrete_fields:
        if each.name in update_fields or each.attname in update_fields:
            setattr(row, each.attname, getattr(instance, each.attname))
    return not getattr(row, IS_ACTIVE)
