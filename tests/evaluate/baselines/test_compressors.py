"""Bits per byte of compressors, against the compressor called by hand."""

from __future__ import annotations

import gzip

from talewright.evaluate.baselines.compressors import compressed_bits_per_byte


def test_compressors_give_bits_per_byte_of_one_file():
    found = compressed_bits_per_byte(["abc" * 100, "abc" * 100])
    assert found["gzip"] == 8 * len(gzip.compress(b"abc" * 100 + b"\n" + b"abc" * 100, 9, mtime=0)) / 601
    assert found["xz"] < 8
