"""The form that asks for the password again."""

from __future__ import annotations

from django import forms
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.utils.translation import gettext_lazy as _


def validate_encodable(text: str) -> None:
    """Refuse half of a surrogate pair, as some charsets of a form have it: it can't be hashed."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValidationError(RegexValidator.message) from error


class PasswordConfirmationForm(forms.Form):
    """Ask a user who is logged in for the password again."""

    password = forms.CharField(
        label=_("Password"),
        strip=False,
        validators=[validate_encodable],
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
    )
