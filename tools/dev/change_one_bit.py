"""For ./dev demo: changes one bit in the middle of the first segment of a ledger."""
import os
import pathlib
import sys

segment = sorted((pathlib.Path(sys.argv[1]) / "seg").iterdir())[0]
os.chmod(segment, 0o600)  # segments are read-only once they are closed
data = bytearray(segment.read_bytes())
data[len(data) // 2] ^= 1
segment.write_bytes(data)
