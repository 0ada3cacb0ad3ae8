"""
PostgreSQL: the trigger that records changes of a tracked table made past the ORM (raw SQL, ``psql``, other programs).

It writes the same event row that ``record()`` writes: disclosures with fresh salts, changes with old and new, secrets
left out by name and by pattern. Where the ORM has told of the change itself it says so in ``auditkit.told``, and where
a program has set ``auditkit.context`` (``tracking.database_context()``) actor and tenant are those.
"""

from __future__ import annotations

#: What looks like a secret (recording/redaction.py), in PostgreSQL's words. Card numbers are not checked for their check
#: digit here: a run of 13 to 19 digits inside a longer text is left out.
_SECRET_PATTERNS = (
    r"eyJ[\w-]{6,}\.[\w-]{6,}\.[\w-]*",
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*",
    r"\y(?:AKIA|ASIA)[0-9A-Z]{16}\y",
    r"\ygh[pousr]_\w{20,}|\ygithub_pat_\w{20,}",
    r"\yglpat-[\w-]{20,}",
    r"\yxox[abeoprs]-[\w-]{10,}",
    r"\y[sr]k_(?:live|test)_\w{10,}|\ywhsec_\w{10,}",
    r"\yAIza[\w-]{30,}",
    r"\ysk-[\w-]{20,}",
    r"\yak_[a-z]+_\w{8}_\w{20,}",
    r"\y[Bb](?:earer|asic|EARER|ASIC)\s+[\w+/=.~-]{16,}",
    r"(?<=://)[^/\s:@]+:[^/\s@]+(?=@)",
    r"(?<![\w.-])(?:\d[ -]?){12,18}\d(?![\w-])",
)
_SECRETS = "|".join(_SECRET_PATTERNS)

#: One value as an event holds it. Integers that JSON readers keep stay numbers, all others become text.
_VALUE_BODY = f"""
DECLARE
    plain text := value #>> '{{}}';
BEGIN
    IF value IS NULL OR jsonb_typeof(value) IN ('null', 'boolean') THEN
        RETURN coalesce(value::text, 'null');
    END IF;
    IF jsonb_typeof(value) = 'number' AND kind = 'integer' AND abs(plain::numeric) < 9007199254740992 THEN
        RETURN plain;
    END IF;
    IF kind = 'binary' THEN
        plain := octet_length(plain::bytea) || ' bytes, SHA-256 ' || encode(sha256(plain::bytea), 'hex');
    ELSIF kind = 'json' AND length(plain) <= 1024 AND jsonb_typeof(value) IN ('object', 'array')
          AND plain !~ '{_SECRETS}' THEN
        RETURN plain;
    END IF;
    RETURN to_json(left(regexp_replace(plain, '{_SECRETS}', '[redacted]', 'g'), 1024))::text;
END
"""

#: ``["<salt>","<name>",<value>]``: 128 random bits as base64url, 22 characters (ledger/disclosure.py).
_DISCLOSURE_BODY = """
    SELECT '"' || name || '":["' || translate(rtrim(encode(substring(sha256(
               uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())) FOR 16), 'base64'), '='), '+/', '-_')
           || '","' || name || '",' || value || ']'
"""

#: A UUIDv7 of now.
_ID_BODY = """
    SELECT (lpad(to_hex(floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint), 12, '0') || '7'
            || substr(random, 1, 3) || substr('89ab', 1 + get_byte(decode(random, 'hex'), 2) % 4, 1)
            || substr(random, 7, 15))::uuid
    FROM (SELECT encode(sha256(uuid_send(gen_random_uuid())), 'hex') AS random) r
"""

