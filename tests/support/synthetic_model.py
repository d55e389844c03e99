"""Models of any size that say nothing: GGUF files with a real model's vocabulary, a shape that was
chosen for its bytes, and random weights. For tests and benches of memory, which ask how large a
model is and not what it says. Standard library only.

Weights repeat one random run of blocks whose length has no factor in common with a row, so that
writing costs what the disk costs (2 GiB in seconds) and no two rows are alike. They are scaled by
the square root of their inputs: logits are finite and of the size of a trained model's.

Files are kept in a folder of the user's cache (AIOSS_SYNTHETIC_DIR names another) and made anew
where they are missing; never committed. Format: github.com/ggml-org/ggml, docs/gguf.md, version 3.
Usage: synthetic_model.py MIB [Q4_0|Q8_0|F16|IQ4_NL] [FILE]"""
import dataclasses
import math
import os
import pathlib
import random
import shutil
import struct
import sys

REVISION = 1  # of what is written: files of another are not used
ALIGNMENT = 32
HEAD = 64  # numbers of a head of attention
HEADS_A_KEY = 4  # heads that share a head of keys and values, as larger models have it
CONTEXT = 8192
LAYERS_MAX = 24
RUN_BLOCKS = 30011  # a prime: no row has as many blocks, or a part of them
VALUES = 32  # of a block; F16 has none, and is counted as if
SPARE_BYTES = 1 << 30  # that a disk keeps beside the file
F32 = 0
# name: (GGML_TYPE_…, LLAMA_FTYPE_MOSTLY_…, bytes of 32 numbers, deviation of a block's integers)
TYPES = {"Q4_0": (2, 2, 18, 4.6), "Q8_0": (8, 7, 34, 73.9), "F16": (1, 1, 64, None),
         "IQ4_NL": (20, 25, 18, 70.0)}


# ---- reading what the vocabulary comes from ------------------------------------------------------

class Reader:
    SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}

    def __init__(self, path):
        with open(path, "rb") as file:
            self.raw, self.at = file.read(32 << 20), 8

    def take(self, form):
        values = struct.unpack_from(form, self.raw, self.at)
        self.at += struct.calcsize(form)
        return values if len(values) > 1 else values[0]

    def text(self):
        size = self.take("<Q")
        self.at += size
        return self.raw[self.at - size:self.at].decode()

    def skip(self, kind):
        """Its number of elements."""
        if kind == 8:
            self.text()
        elif kind == 9:
            inner, count = self.take("<IQ")
            for _ in range(count if inner == 8 else 0):
                self.text()
            self.at += 0 if inner == 8 else self.SIZES[inner] * count
            return count
        else:
            self.at += self.SIZES[kind]
        return 1

    def tokenizer(self, most=None):
        """(tokens, the packed entries that make the vocabulary); of lists `most` elements."""
        _, count = self.take("<QQ")
        entries, tokens = [], 0
        for _ in range(count):
            begin, key = self.at, self.text()
            kind, value = self.take("<I"), self.at
            size = self.skip(kind)
            if key.startswith("tokenizer."):
                cut = most is not None and size > most
                entries.append(self.raw[begin:value] + (
                    self.beginning(value, most) if cut else self.raw[value:self.at]))
            if key == "tokenizer.ggml.tokens":
                tokens = size if most is None else min(size, most)
        return tokens, entries

    def beginning(self, begin, most):
        """Of the list there."""
        self.at, end = begin, self.at
        inner, _ = self.take("<IQ")
        first = self.at
        for _ in range(most):
            self.skip(inner)
        cut = struct.pack("<IQ", inner, most) + self.raw[first:self.at]
        self.at = end
        return cut


# ---- shape ---------------------------------------------------------------------------------------

