"""Writes the reference tables of the G.711 tests with CPython's audioop (Python 3.11 or 3.12; removed in 3.13).

*_encode.bin: the code of each 16 bit sample, from -32768 to 32767. *_decode.bin: the sample of each code, 16 bit little-endian.
"""

import audioop
import pathlib
import struct

here = pathlib.Path(__file__).parent
samples = struct.pack("<65536h", *range(-32768, 32768))
codes = bytes(range(256))
(here / "ulaw_encode.bin").write_bytes(audioop.lin2ulaw(samples, 2))
(here / "alaw_encode.bin").write_bytes(audioop.lin2alaw(samples, 2))
(here / "ulaw_decode.bin").write_bytes(audioop.ulaw2lin(codes, 2))
(here / "alaw_decode.bin").write_bytes(audioop.alaw2lin(codes, 2))