#: Arguments: target type, column of the key, column of the tenant ('' for none), {operation: [action, category, severity]},
#: [[column, field name, kind, is masked], …].
_CAPTURE_BODY = """
DECLARE
    target_type CONSTANT text := tg_argv[0];
    actions CONSTANT jsonb := tg_argv[3];
    before CONSTANT jsonb := CASE WHEN tg_op IN ('UPDATE', 'DELETE') THEN to_jsonb(OLD) END;
    after CONSTANT jsonb := CASE WHEN tg_op IN ('UPDATE', 'INSERT') THEN to_jsonb(NEW) END;
    given CONSTANT jsonb := nullif(current_setting('auditkit.context', true), '');
    actor text := given ->> 'actor';
    tenant text;
    key text;
    one jsonb;
    changes text[] := '{}';
    parts text[];
BEGIN
    IF tg_table_name = ANY (string_to_array(current_setting('auditkit.told', true), ',')) THEN
        RETURN NULL;
    END IF;
    key := coalesce(after, before) ->> tg_argv[1];
    tenant := coalesce(CASE WHEN tg_argv[2] <> '' THEN coalesce(before, after) ->> tg_argv[2] END, given ->> 'tenant');
    IF tenant IS NULL THEN
        RAISE EXCEPTION 'auditkit: % of % %: got no tenant, wanted one in column % or in tracking.database_context()',
            tg_op, target_type, key, tg_argv[2] USING errcode = '23502';
    END IF;
    FOR one IN SELECT * FROM jsonb_array_elements(tg_argv[4]::jsonb) LOOP
        IF (before -> (one ->> 0)) IS NOT DISTINCT FROM (after -> (one ->> 0)) THEN
            CONTINUE;
        ELSIF (one ->> 3)::boolean THEN
            changes := changes || ('{"field":' || to_json(one ->> 1) || ',"redacted":true}');
        ELSE
            changes := changes || ('{"field":' || to_json(one ->> 1)
                || ',"new":' || auditkit_django_value(after -> (one ->> 0), one ->> 2)
                || ',"old":' || auditkit_django_value(before -> (one ->> 0), one ->> 2) || '}');
        END IF;
    END LOOP;
    IF tg_op = 'UPDATE' AND changes = '{}' THEN
        RETURN NULL;
    END IF;
    actor := coalesce(actor, '{"id":' || to_json(session_user::text) || ',"type":"database"}');
    parts := ARRAY[auditkit_django_disclosure('actor', actor)];
    IF changes <> '{}' THEN
        parts := parts || auditkit_django_disclosure('changes', '[' || array_to_string(changes[1:100], ',') || ']');
    END IF;
    parts := parts || auditkit_django_disclosure('context',
        coalesce(given ->> 'context', '{"application":' || to_json(left(current_setting('application_name'), 200))
                                      || ',"source":"database"}'));
    parts := parts || auditkit_django_disclosure('metadata', '{"operation":"SQL ' || tg_op || '"}');
    IF given ->> 'on_behalf_of' IS NOT NULL THEN
        parts := parts || auditkit_django_disclosure('on_behalf_of', given ->> 'on_behalf_of');
    END IF;
    parts := parts || auditkit_django_disclosure('targets',
        '[{"id":' || to_json(key) || ',"type":' || to_json(target_type) || '}]');
    PERFORM auditkit_django_record(auditkit_django_new_id(), tenant, clock_timestamp(), clock_timestamp(),
        actions -> tg_op ->> 0, actions -> tg_op ->> 1, actions -> tg_op ->> 2, 'success',
        actor::json ->> 'type', actor::json ->> 'id', target_type, key,
        '{' || array_to_string(parts, E',\\n') || '}');
    RETURN NULL;
END
"""

#: TRUNCATE leaves no rows to look at: one event a tenant, with their number.
_TRUNCATE_BODY = """
DECLARE
    given CONSTANT jsonb := nullif(current_setting('auditkit.context', true), '');
    actor CONSTANT text := coalesce(given ->> 'actor', '{"id":' || to_json(session_user::text) || ',"type":"database"}');
    column_name CONSTANT text := tg_argv[1];
    tenant text;
    count bigint;
BEGIN
    FOR tenant, count IN EXECUTE format('SELECT %s, count(*) FROM %I.%I GROUP BY 1',
        CASE WHEN column_name <> '' THEN format('%I::text', column_name) ELSE quote_nullable(given ->> 'tenant') END,
        tg_table_schema, tg_table_name)
    LOOP
        PERFORM auditkit_django_record(auditkit_django_new_id(), tenant, clock_timestamp(), clock_timestamp(),
            'data.bulk_deleted', 'data', 'high', 'success', actor::json ->> 'type', actor::json ->> 'id', tg_argv[0], NULL,
            '{' || array_to_string(ARRAY[
                auditkit_django_disclosure('actor', actor),
                auditkit_django_disclosure('metadata', '{"count":' || count || ',"operation":"SQL TRUNCATE"}'),
                auditkit_django_disclosure('targets', '[{"type":' || to_json(tg_argv[0]) || '}]')], E',\\n') || '}');
    END LOOP;
    RETURN NULL;
END
"""

#: Name to (arguments, the rest of the head, body), in the order in which they are made.
FUNCTIONS: dict[str, tuple[str, str, str]] = {
    "auditkit_django_value": ("value jsonb, kind text", "RETURNS text LANGUAGE plpgsql IMMUTABLE", _VALUE_BODY),
    "auditkit_django_disclosure": ("name text, value text", "RETURNS text LANGUAGE sql VOLATILE", _DISCLOSURE_BODY),
    "auditkit_django_new_id": ("", "RETURNS uuid LANGUAGE sql VOLATILE", _ID_BODY),
    "auditkit_django_capture": ("", "RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT", _CAPTURE_BODY),
    "auditkit_django_capture_truncate": (
        "",
        "RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT",
        _TRUNCATE_BODY,
    ),
}


def function_statements() -> list[str]:
    """Makes every function, or puts back the body of one that was altered."""
    return [
        f"CREATE OR REPLACE FUNCTION {name}({arguments}) {head} AS $auditkit${body}$auditkit$"
        for name, (arguments, head, body) in FUNCTIONS.items()
    ]


def drop_statements() -> list[str]:
    """Takes the functions away; only where no trigger calls them any more."""
    return [f"DROP FUNCTION IF EXISTS {name}({arguments})" for name, (arguments, *_rest) in reversed(FUNCTIONS.items())]
