import pytest
from auditkit_django import auditlog
pytestmark=pytest.mark.django_db(transaction=True)
def test_try(client, ada, acme):
    auditlog.event("member.invited", actor=ada, tenant=acme, resource=acme, metadata={"role":"admin"}, changes={"role":("a","b")})
    client.force_login(ada)
    r=client.get("/o/acme/audit/")
    print(r.status_code, r.headers); print(r.content.decode()[:6000])
    r=client.post("/o/acme/audit/verify/"); print(r.status_code, r.content.decode()[:3000])
    r=client.post("/o/acme/audit/export.csv"); print(r.status_code, r.getvalue().decode()[:3000])
    e=auditlog.list(acme)[0]
    r=client.get(f"/o/acme/audit/events/{e.id}/"); print(r.status_code, r.content.decode()[:300])
