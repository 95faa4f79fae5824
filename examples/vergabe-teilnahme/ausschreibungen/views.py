"""Pages for everyone to read, changes for those who are logged in."""

from __future__ import annotations

import logging
from pathlib import PurePath
from typing import Any, cast
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.mixins import LoginRequiredMixin
from django.contrib.auth.models import User
from django.contrib.auth.views import redirect_to_login
from django.contrib.messages.views import SuccessMessageMixin
from django.db import transaction
from django.db.models import Count, QuerySet
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse_lazy
from django.utils.cache import patch_vary_headers
from django.views import View
from django.views.generic import CreateView, DeleteView, DetailView, ListView, TemplateView, UpdateView

from .forms import AusschreibungForm, StatusForm, UnterlageForm
from .models import Ausschreibung, AusschreibungQuerySet, Status, Unterlage

UPLOADS_OFF = (
    "Das Hochladen von Unterlagen ist abgeschaltet, weil kein Medienverzeichnis (MEDIA_ROOT) eingerichtet ist. "
    "Bitte wenden Sie sich an die Administration."
)
NOT_STORED = (
    "Die Unterlage konnte nicht gespeichert werden, weil das Medienverzeichnis nicht beschreibbar oder voll ist. "
    "Bitte wenden Sie sich an die Administration."
)

logger = logging.getLogger(__name__)


def wants_partial(request: HttpRequest) -> bool:
    """Whether HTMX asks for a part of the page; when it restores its history it needs the whole."""
    return "HX-Request" in request.headers and "HX-History-Restore-Request" not in request.headers


def tenders() -> AusschreibungQuerySet:
    """Return all tenders, each with its procedure."""
    return Ausschreibung.objects.select_related("vergabeart")


class AnmeldungErforderlich(LoginRequiredMixin):
    """Like Django's mixin, but an expired session sends the whole page to the login, not a part of it."""

    def handle_no_permission(self) -> HttpResponseRedirect:
        """Return a redirect that browser or HTMX follows."""
        request = cast(View, self).request
        if not wants_partial(request):
            return super().handle_no_permission()
        page = urlsplit(request.headers.get("HX-Current-URL", "/"))
        login = redirect_to_login(page.path + (f"?{page.query}" if page.query else ""))
        return cast(HttpResponseRedirect, HttpResponse(status=204, headers={"HX-Redirect": login.url}))


class Dashboard(TemplateView):
    """Übersicht: how many tenders stand where, and what is due next."""

    template_name = "ausschreibungen/dashboard.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Add the counts per status, zero included, and the next deadlines."""
        counted = dict(Ausschreibung.objects.order_by().values_list("status").annotate(Count("pk")))
        return super().get_context_data(
            zahlen=[(status, counted.get(status.value, 0)) for status in Status],
            naechste=tenders().offen()[:8],
            **kwargs,
        )


class Liste(ListView):
    """All tenders, searchable; HTMX gets the matches alone."""

    template_name = "ausschreibungen/liste.html"
    context_object_name = "ausschreibungen"
    paginate_by = 20

    def get_queryset(self) -> QuerySet[Ausschreibung]:
        """Apply search words and status from the query string."""
        return tenders().gefiltert(self.request.GET.get("suche", ""), self.request.GET.get("status", ""))

    def get_template_names(self) -> list[str]:
        """Name the page, or the partial within it."""
        return [f"{self.template_name}#treffer" if wants_partial(self.request) else str(self.template_name)]

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Add what the filter shows."""
        return super().get_context_data(
            suche=self.request.GET.get("suche", ""),
            gewaehlt=self.request.GET.get("status", ""),
            stati=Status.choices,
            **kwargs,
        )

    def render_to_response(self, context: dict[str, Any], **response_kwargs: Any) -> HttpResponse:
        """Keep caches from mixing up page and partial."""
        response = super().render_to_response(context, **response_kwargs)
        patch_vary_headers(response, ["HX-Request", "HX-History-Restore-Request"])
        return response


class Detail(DetailView):
    """One tender with its documents."""

    template_name = "ausschreibungen/detail.html"
    context_object_name = "ausschreibung"

    def get_queryset(self) -> QuerySet[Ausschreibung]:
        """Fetch procedure and documents along."""
        return tenders().prefetch_related("unterlagen__hochgeladen_von")

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Add the choices of the status, and the upload form or why there is none."""
        kwargs.setdefault("upload_form", UnterlageForm() if settings.UPLOADS_ENABLED else None)
        return super().get_context_data(stati=Status.choices, uploads_off=UPLOADS_OFF, **kwargs)