@dataclasses.dataclass(frozen=True)
class Shape:
    tokens: int
    width: int
    inner: int
    layers: int
    experts: int = 0  # of each layer; two of them compute a token

    @property
    def keys(self):
        return self.width // HEADS_A_KEY

    def matrices(self):
        """(name, sizes) of all that is quantized: inputs, outputs, experts. The output layer is
        the first one."""
        yield "token_embd.weight", (self.width, self.tokens)
        which, several = ("_exps", (self.experts,)) if self.experts else ("", ())
        for layer in range(self.layers):
            for name, *sizes in (
                    ("attn_q", self.width, self.width), ("attn_k", self.width, self.keys),
                    ("attn_v", self.width, self.keys), ("attn_output", self.width, self.width),
                    (f"ffn_gate{which}", self.width, self.inner, *several),
                    (f"ffn_up{which}", self.width, self.inner, *several),
                    (f"ffn_down{which}", self.inner, self.width, *several)):
                yield f"blk.{layer}.{name}.weight", tuple(sizes)

    def norms(self):
        yield "output_norm.weight"
        for layer in range(self.layers):
            yield f"blk.{layer}.attn_norm.weight"
            yield f"blk.{layer}.ffn_norm.weight"

    def routers(self):
        """What chooses the experts: (name, sizes), not quantized."""
        for layer in range(self.layers if self.experts else 0):
            yield f"blk.{layer}.ffn_gate_inp.weight", (self.width, self.experts)

    def values(self):
        return sum(math.prod(sizes) for _, sizes in self.matrices())


def shape_for(size, kind, tokens):
    """The narrowest that needs no more than LAYERS_MAX layers, within a hundredth of `size`."""
    wanted = size * VALUES // TYPES[kind][2]
    for width in range(2 * HEAD * HEADS_A_KEY, 1 << 14, HEAD * HEADS_A_KEY):
        layer = Shape(0, width, 3 * width, 1).values()
        layers = round((wanted - tokens * width) / layer)
        if layers < 1:
            break
        if layers > LAYERS_MAX:
            continue
        attention = Shape(0, width, 0, layers).values()
        inner = (wanted - tokens * width - attention) / (3 * width * layers)
        return Shape(tokens, width, max(1, round(inner / 64)) * 64, layers)
    raise ValueError(f"{size} bytes are too few for a vocabulary of {tokens} tokens")


# ---- writing -------------------------------------------------------------------------------------

def text(value):
    raw = value.encode()
    return struct.pack("<Q", len(raw)) + raw


def entry(key, form, value):
    kind = {"I": 4, "f": 6, "s": 8}[form]
    return text(key) + struct.pack("<I", kind) + (
        text(value) if form == "s" else struct.pack("<" + form, value))


def metadata(name, shape, kind):
    heads = shape.width // HEAD
    llama = {"block_count": shape.layers, "context_length": CONTEXT,
             "embedding_length": shape.width, "feed_forward_length": shape.inner,
             "attention.head_count": heads, "attention.head_count_kv": heads // HEADS_A_KEY,
             "rope.dimension_count": HEAD, "vocab_size": shape.tokens}
    if shape.experts:
        llama |= {"expert_count": shape.experts, "expert_used_count": 2}
    return [entry("general.architecture", "s", "llama"), entry("general.name", "s", name),
            entry("general.file_type", "I", TYPES[kind][1]),
            *(entry(f"llama.{key}", "I", value) for key, value in llama.items()),
            entry("llama.attention.layer_norm_rms_epsilon", "f", 1e-5),
            entry("llama.rope.freq_base", "f", 10000.0)]


def padding(size):
    return -size % ALIGNMENT


def run_of_blocks(kind, inputs, seed):
    _, _, size, deviation = TYPES[kind]
    dice = random.Random(seed)
    if deviation is None:
        spread = math.sqrt(3 / inputs)  # of even numbers either way, whose deviation is 1 / √inputs
        return b"".join(struct.pack("<e", dice.uniform(-spread, spread))
                        for _ in range(RUN_BLOCKS * VALUES))
    scale = struct.pack("<e", 1 / (deviation * math.sqrt(inputs)))
    # -128 of Q8_0 is none that a quantizer writes, and harmless.
    return b"".join(scale + dice.randbytes(size - 2) for _ in range(RUN_BLOCKS))


