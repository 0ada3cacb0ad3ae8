"""What the two companies will remember of their first four months with Northwind Cloud."""

from __future__ import annotations

from example_project.northwind.demo import acts
from example_project.northwind.demo.cast import SUPPORT
from example_project.northwind.demo.story import Story
from example_project.northwind.models import Plan

DAYS = 122


def everybody_joins(story: Story) -> None:
    """The owner signs up and brings in the first admin; the admin invites the others a day before they join."""
    people = story.stage.company.people
    owner, admin = people[0], people[1]
    story.unattended(0, 1.5, acts.sign_up, owner)
    story.on(0, 1.6, acts.choose_plan, owner, plan=Plan.TEAM, seats=10)
    story.on(0, 1.8, acts.create_project, owner)
    for person in people[1:]:
        host = owner if person is admin else admin
        # Before noon of the day on which the person joins; the admin joins first, on the morning of day 1.
        hour = 0.5 if person is admin else 3.0
        invited_on = max(person.first_day - 1, 0 if person is admin else 1)
        story.on(invited_on, hour + 2, acts.invite, host, email=person.email, role=person.role)
        story.unattended(person.first_day, hour if person.first_day > invited_on else 7.0, acts.join, person)
    story.on(1, 3.5, acts.create_project, admin)
    story.on(2, 4.0, acts.create_project, admin)
    story.unattended(55, 14.0, acts.housekeeping, owner)
    story.unattended(100, 14.0, acts.housekeeping, owner)


def acme(story: Story) -> None:
    """Acme Robotics grows, tightens its settings, is attacked, asks for help, and parts with a colleague."""
    person = story.stage.company.person
    mara, tomas, priya, jonas = person("Mara"), person("Tomás"), person("Priya"), person("Jonas")
    sync, report = "Nightly sync", "Quarterly report"
    story.on(6, 2.0, acts.create_key, tomas, name=sync, scopes=["projects:read", "projects:write"])
    story.unattended(7, 15.0, acts.call_api, tomas, key=sync, project="Imported: spare parts", status=201)
    story.on(18, 3.2, acts.invite, tomas, email="jonas.webber@acme-robotics.example", role="member")
    story.on(18, 3.4, acts.withdraw, tomas, email="jonas.webber@acme-robotics.example")
    story.on(25, 1.1, acts.secure, mara, domain="acme-robotics.example")
    story.on(31, 4.6, acts.choose_plan, mara, plan=Plan.BUSINESS, seats=25)
    story.on(36, 5.0, acts.invite, tomas, email="freelancer@studio.example", role="member")
    story.on(38, 2.2, acts.change_role, mara, of=priya, role="admin")
    story.on(44, 2.7, acts.create_key, priya, name=report, scopes=["projects:read"])
    story.unattended(46, 15.0, acts.call_api, priya, key=report, project="Report 2", status=403)
    story.on(52, 1.3, acts.secure, mara, mfa=True, domain="acme-robotics.example")
    story.on(53, 0.9, acts.enrol, tomas)
    story.on(53, 2.4, acts.enrol, priya)
    story.unattended(57, 0.5, acts.mistype_code, tomas)
    story.on(57, 0.52, acts.view_project, tomas)
    story.on(58, 0.8, acts.change_password, mara)
    story.on(60, 2.1, acts.rotate_key, tomas, name=sync)
    story.on(
        66, 3.3, acts.secure, tomas, mfa=True, domain="acme-robotics.example", networks="192.0.2.0/24, 2001:db8:4a::/48"
    )
    for attempt in range(6):
        story.unattended(74, 18.2 + attempt / 60, acts.be_attacked, mara, ip="198.51.100.201")
    story.on(70, 3.4, acts.act_as, SUPPORT, customer=priya, deeds=[acts.view_project, acts.edit_project])
    story.on(75, 0.4, acts.view_trail, mara, query="?action=auth.login.failed")
    story.on(80, 7.9, acts.remove, mara, who=jonas)
    story.on(80, 8.1, acts.revoke_key, mara, name=report)
    for night in range(81, 84):
        story.unattended(night, 15.0, acts.call_api, priya, key=report, status=401)
    story.on(87, 1.5, acts.stop_two_step, priya)
    story.unattended(88, 0.3, acts.forget_password, priya)
    story.on(95, 2.9, acts.rename, mara, name="Acme Robotics GmbH")
    story.on(104, 6.0, acts.change_role, tomas, of=priya, role="member")
    story.on(112, 4.0, acts.export_projects, person("Ruth"))
    story.unattended(118, 15.0, acts.call_api, tomas, key=sync, project="Imported: line 6", status=201)
    story.on(117, 3.8, acts.invite, tomas, email="yuki@acme-robotics.example", role="member")
    story.on(119, 2.5, acts.choose_plan, mara, plan=Plan.BUSINESS, seats=30)
    story.on(120, 1.2, acts.view_trail, person("Ruth"), query="?action=member.*")
    story.lately(26 * 60, acts.edit_project, tomas)
    story.lately(171, acts.edit_project, priya)
    story.lately(94, acts.be_refused, person("Kenji"))
    story.lately(12, acts.export_projects, mara)


