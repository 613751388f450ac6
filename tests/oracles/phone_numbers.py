"""Writes telephone numbers as people write them, and reads them with `phonenumbers`.

    phone_numbers.py COUNTRY…

Prints one JSON document a line: a `text` with the `hint` of a country (null for none), the `form` that it is in, the
number that is `meant` and its `kind`, and what the library reads: `e164` (null where it reads no number), and whether
that is `valid`.
"""

import json
import sys

import phonenumbers
from phonenumbers import NumberParseException, PhoneNumberFormat, PhoneNumberType

KINDS = {
    "fixed": PhoneNumberType.FIXED_LINE,
    "mobile": PhoneNumberType.MOBILE,
    "toll-free": PhoneNumberType.TOLL_FREE,
    "shared-cost": PhoneNumberType.SHARED_COST,
    "voip": PhoneNumberType.VOIP,
    "premium": PhoneNumberType.PREMIUM_RATE,
    "uan": PhoneNumberType.UAN,
}
# What is no number of one country, or none at all; each with every hint.
OTHERS = [
    ("extension", "8000"),
    ("extension", "1234567"),
    ("emergency", "112"),
    ("name", "lobby"),
    ("sip", "sip:+14155550100@gateway.example"),
    ("sip", "sip:desk@gateway.example"),
    ("too long", "1234567890123456"),
    ("plus plus", "++14155550100"),
    ("letters", "1-800-FLOWERS"),
    ("dots", "+1.415.555.0100"),
    ("other digits", "٤١٥٥٥٥٠١٠٠"),
    ("no such country", "+999123456789"),
]


def forms(number):
    def formatted(form):
        return phonenumbers.format_number(number, form)

    e164 = formatted(PhoneNumberFormat.E164)
    national = formatted(PhoneNumberFormat.NATIONAL)
    significant = phonenumbers.national_significant_number(number)
    yield "e164", e164
    yield "digits with country code", e164[1:]
    yield "international", formatted(PhoneNumberFormat.INTERNATIONAL)
    yield "rfc3966", formatted(PhoneNumberFormat.RFC3966)
    yield "00", "00" + e164[1:]
    yield "00 with blanks", "00 " + formatted(PhoneNumberFormat.INTERNATIONAL)[1:]
    yield "national", national
    yield "national digits", "".join(filter(str.isdigit, national))
    yield "significant digits", significant
    yield "parentheses", f"+{number.country_code} ({significant[:3]}) {significant[3:]}"
    yield "with an extension", formatted(PhoneNumberFormat.INTERNATIONAL) + " ext. 42"
    yield "trunk zero in parentheses", f"+{number.country_code} (0) {significant}"


def read(text, hint):
    try:
        number = phonenumbers.parse(text, hint)
    except NumberParseException:
        return {"e164": None, "valid": False}
    return {
        "e164": phonenumbers.format_number(number, PhoneNumberFormat.E164),
        "valid": phonenumbers.is_valid_number(number),
    }


def main():
    countries = sys.argv[1:]
    for country in countries:
        for kind, number_type in KINDS.items():
            number = phonenumbers.example_number_for_type(country, number_type)
            if number is None:
                continue
            for form, text in forms(number):
                for hint in (country, None, "US" if country != "US" else "GB"):
                    meant = phonenumbers.format_number(number, PhoneNumberFormat.E164)
                    case = {"country": country, "kind": kind, "form": form, "text": text, "hint": hint, "meant": meant}
                    print(json.dumps(case | read(text, hint)))
    for form, text in OTHERS:
        for hint in [None, *countries]:
            case = {"country": None, "kind": None, "form": form, "text": text, "hint": hint, "meant": None}
            print(json.dumps(case | read(text, hint)))


main()
