"""django-cas-ng's views, which come without URLs of their own."""

from __future__ import annotations

from django.urls import path
from django_cas_ng import views

urlpatterns = [
    path("login/", views.LoginView.as_view(), name="cas_ng_login"),
    path("logout/", views.LogoutView.as_view(), name="cas_ng_logout"),
    path("callback/", views.CallbackView.as_view(), name="cas_ng_proxy_callback"),
]
