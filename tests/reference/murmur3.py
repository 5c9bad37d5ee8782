"""MurmurHash3 x86 32 bit, as its author describes it, without optimisation."""


def murmur3(key: bytes, seed: int = 0) -> int:
    """The hash as an unsigned number."""
    whole = len(key) - len(key) % 4
    value = seed
    for at in range(0, whole, 4):
        value = _mix_hash(value ^ _mix_key(int.from_bytes(key[at : at + 4], "little")))
    if len(key) > whole:
        value ^= _mix_key(int.from_bytes(key[whole:], "little"))
    return _finish(value ^ len(key))


def _mix_key(key: int) -> int:
    return _times(_rotated(_times(key, 0xCC9E2D51), 15), 0x1B873593)


def _mix_hash(value: int) -> int:
    return (_rotated(value, 13) * 5 + 0xE6546B64) & 0xFFFFFFFF


def _finish(value: int) -> int:
    value = _times(value ^ value >> 16, 0x85EBCA6B)
    value = _times(value ^ value >> 13, 0xC2B2AE35)
    return value ^ value >> 16


def _times(a: int, b: int) -> int:
    return a * b & 0xFFFFFFFF


def _rotated(value: int, bits: int) -> int:
    return (value << bits | value >> 32 - bits) & 0xFFFFFFFF
