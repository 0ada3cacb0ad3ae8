"""SQL that the ORM cannot say: append-only guards, tenant-first keys and the one-statement recorder, per vendor."""
