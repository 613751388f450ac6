import unittest

from strowger_sdk import read_base64, read_hex, read_json, to_base64, to_json, xml_escape
from strowger_sdk.text import JSON_DEPTH_MAX


class TextTest(unittest.TestCase):
    def test_json_is_strict(self) -> None:
        self.assertEqual(read_json('{"a":["\\u00e9\\ud83d\\ude00",1,2.5,null,true]}'), {"a": ["é😀", 1, 2.5, None, True]})
        self.assertEqual(read_json(b' "\xc3\xa9" '), "é")
        for text in ("", "{", "{} x", "NaN", "[Infinity]", '"\\ud800"', '{"\\udc00":1}', "'a'", "\ufeff{}", '"\n"', "[1,]"):
            with self.assertRaises(ValueError, msg=text):
                read_json(text)
        with self.assertRaises(ValueError):
            read_json(b"\xff")

    def test_json_has_a_depth(self) -> None:
        for before, after in (("[", "]"), ('{"a":', "}")):
            deep = before * JSON_DEPTH_MAX + "1" + after * JSON_DEPTH_MAX
            self.assertTrue(read_json(deep))
            for deeper in (before + deep + after, before * 100_000):
                with self.assertRaises(ValueError):
                    read_json(deeper)
        # Long is not deep, and what a string has in it does not count.
        self.assertEqual(len(read_json("[" + "[]," * 1000 + "[]]")), 1001)
        self.assertEqual(len(read_json('["' + "[" * 1000 + '\\"{"]')[0]), 1002)

    def test_what_cannot_be_read_is_not_quoted(self) -> None:
        with self.assertRaises(ValueError) as raised:
            read_json('{"secret')
        self.assertNotIn("secret", str(raised.exception))

    def test_json_is_written_compactly(self) -> None:
        self.assertEqual(to_json({"b": "é/\x01\n", "a": [1, None]}), '{"b":"é/\\u0001\\n","a":[1,null]}')

    def test_markup_is_escaped(self) -> None:
        self.assertEqual(xml_escape("<a b=\"c&d\" e='f'>"), "&lt;a b=&quot;c&amp;d&quot; e=&apos;f&apos;&gt;")

    def test_base64_has_one_spelling(self) -> None:
        for data in (b"", b"\xff", b"\xff\x7f", b"\xff\x7f\x00"):
            self.assertEqual(read_base64(to_base64(data)), data)
        for text in ("?", "/w", "/w=", "/w==\n", " /w==", "/x==", "_w==", "/w===", "é"):
            with self.assertRaises(ValueError, msg=text):
                read_base64(text)

    def test_hexadecimal_digits(self) -> None:
        self.assertEqual(read_hex("00fF"), b"\x00\xff")
        for text in ("0", "0g", "é0"):
            with self.assertRaises(ValueError, msg=text):
                read_hex(text)
