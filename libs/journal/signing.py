"""Ed25519 keys (RFC 8032) as hex: a private key is 32 random bytes, its public key says which journal it signs."""

from __future__ import annotations

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

#: Bytes of either key.
KEY_BYTES = 32


class SigningKey:
    """Signs; keeps its secret to itself."""

    def __init__(self, private: str) -> None:
        """Take 64 hexadecimal digits. Raises ValueError, never with what was given."""
        self._key = Ed25519PrivateKey.from_private_bytes(_bytes_of(private, "the private key"))
        self.public: str = self._key.public_key().public_bytes_raw().hex()

    def sign(self, message: bytes) -> bytes:
        """Return the signature, 64 bytes."""
        return self._key.sign(message)

    def __repr__(self) -> str:
        return f"SigningKey(public={self.public!r})"


def public_key(text: str) -> str:
    """Bring a public key into its usual form. Raises ValueError."""
    return _bytes_of(text, "the public key").hex()


def is_signed(message: bytes, signature: bytes, public: str) -> bool:
    """Tell whether a signature is right. A public key that is none has signed nothing."""
    try:
        Ed25519PublicKey.from_public_bytes(_bytes_of(public, "the public key")).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def _bytes_of(text: str, what: str) -> bytes:
    try:
        found = bytes.fromhex(text.strip())
    except ValueError:
        found = b""
    if len(found) != KEY_BYTES:
        raise ValueError(f"{what} must be {2 * KEY_BYTES} hexadecimal digits")
    return found
