"""Views that show invoices: functions, classes and DRF's, with each way to be refused."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.mixins import LoginRequiredMixin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404
from django.template import engines
from django.template.response import TemplateResponse
from django.urls import include, path
from django.views import View
from django.views.generic import DetailView, ListView
from rest_framework.exceptions import NotAuthenticated
from rest_framework.pagination import PageNumberPagination
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter
from rest_framework.serializers import ModelSerializer
from rest_framework.views import APIView
from rest_framework.viewsets import ModelViewSet

from auditkit_django.hooks.calls import Call
from auditkit_django.hooks.reads import AuditedReadMixin, read
from tests.host.models import Invoice


def invoice_of(call: Call) -> str:
    return f"invoice:{call.kwargs['pk']}"


def end(request: HttpRequest) -> HttpResponse:
    """What ``?end=`` asks for."""
    ending = request.GET.get("end", "200")
    if ending == "forbid":
        raise PermissionDenied
    if ending == "missing":
        raise Http404
    if ending == "crash":
        raise ZeroDivisionError
    return HttpResponse("shown", status=int(ending))


@read(invoice_of)
def function(request: HttpRequest, org: str, pk: int) -> HttpResponse:
    return end(request)


@read(invoice_of)
async def coroutine(request: HttpRequest, org: str, pk: int) -> HttpResponse:
    return end(request)


@read(resource=invoice_of)
class ClassView(View):
    def get(self, request: HttpRequest, org: str, pk: int) -> HttpResponse:
        return end(request)

    post = options = get


@read(resource=invoice_of)
class AsyncClassView(View):
    async def get(self, request: HttpRequest, org: str, pk: int) -> HttpResponse:
        return end(request)


class ApiView(APIView):
    @read(resource="self.invoice")
    def get(self, request: Request, org: str, pk: int) -> Response:
        self.invoice = get_object_or_404(Invoice, pk=pk)
        if request.query_params.get("end") == "forbid":
            raise NotAuthenticated
        return Response(status=end(request).status_code)


@read(resource=invoice_of)
class ApiClassView(ApiView):
    def get(self, request: Request, org: str, pk: int) -> Response:
        return Response(status=end(request).status_code)


@read("result.context_data.invoice")
def template(request: HttpRequest, org: str, pk: int) -> TemplateResponse:
    source = "{{ invoice.title }}{{ broken.crash }}"
    context = {"invoice": get_object_or_404(Invoice, pk=pk), "broken": Broken() if "broken" in request.GET else None}
    return TemplateResponse(request, engines["django"].from_string(source), context)  # type: ignore[arg-type]


class Broken:
    def crash(self) -> str:
        raise ZeroDivisionError


@read("invoice", action="data.exported", metadata={"count": lambda call: call.notes.get("count", 2), "format": "csv"})
def export(request: HttpRequest, org: str) -> StreamingHttpResponse:
    return StreamingHttpResponse(iter(["a\n", "b\n"]), content_type="text/csv")


class Detail(AuditedReadMixin, LoginRequiredMixin, DetailView):  # type: ignore[type-arg]
    model = Invoice
    raise_exception = True

    def render_to_response(self, context: dict[str, Any], **kwargs: Any) -> HttpResponse:
        return end(self.request)


@read(resource="self.object", metadata={"rows": lambda call: len(call.result.content)})
class ClassDetail(DetailView):  # type: ignore[type-arg]
    model = Invoice

    def get_object(self, queryset: Any = None) -> Invoice:
        end(self.request)
        return super().get_object(queryset)

    def render_to_response(self, context: dict[str, Any], **kwargs: Any) -> HttpResponse:
        return HttpResponse("shown")


class Export(AuditedReadMixin, ListView):  # type: ignore[type-arg]
    model = Invoice
    paginate_by = 2
    ordering = "pk"

    def render_to_response(self, context: dict[str, Any], **kwargs: Any) -> HttpResponse:
        lines = "".join(f"{invoice.title}\n" for invoice in context["object_list"])
        return HttpResponse(lines, content_type="text/csv; charset=utf-8")


class Plain(Export):
    audited_export_action = None


class InvoiceSerializer(ModelSerializer[Invoice]):
    class Meta:
        model = Invoice
        fields = ("id", "title", "organization")


class NotSecret(BasePermission):
    def has_object_permission(self, request: Request, view: Any, obj: Any) -> bool:
        return bool(obj.title != "secret")


class Invoices(AuditedReadMixin, ModelViewSet[Invoice]):
    queryset = Invoice.objects.order_by("pk")
    serializer_class = InvoiceSerializer
    permission_classes = (NotSecret,)


class Pages(PageNumberPagination):
    page_size = 1


class PagedInvoices(Invoices):
    pagination_class = Pages


router = SimpleRouter()
router.register("invoices", Invoices)
router.register("pages", PagedInvoices, basename="page")

urlpatterns = [
    path(
        "o/<slug:org>/",
        include(
            [
                path("function/<int:pk>/", function),
                path("coroutine/<int:pk>/", coroutine),
                path("class/<int:pk>/", ClassView.as_view()),
                path("async-class/<int:pk>/", AsyncClassView.as_view()),
                path("api/<int:pk>/", ApiView.as_view()),
                path("api-class/<int:pk>/", ApiClassView.as_view()),
                path("template/<int:pk>/", template),
                path("export/", export),
                path("detail/<int:pk>/", Detail.as_view()),
                path("class-detail/<int:pk>/", ClassDetail.as_view()),
                path("list/", Export.as_view()),
                path("plain/", Plain.as_view()),
                path("", include(router.urls)),
            ]
        ),
    )
]
