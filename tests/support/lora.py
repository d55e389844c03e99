"""Small LoRA adapters in GGUF, made from a seed: for SmolLM2 135M, or with something wrong.

Standard library only."""
import random
import struct

ALIGNMENT = 32
LAYERS = (0, 7, 15, 29)
EMBEDDING, FEED_FORWARD = 576, 1536


def _text(value):
    raw = value.encode()
    return struct.pack("<Q", len(raw)) + raw


def _entry(key, value):
    if isinstance(value, float):
        return _text(key) + struct.pack("<If", 6, value)
    return _text(key) + struct.pack("<I", 8) + _text(value)


def _padded(raw):
    return raw + bytes(-len(raw) % ALIGNMENT)


def pairs(rank):
    """name -> (columns, rows), of the queries and the down projections of four layers."""
    shapes = {}
    for layer in LAYERS:
        for weight, width in (("attn_q", EMBEDDING), ("ffn_down", FEED_FORWARD)):
            name = f"blk.{layer}.{weight}.weight"
            shapes[name + ".lora_a"] = (width, rank)
            shapes[name + ".lora_b"] = (rank, EMBEDDING)
    return shapes


def adapter(seed=1, rank=4, alpha=8.0, amplitude=0.08, architecture="llama", shapes=None):
    """The bytes of one, and the same bytes for the same arguments."""
    rng = random.Random(seed)
    shapes = shapes or pairs(rank)
    entries = {"general.type": "adapter", "general.architecture": architecture,
               "general.name": f"seed {seed}", "adapter.type": "lora",
               "adapter.lora.alpha": float(alpha)}
    head = b"GGUF" + struct.pack("<IQQ", 3, len(shapes), len(entries))
    head += b"".join(_entry(key, value) for key, value in entries.items())
    data = b""
    for name, (columns, rows) in shapes.items():
        head += _text(name) + struct.pack("<IQQIQ", 2, columns, rows, 0, len(data))
        count = columns * rows
        values = [rng.uniform(-amplitude, amplitude) for _ in range(count)]
        data += _padded(struct.pack(f"<{count}f", *values))
    return _padded(head) + data
