"""Ed25519 signatures (RFC 8032) in plain Python, for the handshake in `quorate_wire.py`.

The standard library has none. This one is short and strict, takes milliseconds, and does not hide its
timing: fit for tools and for reading along, not for keys that matter.
"""

from __future__ import annotations

import hashlib

P = 2**255 - 19  # the field
L = 2**252 + 27742317777372353535851937790883648493  # the order of the base point
D = -121665 * pow(121666, -1, P) % P  # the curve: -x² + y² = 1 + D x² y²
ROOT = pow(2, (P - 1) // 4, P)  # a square root of -1
NEUTRAL = (0, 1, 1, 0)  # points are (X, Y, Z, T) with x = X/Z, y = Y/Z, xy = T/Z


def _add(p, q):
    a, b = (p[1] - p[0]) * (q[1] - q[0]) % P, (p[1] + p[0]) * (q[1] + q[0]) % P
    c, d = 2 * D * p[3] * q[3] % P, 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def _times(scalar, point):
    total = NEUTRAL
    while scalar:
        if scalar & 1:
            total = _add(total, point)
        point, scalar = _add(point, point), scalar >> 1
    return total


def _is_same(p, q):
    return (p[0] * q[2] - q[0] * p[2]) % P == 0 and (p[1] * q[2] - q[1] * p[2]) % P == 0


def _encode(point):
    inverse = pow(point[2], -1, P)
    x, y = point[0] * inverse % P, point[1] * inverse % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def _decode(data):
    """The point that these 32 bytes spell in their only form, none if there is no such point."""
    number = int.from_bytes(data, "little")
    sign, y = number >> 255, number & (2**255 - 1)
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * ROOT % P
    if y >= P or (x * x - square) % P or (x == 0 and sign):
        return None
    x = P - x if x & 1 != sign else x
    return x, y, 1, x * y % P


BASE = _decode((4 * pow(5, -1, P) % P).to_bytes(32, "little"))


def _hash(*parts):
    return int.from_bytes(hashlib.sha512(b"".join(parts)).digest(), "little")


def _expand(secret):
    digest = hashlib.sha512(secret).digest()
    scalar = int.from_bytes(digest[:32], "little")
    return scalar & (2**254 - 8) | 2**254, digest[32:]


def public_key(secret: bytes) -> bytes:
    """The public key of a secret key of 32 bytes."""
    return _encode(_times(_expand(secret)[0], BASE))


def sign(secret: bytes, message: bytes) -> bytes:
    """The signature of a message, 64 bytes."""
    scalar, prefix = _expand(secret)
    nonce = _hash(prefix, message) % L
    commitment = _encode(_times(nonce, BASE))
    challenge = _hash(commitment, public_key(secret), message)
    return commitment + ((nonce + challenge * scalar) % L).to_bytes(32, "little")


def verify(key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether the signature holds. Strict: points of small order and second spellings are refused."""
    if len(key) != 32 or len(signature) != 64:
        return False
    owner, commitment = _decode(key), _decode(signature[:32])
    answer = int.from_bytes(signature[32:], "little")
    if owner is None or commitment is None or answer >= L:
        return False
    if any(_is_same(_times(8, point), NEUTRAL) for point in (owner, commitment)):
        return False
    challenge = _hash(signature[:32], key, message) % L
    return _is_same(_times(answer, BASE), _add(commitment, _times(challenge, owner)))
