"""The form that asks for the password again."""

from __future__ import annotations

from django import forms
from django.utils.translation import gettext_lazy as _


class PasswordConfirmationForm(forms.Form):
    """Ask a user who is logged in for the password again."""

    password = forms.CharField(
        label=_("Password"),
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
    )
