"""
PostgreSQL: functions that look into an event's disclosures, for what has no column of its own.

They answer NULL or false to a text that is not what ``record()`` writes: a row that was changed by hand must not make a
listing fail. They are costly and say so (``COST``), so that whatever is cheaper is asked first.
"""

from __future__ import annotations

_TRAITS = "LANGUAGE plpgsql IMMUTABLE STRICT COST 10000"

# A cancelled statement (a timeout) is not among OTHERS: it still ends.
_OPENED_BODY = """
BEGIN
    RETURN disclosures::jsonb;
EXCEPTION WHEN OTHERS THEN
    RETURN NULL;
END
"""

#: What ``ipaddress`` takes for an address. PostgreSQL would take more: a network, or 010.0.0.1.
_ADDRESS = r"^((0|[1-9][0-9]{0,2})(\.(0|[1-9][0-9]{0,2})){3}|[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*)$"

# An IPv4 address that IPv6 only carries (::ffff:192.0.2.1) counts as the IPv4 address.
_WITHIN_BODY = f"""
DECLARE
    value text;
    address inet;
BEGIN
    value := disclosures::jsonb -> 'context' -> 2 ->> 'ip';
    IF value IS NULL OR value !~ '{_ADDRESS}' THEN
        RETURN false;
    END IF;
    address := value::inet;
    IF family(address) = 6 AND address <<= inet '::ffff:0:0/96' THEN
        address := inet '0.0.0.0' + (address - inet '::ffff:0:0');
    END IF;
    RETURN address <<= network;
EXCEPTION WHEN OTHERS THEN
    RETURN false;
END
"""

# The values, at every depth, and neither names of members nor salts: those stand at [0] and [1]. Numbers that are written
# with an exponent have two forms and are left out.
_MENTIONS_BODY = """
BEGIN
    RETURN EXISTS (
        SELECT FROM jsonb_path_query(
            disclosures::jsonb,
            '$.*[2].** ? (@.type() == "string" || @.type() == "number"
                          && (@ == 0 || @.abs() >= 0.0001 && @.abs() < 10000000000000000))'
        ) AS part (value)
        WHERE (part.value #>> '{}') COLLATE "C" ~ pattern);
EXCEPTION WHEN OTHERS THEN
    RETURN false;
END
"""

#: Signature to the rest of the definition: the disclosures as jsonb; whether the address is in a network; whether a value
#: matches a pattern.
_FUNCTIONS = {
    "auditkit_django_opened(disclosures text)": f"RETURNS jsonb {_TRAITS} AS $${_OPENED_BODY}$$",
    "auditkit_django_within(disclosures text, network inet)": f"RETURNS boolean {_TRAITS} AS $${_WITHIN_BODY}$$",
    "auditkit_django_mentions(disclosures text, pattern text)": f"RETURNS boolean {_TRAITS} AS $${_MENTIONS_BODY}$$",
}
CREATE = tuple(f"CREATE OR REPLACE FUNCTION {signature} {rest}" for signature, rest in _FUNCTIONS.items())
DROP = tuple(f"DROP FUNCTION IF EXISTS {signature}" for signature in _FUNCTIONS)
