"""A passkey in software: what a browser and its authenticator answer to ``navigator.credentials``."""

from __future__ import annotations

import os
from hashlib import sha256
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from fido2.cose import ES256
from fido2.utils import websafe_encode
from fido2.webauthn import Aaguid, AttestationObject, AttestedCredentialData, AuthenticatorData, CollectedClientData

RP_ID = "testserver"
_FLAGS = AuthenticatorData.FLAG.UP | AuthenticatorData.FLAG.UV


class SoftPasskey:
    """One credential, which verifies its user each time."""

    def __init__(self, user_handle: str) -> None:
        self.user_handle = user_handle.encode()
        self.id = os.urandom(16)
        self.key = ec.generate_private_key(ec.SECP256R1())

    def register(self, challenge: str) -> dict[str, Any]:
        """Answer of ``navigator.credentials.create()``."""
        public = ES256.from_cryptography_key(self.key.public_key())  # type: ignore[no-untyped-call]
        credential = AttestedCredentialData.create(Aaguid.NONE, self.id, public)
        flags = _FLAGS | AuthenticatorData.FLAG.AT
        data = AuthenticatorData.create(sha256(RP_ID.encode()).digest(), flags, 0, credential)
        attestation = AttestationObject.create("none", data, {})
        return self._answer("webauthn.create", challenge, attestationObject=attestation)

    def sign(self, challenge: str) -> dict[str, Any]:
        """Answer of ``navigator.credentials.get()``."""
        data = AuthenticatorData.create(sha256(RP_ID.encode()).digest(), _FLAGS, 1)
        client = sha256(_client_data("webauthn.get", challenge)).digest()
        signature = self.key.sign(data + client, ec.ECDSA(SHA256()))
        return self._answer(
            "webauthn.get", challenge, authenticatorData=data, signature=signature, userHandle=self.user_handle
        )

    def _answer(self, kind: str, challenge: str, **response: bytes) -> dict[str, Any]:
        response["clientDataJSON"] = _client_data(kind, challenge)
        return {
            "id": websafe_encode(self.id),
            "rawId": websafe_encode(self.id),
            "type": "public-key",
            "response": {name: websafe_encode(value) for name, value in response.items()},
            "clientExtensionResults": {"credProps": {"rk": True}},
        }


def _client_data(kind: str, challenge: str) -> bytes:
    return CollectedClientData.create(type=kind, challenge=challenge, origin=f"https://{RP_ID}")
