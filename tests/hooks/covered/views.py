"""Views, each named after how it records, or why it does not."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from asgiref.sync import sync_to_async
from django import forms
from django.contrib.auth import login
from django.contrib.auth.decorators import login_required
from django.contrib.auth.forms import PasswordChangeForm
from django.contrib.auth.mixins import LoginRequiredMixin
from django.contrib.auth.views import LoginView
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods, require_POST, require_safe
from django.views.generic import CreateView, DeleteView, FormView, RedirectView, TemplateView, UpdateView

from auditkit_django import audited, auditlog
from tests.hooks.covered import services
from tests.host.models import Invoice, Organization
from tests.tracked.models import Document, Tag


def careless(view: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator that forgot ``functools.wraps``."""

    def inner(request: HttpRequest, **url: Any) -> Any:
        return view(request, **url)

    return inner


def recording(view: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator of the project's own that records."""

    @functools.wraps(view)
    def inner(request: HttpRequest, **url: Any) -> Any:
        auditlog.event("data.record.updated")
        return view(request, **url)

    return inner


# Functions.


@audited("data.record.updated")
def decorated(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


@csrf_exempt
@login_required
@require_POST
@audited("data.record.updated")
def decorated_below(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


@careless
@audited("data.record.updated")
def decorated_below_careless(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


@audited("data.record.updated", methods=["POST"])
@require_http_methods(["GET", "POST", "DELETE"])
def decorated_for_post(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


@recording
def own_decorator(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


@require_POST
def inline(request: HttpRequest) -> HttpResponse:
    auditlog.event("data.record.updated")
    return HttpResponse()


@require_POST
def through_a_service(request: HttpRequest) -> HttpResponse:
    services.record(Invoice.objects.get())
    return HttpResponse()


@require_POST
def through_two_services(request: HttpRequest) -> HttpResponse:
    services.two_down(Invoice.objects.get())
    return HttpResponse()


@require_POST
def too_deep(request: HttpRequest) -> HttpResponse:
    services.three_down(Invoice.objects.get())
    return HttpResponse()


@require_POST
def through_a_decorated_service(request: HttpRequest) -> HttpResponse:
    services.delete(Invoice.objects.get())
    return HttpResponse()


@require_POST
def through_a_batch(request: HttpRequest) -> HttpResponse:
    services.batched(list(Invoice.objects.all()))
    return HttpResponse()


@require_POST
def through_an_object(request: HttpRequest) -> HttpResponse:
    services.Approval(Invoice.objects.get()).run()
    return HttpResponse()


@require_POST
def through_a_kept_object(request: HttpRequest) -> HttpResponse:
    services.approvals.run()
    return HttpResponse()


@require_POST
def handed_on(request: HttpRequest) -> HttpResponse:
    [act(Invoice()) for act in (services.record,)]
    return HttpResponse()


@require_POST
def imported_inside(request: HttpRequest) -> HttpResponse:
    from tests.hooks.covered.services import record as tell

    tell(Invoice.objects.get())
    return HttpResponse()


@require_POST
async def asynchronous(request: HttpRequest) -> HttpResponse:
    await services.arecord(Invoice())
    return HttpResponse()


@require_POST
async def asynchronous_in_a_thread(request: HttpRequest) -> HttpResponse:
    await sync_to_async(services.record)(Invoice())
    return HttpResponse()


@require_POST
def tracked_row(request: HttpRequest, pk: int) -> HttpResponse:
    document = get_object_or_404(Document, pk=pk)
    document.title = "new"
    document.save()
    return HttpResponse()


@require_POST
def tracked_rows(request: HttpRequest) -> HttpResponse:
    Document.objects.filter(total=0).update(total=1)
    return HttpResponse()


@require_POST
def tracked_through_a_relation(request: HttpRequest, organization: Organization) -> HttpResponse:
    organization.document_set.create(title="new")
    return HttpResponse()


@require_POST
def tracked_row_of_a_service(request: HttpRequest) -> HttpResponse:
    services.newest().delete()
    return HttpResponse()


@require_POST
def tracked_relation(request: HttpRequest, document: Document) -> HttpResponse:
    document.tags.add(Tag.objects.get())
    return HttpResponse()


@require_POST
def untracked_row(request: HttpRequest, pk: int) -> HttpResponse:
    organization = get_object_or_404(Organization, pk=pk)
    Document.objects.filter(organization=organization).first()
    invoice = Invoice(organization=organization)
    invoice.save()
    return HttpResponse()


@require_POST
def only_refusals(request: HttpRequest) -> HttpResponse:
    services.refuse(Invoice.objects.get())
    Invoice.objects.all().delete()
    return HttpResponse()


@require_POST
def signs_in(request: HttpRequest) -> HttpResponse:
    login(request, request.user)  # type: ignore[arg-type]
    return HttpResponse()


@require_POST
def own_password(request: HttpRequest) -> HttpResponse:
    form = PasswordChangeForm(request.user, request.POST)  # type: ignore[arg-type]
    form.save()
    return HttpResponse()


def accepts_all(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


@require_safe
def reads(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


# Classes.


class DocumentForm(forms.ModelForm):  # type: ignore[type-arg]
    class Meta:
        model = Document
        fields = ("title",)


class InvoiceForm(forms.ModelForm):  # type: ignore[type-arg]
    class Meta:
        model = Invoice
        fields = ("title",)


class RecordingForm(forms.Form):
    def save(self) -> None:
        auditlog.event("data.record.updated")


@require_POST
def tracked_form(request: HttpRequest) -> HttpResponse:
    form = DocumentForm(request.POST)
    if form.is_valid():
        form.save()
    return HttpResponse()


@audited("data.record.updated")
class DecoratedClass(View):
    def post(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse()


class InheritsDecorated(DecoratedClass):
    def put(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse()


class DecoratedMethod(View):
    @audited("data.record.updated")
    def post(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse()

    def delete(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse()


@method_decorator(audited("data.record.updated"), name="post")
class DecoratedByName(View):
    def post(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse()


class DecoratedFormValid(FormView):  # type: ignore[type-arg]
    form_class = forms.Form

    @audited("data.record.updated")
    def form_valid(self, form: forms.Form) -> HttpResponse:
        return HttpResponse()


class InlineFormValid(LoginRequiredMixin, CreateView):  # type: ignore[type-arg]
    model = Invoice
    fields = ("title",)

    def form_valid(self, form: Any) -> HttpResponse:
        response = super().form_valid(form)
        self._tell()
        return response

    def _tell(self) -> None:
        services.record(self.object)


class SuperRecords(InlineFormValid):
    def form_valid(self, form: Any) -> HttpResponse:
        return super().form_valid(form)


class ForgetsSuper(InlineFormValid):
    def form_valid(self, form: Any) -> HttpResponse:
        return HttpResponse()


class CreatesTracked(CreateView):  # type: ignore[type-arg]
    model = Document
    fields = ("title",)


class UpdatesTracked(UpdateView):  # type: ignore[type-arg]
    form_class = DocumentForm
    queryset = Document.objects.all()


class DeletesTracked(DeleteView):  # type: ignore[type-arg]
    def get_queryset(self) -> Any:
        return Document.objects.all()


class DeletesUntracked(DeleteView):  # type: ignore[type-arg]
    model = Invoice


class UpdatesUntracked(UpdateView):  # type: ignore[type-arg]
    form_class = InvoiceForm
    queryset = Document.objects.all()


class FormRecords(FormView):  # type: ignore[type-arg]
    form_class = RecordingForm

    def form_valid(self, form: Any) -> HttpResponse:
        form.save()
        return HttpResponse()


class TrackedModelUnrelatedPost(TemplateView):
    model = Document

    def post(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse()


class OnlyGet(TemplateView):
    template_name = "index.html"


class Named(View):
    http_method_names = ["get", "post"]

    def post(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse()

    def delete(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse()


class OwnDispatch(View):
    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return HttpResponse()


@method_decorator(require_POST, name="dispatch")
class PostOnly(View):
    def post(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse()

    def delete(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse()


class Moved(RedirectView):
    pattern_name = "reads"


class Toggles(RedirectView):
    def get_redirect_url(self, *args: Any, **kwargs: Any) -> str:
        return "/"


class SignIn(LoginView):
    template_name = "sign_in.html"


class SignInWithoutSigningIn(LoginView):
    def form_valid(self, form: Any) -> HttpResponse:
        return HttpResponse(self.get_success_url())
