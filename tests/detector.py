# SPDX-License-Identifier: Apache-2.0
"""detector: looks for bytes in everything below a directory, also inside zstd frames (the journal's batches are
compressed, and so are its old segments), so that 'it is nowhere' means something."""
import ctypes
import ctypes.util
import pathlib

_zstd = ctypes.CDLL(ctypes.util.find_library("zstd") or "libzstd.so.1")
for _name in ("ZSTD_decompress", "ZSTD_findFrameCompressedSize"):
    getattr(_zstd, _name).restype = ctypes.c_size_t
_zstd.ZSTD_isError.restype = ctypes.c_uint
_zstd.ZSTD_isError.argtypes = [ctypes.c_size_t]
_zstd.ZSTD_findFrameCompressedSize.argtypes = [ctypes.c_char_p, ctypes.c_size_t]
_zstd.ZSTD_decompress.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t]

FRAME = b"\x28\xb5\x2f\xfd"
FRAME_BYTES = 20 << 20  # the longest that the journal writes, uncompressed
_room = ctypes.create_string_buffer(FRAME_BYTES)


def _unpack(data, at):
    """The content of the frame at that place, or None."""
    rest = data[at:]
    size = _zstd.ZSTD_findFrameCompressedSize(rest, len(rest))
    if _zstd.ZSTD_isError(size):
        return None
    n = _zstd.ZSTD_decompress(_room, FRAME_BYTES, rest[:size], size)
    return None if _zstd.ZSTD_isError(n) else _room.raw[:n]


def holds(data, wanted, depth=3):
    if wanted in data.lower():
        return True
    at = data.find(FRAME) if depth else -1
    while at >= 0:
        inside = _unpack(data, at)
        if inside and holds(inside, wanted, depth - 1):
            return True
        at = data.find(FRAME, at + 1)
    return False


def where(directory, wanted):
    """The files below directory that hold the text, without regard to case."""
    wanted = wanted.lower().encode()
    found = []
    for path in sorted(pathlib.Path(directory).rglob("*")):
        if path.is_file() and not path.is_symlink() and holds(path.read_bytes(), wanted):
            found.append(str(path.relative_to(directory)))
    return found
