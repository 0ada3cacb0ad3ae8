"""Projects: the business record, its life and its export."""

from __future__ import annotations

import csv

from django.contrib import messages
from django.forms import model_to_dict
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.views.decorators.http import require_POST

from auditkit_django import audited
from example_project.northwind import services
from example_project.northwind.access import MemberPage, members_only
from example_project.northwind.forms import ProjectForm
from example_project.northwind.models import Membership, Project
from example_project.northwind.rights import Right


class ProjectsPage(MemberPage):
    """All projects; creates one."""

    change_right = Right.EDIT_PROJECTS

    def get(self, request: HttpRequest, **_url: object) -> HttpResponse:
        """The list and an empty form."""
        return self._page(ProjectForm())

    def post(self, request: HttpRequest, **_url: object) -> HttpResponse:
        """Create a project."""
        form = ProjectForm(request.POST)
        if not form.is_valid():
            return self._page(form)
        project = Project(organization=self.membership.organization)
        services.save_project(project, values=form.cleaned_data)
        messages.success(request, f"“{project.name}” is created.")
        return redirect("projects", org=self.membership.organization.slug)

    def _page(self, form: ProjectForm) -> HttpResponse:
        context = {"form": form, "projects": self.membership.organization.projects.all()}
        return TemplateResponse(self.request, "northwind/projects.html", context)


class ProjectPage(MemberPage):
    """One project: its values, which are the client's secret, so that reading them is an event too."""

    change_right = Right.EDIT_PROJECTS

    @audited.read(resource="result.context_data.project")
    def get(self, request: HttpRequest, *, project_id: int, **_url: object) -> HttpResponse:
        """The values, to read or to change."""
        project = _project(self.membership, project_id)
        return self._page(project, ProjectForm(initial=model_to_dict(project)))

    def post(self, request: HttpRequest, *, project_id: int, **_url: object) -> HttpResponse:
        """Other values."""
        project = _project(self.membership, project_id)
        form = ProjectForm(request.POST)
        if project.archived or not form.is_valid():
            return self._page(project, form)
        services.save_project(project, values=form.cleaned_data)
        messages.success(request, f"“{project.name}” is saved.")
        return redirect("projects", org=self.membership.organization.slug)

    def _page(self, project: Project, form: ProjectForm) -> TemplateResponse:
        return TemplateResponse(self.request, "northwind/project.html", {"form": form, "project": project})


@require_POST
@members_only(Right.EDIT_PROJECTS)
def archive_project(request: HttpRequest, membership: Membership, *, project_id: int) -> HttpResponse:
    """Put the project away."""
    services.archive_project(_project(membership, project_id))
    return redirect("projects", org=membership.organization.slug)


@require_POST
@members_only(Right.EDIT_PROJECTS)
def restore_project(request: HttpRequest, membership: Membership, *, project_id: int) -> HttpResponse:
    """Take the project up again."""
    services.restore_project(_project(membership, project_id))
    return redirect("projects", org=membership.organization.slug)


@require_POST
@members_only(Right.DELETE_PROJECTS)
def delete_project(request: HttpRequest, membership: Membership, *, project_id: int) -> HttpResponse:
    """Delete the project for good."""
    project = _project(membership, project_id)
    project.delete()
    messages.success(request, f"“{project.name}” is deleted.")
    return redirect("projects", org=membership.organization.slug)


@require_POST
@members_only(Right.EXPORT_PROJECTS)
def export_projects(request: HttpRequest, membership: Membership) -> HttpResponse:
    """All projects as CSV; by POST, since an export leaves an event."""
    response = HttpResponse(content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = 'attachment; filename="projects.csv"'
    writer = csv.writer(response)
    writer.writerow(["id", "name", "client", "budget", "archived"])
    writer.writerows(services.rows_for_export(membership.organization.projects.all()))
    return response


def _project(membership: Membership, project_id: int) -> Project:
    return get_object_or_404(membership.organization.projects, pk=project_id)
