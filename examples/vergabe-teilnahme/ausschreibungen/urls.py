"""Addresses below /ausschreibungen/."""

from __future__ import annotations

from django.urls import path

from . import views

app_name = "ausschreibungen"

urlpatterns = [
    path("", views.Liste.as_view(), name="liste"),
    path("dashboard/", views.Dashboard.as_view(), name="dashboard"),
    path("neu/", views.Neu.as_view(), name="neu"),
    path("<int:pk>/", views.Detail.as_view(), name="detail"),
    path("<int:pk>/bearbeiten/", views.Bearbeiten.as_view(), name="bearbeiten"),
    path("<int:pk>/loeschen/", views.Loeschen.as_view(), name="loeschen"),
    path("<int:pk>/status/", views.StatusAendern.as_view(), name="status"),
    path("<int:pk>/unterlagen/", views.UnterlageHochladen.as_view(), name="hochladen"),
    path("unterlagen/<int:pk>/", views.UnterlageHerunterladen.as_view(), name="unterlage"),
    path("unterlagen/<int:pk>/loeschen/", views.UnterlageLoeschen.as_view(), name="unterlage-loeschen"),
]
