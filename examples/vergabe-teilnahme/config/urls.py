"""The map of the site."""

from __future__ import annotations

from django.contrib import admin
from django.contrib.auth import views as auth
from django.http import HttpRequest, HttpResponseRedirect
from django.shortcuts import redirect
from django.templatetags.static import static
from django.urls import include, path
from django.views.generic import RedirectView

from . import health

admin.site.site_header = "Vergabe-Teilnahme: Verwaltung"
admin.site.site_title = "Vergabe-Teilnahme"
admin.site.index_title = "Verwaltung"


def favicon(request: HttpRequest) -> HttpResponseRedirect:
    """Answer browsers that ask without reading the page: on the admin's pages and on errors."""
    return redirect(static("ausschreibungen/symbol.svg"))


urlpatterns = [
    path("", RedirectView.as_view(pattern_name="ausschreibungen:dashboard"), name="start"),
    path("ausschreibungen/", include("ausschreibungen.urls")),
    path("anmelden/", auth.LoginView.as_view(), name="anmelden"),
    path("abmelden/", auth.LogoutView.as_view(), name="abmelden"),
    path("admin/", admin.site.urls),
    path("favicon.ico", favicon),
    path("health/", health.ready, name="health"),
    path("health/live/", health.live, name="health-live"),
]
