"""The official openai client against the real binary and a real model."""
import pathlib
import sys
import unittest

import openai

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "support"))
from aioss_server import SMOLLM2, AiossServer  # noqa: E402

QUESTION = [{"role": "user", "content": "Name the capital of France in one short sentence."}]


class OpenAiClient(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = AiossServer("--parallel", 4, "--ctx", 1024)
        cls.server.start()
        cls.client = openai.OpenAI(base_url=cls.server.url + "/v1", api_key="unused",
                                   max_retries=0, timeout=120)

    @classmethod
    def tearDownClass(cls):
        cls.client.close()
        cls.server.__exit__(None)

    def chat(self, **options):
        options = {"max_tokens": 24, "temperature": 0, **options}
        return self.client.chat.completions.create(model=SMOLLM2, messages=QUESTION, **options)

    def test_models_are_listed(self):
        names = [m.id for m in self.client.models.list()]
        self.assertIn(SMOLLM2, names)
        self.assertEqual(self.client.models.retrieve(SMOLLM2).id, SMOLLM2)

    def test_chat_answers_and_counts(self):
        answer = self.chat()
        self.assertIn("Paris", answer.choices[0].message.content)
        self.assertEqual(answer.choices[0].message.role, "assistant")
        self.assertIn(answer.choices[0].finish_reason, ("stop", "length"))
        usage = answer.usage
        self.assertGreater(usage.prompt_tokens, 10)
        self.assertEqual(usage.total_tokens, usage.prompt_tokens + usage.completion_tokens)
        self.assertLessEqual(usage.completion_tokens, 24)

    def test_stream_equals_the_whole_answer(self):
        whole = self.chat()
        chunks = list(self.chat(stream=True, stream_options={"include_usage": True}))
        text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
        self.assertEqual(text, whole.choices[0].message.content)
        self.assertEqual(chunks[0].choices[0].delta.role, "assistant")
        reasons = [c.choices[0].finish_reason for c in chunks if c.choices]
        self.assertEqual([r for r in reasons if r], [whole.choices[0].finish_reason])
        self.assertEqual(chunks[-1].choices, [])
        self.assertEqual(chunks[-1].usage, whole.usage)
        self.assertEqual(len({c.id for c in chunks}), 1)

    def test_a_stream_that_was_lost_goes_on(self):
        """Events are numbered from 1 without a gap: who has n chunks asks for those behind n."""
        whole = self.chat(max_tokens=40).choices[0].message.content
        raw = self.client.chat.completions.with_raw_response.create(
            model=SMOLLM2, messages=QUESTION, max_tokens=40, temperature=0, stream=True,
            extra_headers={"X-Aioss-Resume": "30"})
        first, stream = [], raw.parse()
        for chunk in stream:
            first.append(chunk)
            if len(first) == 4:
                break
        stream.close()
        chunk_type = type(first[0])
        rest = list(self.client.get(
            f"/streams/{raw.headers['x-aioss-request-id']}?from={len(first)}",
            cast_to=chunk_type, stream=True, stream_cls=openai.Stream[chunk_type]))
        text = "".join(c.choices[0].delta.content or "" for c in first + rest if c.choices)
        self.assertEqual(text, whole)
        self.assertIn(rest[-1].choices[0].finish_reason, ("stop", "length"))

    def test_stream_without_usage_has_none(self):
        self.assertTrue(all(c.usage is None for c in self.chat(stream=True)))

    def test_logprobs(self):
        answer = self.chat(logprobs=True, top_logprobs=3, max_tokens=8)
        content = answer.choices[0].logprobs.content
        self.assertEqual(len(content), answer.usage.completion_tokens)
        for token in content:
            self.assertLessEqual(token.logprob, 0)
            self.assertEqual(len(token.top_logprobs), 3)
            # Greedy: the sampled token is the likeliest.
            self.assertEqual(token.top_logprobs[0].token, token.token)
            tops = [t.logprob for t in token.top_logprobs]
            self.assertEqual(tops, sorted(tops, reverse=True))
        joined = b"".join(bytes(t.bytes) for t in content).decode()
        self.assertTrue(joined.startswith(answer.choices[0].message.content))

    def test_stop_ends_before_the_stop_string(self):
        whole = self.chat().choices[0].message.content
        stop = whole[len(whole) // 2:len(whole) // 2 + 4]
        answer = self.chat(stop=stop)
        self.assertEqual(answer.choices[0].finish_reason, "stop")
        self.assertEqual(answer.choices[0].message.content, whole[:whole.index(stop)])

    def test_n_choices_differ_by_choice_and_repeat_by_seed(self):
        ask = {"n": 3, "temperature": 1.5, "seed": 7, "max_tokens": 16}
        first, second = self.chat(**ask), self.chat(**ask)
        texts = [c.message.content for c in first.choices]
        self.assertEqual([c.index for c in first.choices], [0, 1, 2])
        self.assertGreater(len(set(texts)), 1)
        self.assertEqual(texts, [c.message.content for c in second.choices])

    def test_max_tokens_is_kept(self):
        answer = self.chat(max_tokens=5, extra_body={"ignore_eos": True})
        self.assertEqual(answer.usage.completion_tokens, 5)
        self.assertEqual(answer.choices[0].finish_reason, "length")

    def test_logit_bias_forbids(self):
        text = self.chat(max_tokens=1).choices[0].message.content
        biased = self.chat(max_tokens=1, logit_bias={str(self.token_of(text)): -100})
        self.assertNotEqual(biased.choices[0].message.content, text)

    def token_of(self, text):
        """The id of a one-token text: the only id whose bias makes it certain."""
        for token in range(0, 49152, 1000):
            bias = {str(i): 100 for i in range(token, min(token + 1000, 49152))}
            top = self.chat(max_tokens=1, logit_bias=bias).choices[0].message.content
            if top == text:
                break
        else:
            self.fail(f"no token of the vocabulary reads {text!r}")
        low, high = token, token + 1000
        while high - low > 1:
            middle = (low + high) // 2
            bias = {str(i): 100 for i in range(low, middle)}
            inside = self.chat(max_tokens=1, logit_bias=bias).choices[0].message.content == text
            low, high = (low, middle) if inside else (middle, high)
        return low

    def test_completions(self):
        answer = self.client.completions.create(model=SMOLLM2, prompt="One, two, three,",
                                                max_tokens=6, temperature=0)
        self.assertIn("four", answer.choices[0].text)
        streamed = "".join(c.choices[0].text for c in self.client.completions.create(
            model=SMOLLM2, prompt="One, two, three,", max_tokens=6, temperature=0, stream=True))
        self.assertEqual(streamed, answer.choices[0].text)

    def test_unknown_model(self):
        with self.assertRaises(openai.NotFoundError) as caught:
            self.client.chat.completions.create(model="nobody", messages=QUESTION)
        self.assertEqual(caught.exception.param, "model")

    def test_bad_field_is_named(self):
        with self.assertRaises(openai.BadRequestError) as caught:
            self.chat(temperature=9)
        self.assertEqual(caught.exception.param, "temperature")

    def test_prompt_longer_than_the_context(self):
        with self.assertRaises(openai.BadRequestError) as caught:
            self.client.chat.completions.create(
                model=SMOLLM2, messages=[{"role": "user", "content": "word " * 3000}])
        self.assertIn("1024", str(caught.exception))
        self.assertEqual(caught.exception.code, "context_length_exceeded")

    def test_record_indices_are_reported(self):
        raw = self.client.chat.completions.with_raw_response.create(
            model=SMOLLM2, messages=QUESTION, max_tokens=4)
        request = int(raw.headers["x-aioss-request-record"])
        result = int(raw.headers["x-aioss-result-record"])
        self.assertGreater(result, request)
        self.assertEqual(raw.headers["x-aioss-profile"], "fast")


if __name__ == "__main__":
    unittest.main(verbosity=2)
