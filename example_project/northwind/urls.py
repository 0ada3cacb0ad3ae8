"""URLs of the product."""

from __future__ import annotations

from django.contrib.auth.views import LogoutView
from django.urls import URLPattern, URLResolver, include, path

from example_project.northwind import api
from example_project.northwind.views import (
    accounts,
    activity,
    keys,
    members,
    organization,
    projects,
    security,
    sign_in,
    support,
)

_in_organization: list[URLPattern | URLResolver] = [
    path("", organization.dashboard, name="dashboard"),
    path("members/", members.MembersPage.as_view(), name="members"),
    path("members/<int:membership_id>/role/", members.change_role, name="change-role"),
    path("members/<int:membership_id>/remove/", members.remove_member, name="remove-member"),
    path("invitations/<int:invitation_id>/revoke/", members.revoke_invitation, name="revoke-invitation"),
    path("keys/", keys.ApiKeysPage.as_view(), name="keys"),
    path("keys/<int:key_id>/rotate/", keys.rotate_key, name="rotate-key"),
    path("keys/<int:key_id>/revoke/", keys.revoke_key, name="revoke-key"),
    path("projects/", projects.ProjectsPage.as_view(), name="projects"),
    path("projects/export.csv", projects.export_projects, name="export-projects"),
    path("projects/<int:project_id>/", projects.ProjectPage.as_view(), name="project"),
    path("projects/<int:project_id>/archive/", projects.archive_project, name="archive-project"),
    path("projects/<int:project_id>/restore/", projects.restore_project, name="restore-project"),
    path("projects/<int:project_id>/delete/", projects.delete_project, name="delete-project"),
    path("billing/", organization.BillingPage.as_view(), name="billing"),
    path("settings/", organization.SettingsPage.as_view(), name="settings"),
    path("settings/name/", organization.rename, name="rename"),
    path("activity/", activity.activity, name="activity"),
    path("audit/", include("auditkit_django.trail.urls")),
]

urlpatterns = [
    path("", accounts.home, name="home"),
    path("sign-up/", accounts.SignUpPage.as_view(), name="sign-up"),
    path("sign-in/", sign_in.SignInPage.as_view(), name="login"),
    path("sign-in/code/", sign_in.CodePage.as_view(), name="code"),
    path("sign-in/forgotten/", sign_in.ForgottenPage.as_view(), name="forgotten"),
    path("sign-in/forgotten/sent/", sign_in.ForgottenSentPage.as_view(), name="forgotten-sent"),
    path("sign-in/reset/<uidb64>/<token>/", sign_in.ResetPage.as_view(), name="reset"),
    path("sign-out/", LogoutView.as_view(), name="logout"),
    path("security/", security.SecurityPage.as_view(), name="security"),
    path("security/password/", security.PasswordPage.as_view(), name="password"),
    path("security/two-step/", security.EnrolPage.as_view(), name="enrol"),
    path("security/two-step/remove/", security.RemovePage.as_view(), name="remove-two-step"),
    path("support/", support.people, name="support"),
    path("hijack/", include("hijack.urls")),
    path("invitations/<str:token>/", accounts.InvitationPage.as_view(), name="invitation"),
    path("o/<slug:org>/", include(_in_organization)),
    path("api/v1/projects/", api.projects, name="api-projects"),
]
