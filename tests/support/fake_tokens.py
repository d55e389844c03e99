"""What the test engine says where it stands in for a model in GGUF (src/engines/fake/script.h): a
hash of all tokens before, so that an answer of its shows that none of them was lost, doubled or
exchanged on the way, whatever engine made them. Standard library only."""
from synthetic_model import Reader

MASK = (1 << 64) - 1
# It is as good as certain of its tokens, as no model is: log(1 + tokens · e^-32) below 0.
CERTAIN = -1e-8
CONTROL = 3  # of kinds of tokens
PART = "bytes:"  # how logprobs write a token that is only part of a character


def mix(value):
    value = (value + 0x9E3779B97F4A7C15) & MASK
    value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9 & MASK
    value = (value ^ value >> 27) * 0x94D049BB133111EB & MASK
    return value ^ value >> 31


def bytes_of_characters():
    """GPT-2's: which byte a character of a token in the file stands for."""
    printed = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printed]
    return {**{chr(byte): byte for byte in printed},
            **{chr(256 + at): byte for at, byte in enumerate(others)}}


def read_vocabulary(path):
    """(tokens, kind of each), of a file with a vocabulary of GPT-2's make."""
    reader, found = Reader(path), {}
    _, count = reader.take("<QQ")
    for _ in range(count):
        key, kind = reader.text(), reader.take("<I")
        if key == "tokenizer.ggml.tokens":
            _, size = reader.take("<IQ")
            found[key] = [reader.text() for _ in range(size)]
        elif key == "tokenizer.ggml.token_type":
            _, size = reader.take("<IQ")
            found[key] = reader.take(f"<{size}i")
        else:
            reader.skip(kind)
    return found["tokenizer.ggml.tokens"], found["tokenizer.ggml.token_type"]


class Vocabulary:
    def __init__(self, path):
        known, (tokens, self.kinds) = bytes_of_characters(), read_vocabulary(path)
        self.tokens = [bytes(known.get(character, 0) for character in token) for token in tokens]
        self.numbers = {token: number for number, token in enumerate(self.tokens)}

    def encode(self, *texts):
        """Texts of one token each."""
        return [self.numbers[text.encode()] for text in texts]

    def decode(self, logged):
        """Numbers of tokens as logprobs write them."""
        def raw(text):
            part = text.startswith(PART)
            return bytes.fromhex(text[len(PART):].replace("\\x", "")) if part else text.encode()
        return [self.numbers[raw(text)] for text in logged]

    def text(self, tokens):
        """Control tokens say nothing."""
        return b"".join(self.tokens[token] for token in tokens
                        if self.kinds[token] != CONTROL).decode(errors="replace")

    def said_after(self, tokens):
        """The test engine's next token, for each beginning of these from the empty one on."""
        seen, count = 0, len(self.tokens)
        for token in [*tokens, 0]:
            yield count // 8 + mix(seen) % (count // 2)
            seen = mix(seen ^ token + 1)

    def judge(self, prompt, answer, logprobs):
        """Where the test engine made a token of an answer, and the first place of these where it
        would not have said that one after what was received before; None if there is none."""
        said = list(self.said_after([*prompt, *answer]))[len(prompt):]
        made = [at for at, logprob in enumerate(logprobs) if logprob > CERTAIN]
        return made, next((at for at in made if answer[at] != said[at]), None)
