"""The mixin that shows and ends the sessions of users in the admin."""

from __future__ import annotations

from types import new_class
from typing import TYPE_CHECKING, Any

import django
from django.contrib import messages
from django.contrib.admin import display
from django.contrib.admin.utils import quote, unquote
from django.contrib.auth import get_permission_codename
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from .. import devices
from ..addresses import normalize_address
from ..descriptions import describe
from ..http.languages import speak
from ..http.request_subject import find_engine, get_session
from ..models import StoredSession
from ..pages.base import find_page
from ..search.usernames import find_actors
from .ending import Ended, Own, end_all, end_some
from .live_sessions import LiveSessions, LiveSessionsFilter

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.contrib.admin import AdminSite, ModelAdmin
    from django.contrib.admin.views.main import ChangeList
    from django.contrib.auth.base_user import AbstractBaseUser
    from django.db.models import Model
    from django.http import HttpRequest
    from django.urls import URLPattern

    _ModelAdmin = ModelAdmin[Any]
else:
    _ModelAdmin = object

PAGE_SIZE = 50
PAGE_VAR = "p"  # As in the admin's own lists.
NUMBER = "multistore_live_sessions"


class UserSessionsAdminMixin(_ModelAdmin):
    """
    Show and end the sessions of a user, in any admin of the user model.

    It stands before that: `class MyUserAdmin(UserSessionsAdminMixin, UserAdmin)`. Who may see
    users and has the permission view_storedsession sees sessions; delete_storedsession is for
    ending them. Where the store has an index in the database of the users, their list can be
    narrowed to those with live sessions, counts these and finds users by an ip address.
    """

    def has_view_sessions_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Say whether the request's user may see sessions: those of obj, or of users in general."""
        return self.has_view_or_change_permission(request, obj) and _may(request, "view")

    def has_end_sessions_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Say whether the request's user may end sessions: see has_view_sessions_permission()."""
        return self.has_view_sessions_permission(request, obj) and _may(request, "delete")

    # The page.

    def get_urls(self) -> list[URLPattern]:
        sessions = path(
            "<path:object_id>/sessions/",
            self.admin_site.admin_view(self.sessions_view),
            name=f"{self.opts.app_label}_{self.opts.model_name}_sessions",
        )
        return [sessions, *super().get_urls()]

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        response: Any = super().render_change_form(request, context, *args, **kwargs)
        user = context.get("original")
        is_to_be_rendered = isinstance(response, TemplateResponse)
        if is_to_be_rendered and user and self.has_view_sessions_permission(request, user):
            # The link is put in by a template that extends whichever template the form has.
            response.context_data = (response.context_data or {}) | {
                "multistore_change_form": response.resolve_template(response.template_name),
                "multistore_sessions_url": self._build_sessions_url(user),
            }
            response.template_name = "django_multistore/admin/change_form.html"
        return response  # type: ignore[no-any-return]

    def sessions_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Show the sessions of a user; by a POST, end some."""
        user = self.get_object(request, unquote(object_id))
        if not self.has_view_sessions_permission(request, user):
            raise PermissionDenied
        if user is None:
            return self._get_obj_does_not_exist_redirect(  # type: ignore[attr-defined,no-any-return]
                request, self.opts, object_id
            )
        if request.method != "POST":
            return self._render_sessions(request, user)
        if not self.has_end_sessions_permission(request, user):
            raise PermissionDenied
        if _is_supported():  # Otherwise the page says so.
            if "end_all" in request.POST and "confirmed" not in request.POST:
                return self._render_confirmation(request, user)
            self._end_sessions(request, user)
        return HttpResponseRedirect(request.get_full_path())

    def _render_sessions(self, request: HttpRequest, user: AbstractBaseUser) -> HttpResponse:
        context = _list_sessions(request, user) if _is_supported() else {"is_supported": False}
        may_end = self.has_end_sessions_permission(request, user)
        with speak():
            context |= {"title": _("Sessions: %s") % user, "may_end": may_end}
        return self._render(request, user, "sessions", context)

    def _render_confirmation(self, request: HttpRequest, user: AbstractBaseUser) -> HttpResponse:
        with speak():
            title = _("Are you sure?")
        context = {
            "title": title,
            "number": devices.count_for_user(user),
            "is_own": Own(request).is_of(user),
        }
        return self._render(request, user, "end_all_sessions", context)

    def _render(
        self, request: HttpRequest, user: AbstractBaseUser, template: str, context: dict[str, Any]
    ) -> HttpResponse:
        request.current_app = self.admin_site.name
        context = {
            **self.admin_site.each_context(request),
            "subtitle": None,
            "object": user,
            "opts": self.opts,
            "sessions_url": self._build_sessions_url(user),
            "has_list_of_breadcrumbs": django.VERSION >= (6, 1),
            **context,
        }
        return TemplateResponse(request, f"django_multistore/admin/{template}.html", context)

    def _build_sessions_url(self, user: AbstractBaseUser) -> str:
        name = f"admin:{self.opts.app_label}_{self.opts.model_name}_sessions"
        return reverse(name, args=[quote(user.pk)], current_app=self.admin_site.name)

    # What ends sessions.

    def _end_sessions(self, request: HttpRequest, user: AbstractBaseUser) -> None:
        names = request.POST.getlist("end") or request.POST.getlist("session")
        if "end_all" in request.POST:
            self._tell(request, user, end_all(request, user))
        elif names:
            self._tell(request, user, end_some(request, user, names))
        else:
            said = _("No session was selected, and none was ended.")
            self.message_user(request, said, messages.WARNING)

    def _tell(self, request: HttpRequest, user: AbstractBaseUser, ended: Ended) -> None:
        if ended.number:
            self.log_change(request, user, str(ended))
            said = ngettext(
                "%(number)d session was ended.", "%(number)d sessions were ended.", ended.number
            )
            self.message_user(request, said % {"number": ended.number}, messages.SUCCESS)
        else:
            said = _("No session was ended: the user has no such session, or no longer.")
            self.message_user(request, said, messages.WARNING)

    # The list of users.

    def get_list_display(self, request: HttpRequest) -> Any:
        shown = super().get_list_display(request)
        return [*shown, self._build_column(request)] if self._find_live_sessions(request) else shown

    def get_list_filter(self, request: HttpRequest) -> Any:
        filters = super().get_list_filter(request)
        return [*filters, LiveSessionsFilter] if self._find_live_sessions(request) else filters

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        found, may_have_duplicates = super().get_search_results(request, queryset, search_term)
        address = normalize_address(search_term.strip())
        sessions = address and self._find_live_sessions(request, queryset)
        if not sessions:
            return found, may_have_duplicates
        by_address = sessions.build_exists(ip_address=address)
        return queryset.filter(Q(pk__in=found.order_by().values("pk")) | by_address), False

    def get_changelist_instance(self, request: HttpRequest) -> ChangeList:
        changelist = super().get_changelist_instance(request)
        sessions = self._find_live_sessions(request)
        # It is added only here, so that neither the count of users nor another page asks for it.
        if sessions and isinstance(changelist.result_list, QuerySet):
            numbered = {NUMBER: sessions.build_number()}
            changelist.result_list = changelist.result_list.annotate(**numbered)
        return changelist

    def _find_live_sessions(
        self, request: HttpRequest, users: QuerySet[Any] | None = None
    ) -> LiveSessions | None:
        if not self.has_view_sessions_permission(request):
            return None
        return LiveSessions.find_beside(self.get_queryset(request) if users is None else users)

    def _build_column(self, request: HttpRequest) -> Callable[[Any], Any]:
        @display(description=gettext_lazy("Live sessions"))
        def live_sessions(user: Any) -> Any:
            number = getattr(user, NUMBER, None)
            if not number or not self.has_view_sessions_permission(request, user):
                return number
            return format_html('<a href="{}">{}</a>', self._build_sessions_url(user), number)

        return live_sessions


def add_sessions(site: AdminSite, model: type[Model]) -> None:
    """Put UserSessionsAdminMixin before the model's admin, if it has one without."""
    if not site.is_registered(model):
        return
    registered = type(site.get_model_admin(model))
    if issubclass(registered, UserSessionsAdminMixin):
        return
    mixed = new_class(registered.__name__, (UserSessionsAdminMixin, registered))
    site.unregister(model)
    site.register(model, mixed)


def _may(request: HttpRequest, action: str) -> bool:
    codename = get_permission_codename(action, StoredSession._meta)
    return request.user.has_perm(f"{StoredSession._meta.app_label}.{codename}")


def _is_supported() -> bool:
    engine = find_engine()
    return engine is None or engine.get_store().supports_users


def _list_sessions(request: HttpRequest, user: AbstractBaseUser) -> dict[str, Any]:
    page, there = find_page(user, request.GET.get(PAGE_VAR, ""), PAGE_SIZE)
    own = get_session(request).record
    own_id = None if own is None else own.id
    names = find_actors(page.records)
    with speak():
        shown = [describe(each, current_id=own_id, usernames=names) for each in page.records]
    return {
        "is_supported": True,
        "sessions": shown,
        "total": page.total,
        "page": there,
        "page_range": there.paginator.get_elided_page_range(there.number),
        "page_var": PAGE_VAR,
    }
