"""What both lists have in common: nothing can be written, nothing is counted, pages are found by key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, cast

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ChangeList
from django.core import signing
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.db.models import Field, Model, Q, QuerySet
from django.http import HttpRequest
from django.urls import URLPattern

if TYPE_CHECKING:
    _ModelAdmin = admin.ModelAdmin[Any]
else:
    _ModelAdmin = admin.ModelAdmin

AFTER = "after"
_SALT = "auditkit_django.admin.after"


class KeysetChangeList(ChangeList):
    """
    A change list that goes on after the row that ``?after=`` names: no COUNT(*), no OFFSET, one query a page.

    Its order is ``model_admin.keyset``, field names that together are unique, each with "-" if newest comes first.
    """

    after_url: str = ""
    first_url: str = ""

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Any]) -> list[Any]:
        return list(self._keyset())

    def get_filters_params(self, params: Any = None) -> Any:
        found = super().get_filters_params(params)
        found.pop(AFTER, None)
        return found

    def get_results(self, request: HttpRequest) -> None:
        rows = self.queryset
        after = request.GET.get(AFTER)
        if after:
            rows = rows.filter(self._beyond(after))
            self.first_url = self.get_query_string(remove=[AFTER])
        found = list(rows[: self.list_per_page + 1])
        shown = found[: self.list_per_page]
        if len(found) > len(shown):
            self.after_url = self.get_query_string({AFTER: self._key_of(shown[-1])})
        self.result_list = cast("ReadOnlyAdmin", self.model_admin).prepared(shown)
        # What Django's templates ask for: this page is all there is, as far as anybody has counted.
        self.result_count = self.full_result_count = len(shown)
        self.show_full_result_count = False
        self.show_admin_actions = bool(shown)
        self.can_show_all, self.multi_page = False, False
        self.paginator = Paginator(shown, self.list_per_page)

    def _keyset(self) -> tuple[str, ...]:
        return cast("ReadOnlyAdmin", self.model_admin).keyset

    def _key_of(self, row: Model) -> str:
        fields = [self._field(name) for name in self._keyset()]
        return signing.dumps([field.value_to_string(row) for field in fields], salt=_SALT)

    def _beyond(self, after: str) -> Q:
        """Rows after the key: the first condition bounds the index scan, the second breaks ties."""
        first, last = self._keyset()
        fields = [self._field(first), self._field(last)]
        try:
            found = signing.loads(after, salt=_SALT)
            lead, follow = (field.to_python(text) for field, text in zip(fields, found, strict=True))
        except (signing.BadSignature, ValueError, TypeError, ValidationError) as exc:
            raise IncorrectLookupParameters(exc) from exc
        bound, tie = ("lte" if first.startswith("-") else "gte"), ("gte" if last.startswith("-") else "lte")
        one, two = (field.name for field in fields)
        return Q(**{f"{one}__{bound}": lead}) & ~Q(**{one: lead, f"{two}__{tie}": follow})

    def _field(self, name: str) -> Field[Any, Any]:
        return cast("Field[Any, Any]", self.opts.get_field(name.removeprefix("-")))


class ReadOnlyAdmin(_ModelAdmin):
    """A list and a page per row. There are no addresses to add, delete or change anything."""

    #: Two fields, unique together; the order of the list.
    keyset: ClassVar[tuple[str, str]]
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    sortable_by = ()
    list_per_page = 100
    change_list_template = "auditkit_django/admin/change_list.html"

    def prepared(self, rows: list[Any]) -> list[Any]:
        """The rows of a page as the columns need them."""
        return rows

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return KeysetChangeList

    def get_urls(self) -> list[URLPattern]:
        return [url for url in super().get_urls() if (url.name or "").endswith(("_changelist", "_change"))]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_export_permission(self, request: HttpRequest) -> bool:
        """Whether "Export as CSV" is offered."""
        return request.user.has_perm("auditkit_django.export_event")

    def has_verify_permission(self, request: HttpRequest) -> bool:
        """Whether "Verify this log" is offered."""
        return request.user.has_perm("auditkit_django.verify_log")
