"""Checks of what the pages of one's devices need of a site."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage, Warning
from django.core.exceptions import ImproperlyConfigured
from django.shortcuts import resolve_url
from django.template import Engine, TemplateDoesNotExist
from django.urls import NoReverseMatch, Resolver404, get_resolver, resolve
from django.urls.base import get_script_prefix
from django.utils import translation

from ..conf import conf
from ..http.request_subject import find_engine
from ..pages.frames import BLOCK, SITE_FRAME, has_block
from .chain import find_classes, names_of
from .registering import TAG, register
from .site import iterate_views

PAGE = "django_multistore/base.html"
REDIRECTS = ("LOGIN_URL", "LOGIN_REDIRECT_URL", "LOGOUT_REDIRECT_URL")
LOCALE = "django.middleware.locale.LocaleMiddleware"
COMMON = "django.middleware.common.CommonMiddleware"

# With these a URL may be another URLconf's, or a row's in a table.
URLCONFS = ("ROOT_HOSTCONF", "PUBLIC_SCHEMA_URLCONF", "SUBDOMAIN_URLCONFS", "TENANT_TYPES")
FALLBACKS = frozenset(
    {
        "django.contrib.flatpages.middleware.FlatpageFallbackMiddleware",
        "django.contrib.redirects.middleware.RedirectFallbackMiddleware",
        "wagtail.contrib.redirects.middleware.RedirectMiddleware",
    }
)


@register(TAG)
def check_redirects(**kwargs: Any) -> list[CheckMessage]:
    """Check that the pages lead to URLs that there are."""
    if find_engine() is None or _has_other_urls():
        return []
    has_pages = _has_pages()
    return [
        Warning(
            f"{name} is {_show(getattr(settings, name))}, where the site has no page: "
            "who logs in or out is sent to a 404.",
            hint=f"Set {name} to a URL, or to the name of one, that ROOT_URLCONF has"
            f"{_suggest(name)}.",
            id="django_multistore.W034",
        )
        for name in REDIRECTS
        if (has_pages or _names_page(getattr(settings, name)))
        and not _leads_somewhere(getattr(settings, name))
    ]


@register(TAG)
def check_templates(**kwargs: Any) -> list[CheckMessage]:
    """Check that the pages' templates are found, and shown in the site's base.html."""
    if find_engine() is None or not _has_pages():
        return []
    found = _find_template_problem()
    if found is None:
        return []
    problem, remedy = found
    return [Warning(problem, hint=remedy, id="django_multistore.W035")]


@register(TAG)
def check_devices(**kwargs: Any) -> list[CheckMessage]:
    """Check that ua-parser is there, where devices are shown."""
    if find_engine() is None or not conf.keeps_user_agent or _has_parser():
        return []
    if not conf.session_admin and not _has_pages():
        return []
    return [
        Warning(
            "Devices are shown, and ua-parser 1.0 or later isn't installed: in place of 'Firefox "
            "on Linux' there is the beginning of what the browser sends, which is nearly the same "
            "for all.",
            hint="Install it: python -m pip install 'ua-parser>=1.0'. The extra 'devices' has it "
            "too.",
            id="django_multistore.W036",
        )
    ]


def _has_pages() -> bool:
    if not getattr(settings, "ROOT_URLCONF", None):
        return False
    # Sites without django.contrib.auth have no such pages, and can't import what makes them.
    if not apps.is_installed("django.contrib.auth"):
        return False
    from ..pages.base import UserPageMixin  # noqa: PLC0415

    views = iterate_views(get_resolver().url_patterns)
    classes = (getattr(view, "view_class", None) for view in views)
    return any(isinstance(each, type) and issubclass(each, UserPageMixin) for each in classes)


def _names_page(value: Any) -> bool:
    """Say whether it is a name that the site has with our URLs, which it may have forgotten."""
    return isinstance(value, str) and value.startswith("django_multistore:")


def _has_other_urls() -> bool:
    names = {*settings.MIDDLEWARE}.union(*map(names_of, find_classes()))
    has_fallback = not FALLBACKS.isdisjoint(names)
    return has_fallback or any(hasattr(settings, name) for name in URLCONFS)


def _leads_somewhere(value: Any) -> bool:
    try:
        if not value:
            return True  # As LOGOUT_REDIRECT_URL is by default; then it isn't used.
        url = resolve_url(value)
    except NoReverseMatch:
        return False
    parts = urlsplit(url)
    if parts.netloc or parts.scheme or not parts.path.startswith("/"):
        return True  # It is another server's, or relative to what isn't known here.
    prefix = get_script_prefix()
    path = "/" + parts.path.removeprefix(prefix.removesuffix("/")).lstrip("/")
    return any(_resolves(*each) for each in _vary(path))


def _vary(path: str) -> Iterator[tuple[str, str]]:
    """Return the paths to which Django's middleware would redirect, each with its language."""
    known = {name for each in find_classes() for name in names_of(each)}
    paths = [path]
    if settings.APPEND_SLASH and COMMON in known and not path.endswith("/"):
        paths.append(f"{path}/")
    current = translation.get_language() or settings.LANGUAGE_CODE
    yield from ((each, current) for each in paths)
    for code in dict(settings.LANGUAGES):
        yield from ((each, code) for each in paths)
        if LOCALE in known:
            yield from ((f"/{code}{each}", code) for each in paths)


def _resolves(path: str, language: str) -> bool:
    # i18n_patterns() has the prefix of the current language only.
    with translation.override(language):
        try:
            resolve(path)
        except Resolver404:
            return False
    return True


def _show(value: Any) -> str:
    try:
        return repr(str(value))
    except NoReverseMatch:
        return "a name that no URL has"


def _suggest(name: str) -> str:
    if _names_page(getattr(settings, name)):
        return ", or put path('devices/', include('django_multistore.urls')) there"
    if name == "LOGIN_REDIRECT_URL":
        return ": 'django_multistore:devices', for example"
    if name == "LOGIN_URL":
        return ". Django's login page: path('accounts/', include('django.contrib.auth.urls'))"
    return ""


def _find_template_problem() -> tuple[str, str] | None:
    """Return what is wrong, and the remedy."""
    try:
        engine = Engine.get_default()
        page = engine.get_template(PAGE)
    except (ImproperlyConfigured, TemplateDoesNotExist) as error:
        problem = f"The templates of the pages aren't found ({type(error).__name__}: {error})."
        remedy = (
            "Have an entry in TEMPLATES whose 'BACKEND' is "
            "'django.template.backends.django.DjangoTemplates' and whose 'APP_DIRS' is True."
        )
        return problem, remedy
    # A site's own may extend what it likes, and fill any block.
    if _is_ours(page) and not _has_place(engine):
        problem = (
            f"The site's {SITE_FRAME} has no block {BLOCK!r} in which a page would be shown, so "
            "that the pages of devices are in a plain frame of their own."
        )
        remedy = (
            f"Put {{% block {BLOCK} %}}{{% endblock %}} into it, where a page's content belongs; "
            f"or make a template {PAGE} of your own, which fills the blocks that it has."
        )
        return problem, remedy
    return None


def _is_ours(page: Any) -> bool:
    return Path(page.origin.name).is_relative_to(Path(__file__).parents[1])


def _has_place(engine: Engine) -> bool:
    try:
        return has_block(engine.get_template(SITE_FRAME), BLOCK)
    except TemplateDoesNotExist:
        return True  # The frame is the package's own then.


def _has_parser() -> bool:
    if find_spec("ua_parser") is None:
        return False
    try:
        return int(version("ua-parser").partition(".")[0]) >= 1
    except (PackageNotFoundError, ValueError):
        return True
