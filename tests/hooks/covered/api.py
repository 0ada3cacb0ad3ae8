"""Views of Django REST framework."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers
from rest_framework.authtoken.views import obtain_auth_token
from rest_framework.decorators import action, api_view
from rest_framework.generics import RetrieveUpdateAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import DefaultRouter
from rest_framework.views import APIView
from rest_framework.viewsets import GenericViewSet, ModelViewSet, ReadOnlyModelViewSet

from auditkit_django import audited, auditlog
from tests.hooks.covered import services
from tests.host.models import Invoice
from tests.tracked.models import Document


class DocumentSerializer(serializers.ModelSerializer):  # type: ignore[type-arg]
    class Meta:
        model = Document
        fields = ("id", "title")


class InvoiceSerializer(serializers.ModelSerializer):  # type: ignore[type-arg]
    class Meta:
        model = Invoice
        fields = ("id", "title")


class RecordingSerializer(serializers.Serializer):  # type: ignore[type-arg]
    def create(self, validated_data: dict[str, Any]) -> Invoice:
        auditlog.event("data.record.created")
        return Invoice()


@api_view(["GET", "POST"])
def function(request: Request) -> Response:
    services.record(Invoice.objects.get())
    return Response()


@api_view(["POST"])
@audited("data.record.updated")
def function_decorated(request: Request) -> Response:
    return Response()


@api_view(["PUT"])
def function_silent(request: Request) -> Response:
    return Response()


@api_view()
def function_reads(request: Request) -> Response:
    return Response()


class ApiClass(APIView):
    def post(self, request: Request) -> Response:
        services.record(Invoice.objects.get())
        return Response()

    def patch(self, request: Request) -> Response:
        return Response()


class Updates(RetrieveUpdateAPIView):  # type: ignore[type-arg]
    queryset = Document.objects.all()
    serializer_class = DocumentSerializer


class Invoices(ModelViewSet):  # type: ignore[type-arg]
    """Creating is recorded by a hook method, updating by a decorator, deleting not, an action by a service."""

    queryset = Invoice.objects.all()
    serializer_class = InvoiceSerializer

    def perform_create(self, serializer: Any) -> None:
        serializer.save()
        auditlog.event("data.record.created", resource=serializer.instance)

    @audited("data.record.updated")
    def perform_update(self, serializer: Any) -> None:
        serializer.save()

    @action(detail=True, methods=["post"])
    def approve(self, request: Request, pk: int) -> Response:
        services.record(self.get_object())
        return Response()

    @action(detail=True, methods=["post"])
    def forget(self, request: Request, pk: int) -> Response:
        return Response()


class Documents(ModelViewSet):  # type: ignore[type-arg]
    queryset = Document.objects.all()
    serializer_class = DocumentSerializer


class Readings(ReadOnlyModelViewSet):  # type: ignore[type-arg]
    queryset = Document.objects.all()
    serializer_class = DocumentSerializer


class ThroughSerializer(GenericViewSet):  # type: ignore[type-arg]
    serializer_class = RecordingSerializer

    def create(self, request: Request) -> Response:
        serializer = self.get_serializer(data=request.data)
        serializer.save()
        return Response()


router = DefaultRouter()
router.register("invoices", Invoices)
router.register("documents", Documents)
router.register("readings", Readings, basename="reading")
router.register("through", ThroughSerializer, basename="through")

token = obtain_auth_token