def blue_harbor(story: Story) -> None:
    """Blue Harbor Health starts careful and ends on the enterprise plan."""
    person = story.stage.company.person
    daniel, hannah, leila, marcus = person("Daniel"), person("Hannah"), person("Leila"), person("Marcus")
    feed = "Lab results feed"
    story.on(2, 1.0, acts.secure, daniel, mfa=True)
    story.on(5, 2.5, acts.create_key, hannah, name=feed, scopes=["projects:read", "projects:write"])
    story.unattended(8, 5.0, acts.call_api, hannah, key=feed, project="Feed: Meridian", status=201)
    story.on(15, 3.0, acts.secure, hannah, mfa=True, domain="blueharbor.example")
    story.on(16, 0.6, acts.enrol, hannah)
    story.on(22, 1.4, acts.change_password, hannah)
    story.unattended(26, 0.2, acts.forget_password, leila)
    story.on(28, 2.0, acts.change_role, daniel, of=leila, role="admin")
    story.on(34, 5.5, acts.be_refused, marcus)
    story.on(40, 4.0, acts.invite, leila, email="intern@blueharbor.example", role="member")
    story.on(47, 2.2, acts.choose_plan, daniel, plan=Plan.BUSINESS, seats=20)
    for attempt in range(4):
        story.unattended(59, 14.0 + attempt / 30, acts.be_attacked, hannah, ip="198.51.100.23")
    story.on(60, 0.5, acts.view_trail, hannah, query="?outcome=failure")
    for attempt in range(3):
        story.unattended(61, 14.0 + attempt / 60, acts.mistype_code, hannah)
    story.on(63, 3.5, acts.rotate_key, leila, name=feed)
    story.on(71, 2.0, acts.secure, daniel, mfa=True, domain="blueharbor.example", networks="203.0.113.0/24")
    story.on(84, 6.2, acts.change_role, daniel, of=leila, role="member")
    story.on(90, 1.7, acts.choose_plan, daniel, plan=Plan.ENTERPRISE, seats=60)
    story.on(97, 8.0, acts.remove, hannah, who=person("Sofia"))
    story.on(98, 1.0, acts.revoke_key, hannah, name=feed)
    story.unattended(98, 5.0, acts.call_api, hannah, key=feed, status=401)
    story.on(99, 1.0, acts.create_key, hannah, name="Lab results feed 2", scopes=["projects:write"])
    story.on(108, 2.2, acts.act_as, SUPPORT, customer=marcus, deeds=[acts.view_project])
    story.on(113, 3.0, acts.export_projects, person("Ruth"))
    story.on(119, 4.4, acts.invite, hannah, email="claire@blueharbor.example", role="admin")
    story.on(120, 2.0, acts.view_trail, daniel)
    story.lately(27 * 60, acts.edit_project, leila)
    story.lately(143, acts.be_refused, marcus)
    story.lately(31, acts.edit_project, person("Noah"))
    story.lately(8, acts.export_projects, daniel)