class Neu(AnmeldungErforderlich, SuccessMessageMixin, CreateView):
    """Enter a tender."""

    model = Ausschreibung
    form_class = AusschreibungForm
    template_name = "ausschreibungen/formular.html"
    success_message = "Die Ausschreibung „%(titel)s“ wurde angelegt."


class Bearbeiten(AnmeldungErforderlich, SuccessMessageMixin, UpdateView):
    """Change a tender."""

    model = Ausschreibung
    form_class = AusschreibungForm
    template_name = "ausschreibungen/formular.html"
    success_message = "Die Änderungen an „%(titel)s“ wurden gespeichert."


class Loeschen(AnmeldungErforderlich, DeleteView):
    """Delete a tender after asking."""

    model = Ausschreibung
    template_name = "ausschreibungen/loeschen.html"
    success_url = reverse_lazy("ausschreibungen:liste")

    def form_valid(self, form: Any) -> HttpResponse:
        """Delete and say so."""
        messages.success(self.request, f"Die Ausschreibung „{self.object.titel}“ wurde gelöscht.")
        return super().form_valid(form)


class StatusAendern(AnmeldungErforderlich, View):
    """Change the status from the list or the detail page; HTMX gets the field back, others the detail page."""

    def post(self, request: HttpRequest, pk: int) -> HttpResponseBase:
        """Save a known status; answer 422 to any other."""
        ausschreibung = get_object_or_404(Ausschreibung, pk=pk)
        form = StatusForm(request.POST, instance=ausschreibung)
        if not form.is_valid():
            return HttpResponse("Unbekannter Status.", status=422, content_type="text/plain; charset=utf-8")
        form.save()
        if not wants_partial(request):
            return redirect(ausschreibung)
        context = {"ausschreibung": ausschreibung, "stati": Status.choices, "gespeichert": True}
        return render(request, "ausschreibungen/status.html", context)


class UnterlageHochladen(AnmeldungErforderlich, View):
    """Add a document to a tender."""

    def post(self, request: HttpRequest, pk: int) -> HttpResponseBase:
        """Store the file; without a media volume say why not."""
        ausschreibung = get_object_or_404(tenders(), pk=pk)
        if not settings.UPLOADS_ENABLED:
            messages.error(request, UPLOADS_OFF)
            return redirect(ausschreibung)
        uploader = cast(User, request.user)
        form = UnterlageForm(
            request.POST, request.FILES, instance=Unterlage(ausschreibung=ausschreibung, hochgeladen_von=uploader)
        )
        if form.is_valid():
            try:
                with transaction.atomic():
                    form.save()
            except OSError:
                logger.exception("Cannot store an upload below MEDIA_ROOT")
                messages.error(request, NOT_STORED)
            else:
                messages.success(request, f"Die Unterlage „{form.instance.bezeichnung}“ wurde hochgeladen.")
            return redirect(ausschreibung)
        page = Detail(request=request, object=ausschreibung)
        return page.render_to_response(page.get_context_data(upload_form=form), status=422)


class UnterlageHerunterladen(AnmeldungErforderlich, View):
    """Hand out a document, always as a download: what others uploaded never runs as a page of ours."""

    def get(self, request: HttpRequest, pk: int) -> FileResponse:
        """Stream the file under its name."""
        unterlage = get_object_or_404(Unterlage, pk=pk)
        try:
            content = unterlage.datei.open("rb")
        except (FileNotFoundError, ValueError) as error:
            raise Http404("Die Datei ist nicht mehr vorhanden.") from error
        ending = PurePath(str(unterlage.datei.name)).suffix
        name = unterlage.bezeichnung
        return FileResponse(content, as_attachment=True, filename=name.removesuffix(ending) + ending)


class UnterlageLoeschen(AnmeldungErforderlich, View):
    """Delete a document."""

    def post(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Delete it and return to its tender."""
        unterlage = get_object_or_404(Unterlage.objects.select_related("ausschreibung"), pk=pk)
        unterlage.delete()
        messages.success(request, f"Die Unterlage „{unterlage.bezeichnung}“ wurde gelöscht.")
        return redirect(unterlage.ausschreibung)