def write_repeated(file, run, begin, size):
    """`size` bytes of `run`, over and over, from `begin`; where it ended."""
    while size:
        part = run[begin:begin + size]
        file.write(part)
        size -= len(part)
        begin = (begin + len(part)) % len(run)
    return begin


def write(path, name, shape, kind, tokenizer):
    block = TYPES[kind][2]
    tensors = [(tensor, sizes, TYPES[kind][0], math.prod(sizes) // VALUES * block)
               for tensor, sizes in shape.matrices()]
    tensors += [(tensor, sizes, F32, 4 * math.prod(sizes)) for tensor, sizes in shape.routers()]
    tensors += [(tensor, (shape.width,), F32, 4 * shape.width) for tensor in shape.norms()]
    entries = metadata(name, shape, kind) + tokenizer
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(entries)) + b"".join(entries)
    offset = 0
    for tensor, sizes, number, size in tensors:
        head += text(tensor) + struct.pack(f"<I{len(sizes)}QIQ", len(sizes), *sizes, number, offset)
        offset += size + padding(size)
    runs, at = {}, 0
    with open(path, "wb", buffering=0) as file:
        file.write(head + b"\0" * padding(len(head)))
        for _, sizes, number, size in tensors:
            if number == F32 and len(sizes) == 1:
                file.write(struct.pack("<f", 1.0) * sizes[0])
            elif number == F32:
                dice = random.Random(sizes[0])
                file.write(struct.pack(f"<{size // 4}f",
                                       *(dice.uniform(-1, 1) for _ in range(size // 4))))
            else:
                if sizes[0] not in runs:
                    runs[sizes[0]] = run_of_blocks(kind, sizes[0], sizes[0])
                at = write_repeated(file, runs[sizes[0]], at, size)
            file.write(b"\0" * padding(size))


# ---- the folder ----------------------------------------------------------------------------------

def folder():
    named = os.environ.get("AIOSS_SYNTHETIC_DIR")
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return pathlib.Path(named or f"{cache}/aioss/synthetic")


def usual_source():
    return f"{os.environ['AIOSS_MODELS_DIR']}/SmolLM2-135M-Instruct.Q4_1.gguf"


def make(path, size, kind, source):
    tokens, tokenizer = Reader(source).tokenizer()
    shape = shape_for(size, kind, tokens)
    free = shutil.disk_usage(path.parent).free
    if free < size + SPARE_BYTES:
        raise OSError(f"a synthetic model of {size >> 20} MiB needs {(size + SPARE_BYTES) >> 20} "
                      f"MiB free in {path.parent}, but there are {free >> 20}; "
                      f"AIOSS_SYNTHETIC_DIR names another folder")
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        write(unfinished, path.stem, shape, kind, tokenizer)
        os.rename(unfinished, path)  # two that make the same file make the same bytes
    finally:
        unfinished.unlink(missing_ok=True)


def tiny_model(path, kind="Q4_0", experts=0):
    """4 MB (of experts, 3 for each beyond the first), with the beginning of a vocabulary: for a
    device that software plays."""
    tokens, tokenizer = Reader(usual_source()).tokenizer(most=1024)
    write(path, "tiny", Shape(tokens, 2 * HEAD * HEADS_A_KEY, 1536, 2, experts), kind, tokenizer)
    return path


def synthetic_model(mib, kind="Q4_0", source=None):
    """The path of a model whose weights take `mib` MiB; written if it is not there yet.
    `source`: the real model that lends its vocabulary; by default SmolLM2 of AIOSS_MODELS_DIR."""
    source = pathlib.Path(source or usual_source())
    home = folder()
    home.mkdir(parents=True, exist_ok=True)
    path = home / f"synthetic-{mib}M.{kind}.r{REVISION}.gguf"
    if not path.exists():
        make(path, mib << 20, kind, source)
    return path


def main():
    mib, kind, *rest = (*sys.argv[1:], "Q4_0")[:max(2, len(sys.argv) - 1)]
    if rest:
        make(pathlib.Path(rest[0]).absolute(), int(mib) << 20, kind, usual_source())
        print(rest[0])
    else:
        print(synthetic_model(int(mib), kind))


if __name__ == "__main__":
    main()
