// What the SDK itself promises.
#include "test.h"

#include <string.h>

struct media_leg_t { int unused; };

static st_list_u8_t bytes(const char *text) { return st_bytes(st_text(text)); }

static void base64_has_one_spelling(void) {
  static const char *const table[][2] = {{"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"}, {"foob", "Zm9vYg=="}};
  st_list_u8_t read;
  for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
    CHECK_TEXT(st_base64(bytes(table[i][0])), st_text(table[i][1]));
    CHECK(st_read_base64(st_text(table[i][1]), &read));
    CHECK_TEXT(((st_string_t){read.ptr, read.len}), st_text(table[i][0]));
  }
  static const char *const refused[] = {"Z", "Zg", "Zg=", "Zh==", "Zm9=", "Z===", "====", "Zg==Zg==", "Zm9v\n", "Zm-_", " Zg="};
  for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) CHECK(!st_read_base64(st_text(refused[i]), &read));
}

static void hex_and_numbers_are_read_strictly(void) {
  st_list_u8_t read;
  CHECK(st_read_hex(T("00fFaB"), &read) && read.len == 3 && read.ptr[2] == 0xab);
  CHECK(!st_read_hex(T("0"), &read) && !st_read_hex(T("0g"), &read));
  uint64_t number;
  CHECK(st_read_number(T("18446744073709551615"), &number) && number == UINT64_MAX);
  CHECK(!st_read_number(T("18446744073709551616"), &number));
  CHECK(!st_read_number(T(""), &number) && !st_read_number(T("+1"), &number) && !st_read_number(T("1 "), &number));
  CHECK_TEXT(st_number(0), T("0"));
  CHECK_TEXT(st_number(UINT64_MAX), T("18446744073709551615"));
}

static void what_is_written_into_xml_and_urls_is_escaped(void) {
  CHECK_TEXT(st_xml(T("<a b=\"c\" d='e'>&\x01\n\xC3\xA9")), T("&lt;a b=&quot;c&quot; d=&apos;e&apos;&gt;&amp;\xEF\xBF\xBD\n\xC3\xA9"));
  CHECK_TEXT(st_percent(T("+a/b~\xC3\xA9")), T("%2Ba%2Fb~%C3%A9"));
}

static void json_is_strict_and_the_last_member_counts(void) {
  CHECK(!st_json(T("")) && !st_json(T("{")) && !st_json(T("{}x")) && !st_json(T("\"\xFF\"")) && !st_json(T("{\"a\":NaN}")));
  st_string_t text;
  CHECK(st_json_text(st_json(T("{\"a\":\"x\",\"a\":\"y\"}")), "a", &text));
  CHECK_TEXT(text, T("y"));
  CHECK(!st_json_text(NULL, "a", &text) && !st_json_text(st_json(T("[]")), "a", &text));
  uint64_t number;
  CHECK(!st_json_number(st_json(T("{\"a\":-1}")), "a", &number) && !st_json_number(st_json(T("{\"a\":1.5}")), "a", &number));
  st_object_t object = st_object();
  st_put_text(&object, "t", T("\"/\xC3\xA9\n\x1F\\uABCD"));
  st_put_text(&object, "e", (st_string_t){0});
  st_put_number(&object, "n", 7);
  st_put_null(&object, "z");
  CHECK_TEXT(st_write(&object), T("{\"t\":\"\\\"/\xC3\xA9\\n\\u001f\\\\uABCD\",\"e\":\"\",\"n\":7,\"z\":null}"));
}

static void texts_are_cut_between_characters(void) {
  CHECK_TEXT(st_cut(T("a\xC3\xA9z"), 2), T("a\xC3\xA9"));
  CHECK_TEXT(st_cut(T("abc"), 9), T("abc"));
  CHECK_TEXT(st_cut((st_string_t){0}, 9), T(""));
}

static void effects_are_performed_in_order(void) {
  st_reply_t replies[] = {{.tag = ST_REPLY_VALUE}, {.tag = ST_REPLY_SAVED}, {.tag = ST_REPLY_CLAIMED, .val = {.claimed = true}}};
  st_interruption_t interruption;
  for (size_t count = 0; count <= 3; count++) {
    st_io_t io = {replies, count, 0, &interruption};
    st_option_json_t value;
    bool first = false;
    bool done = st_load(&io, T("k"), &value) && st_save(&io, T("k"), T("1"), 1000) && st_claim(&io, T("k"), 1000, &first) &&
                st_finished(&io);
    CHECK(done == (count == 3) && first == done);
    if (!done) CHECK(interruption.val.perform.tag == ST_EFFECT_LOAD + count);
  }
  st_io_t other = {replies, 1, 0, &interruption};
  st_response_t response;
  CHECK(!st_http(&other, st_request(T("GET"), T("https://a")), &response));
  CHECK_TEXT(interruption.val.failed.code, T("replay"));
}

static void what_is_kept_outlives_what_is_not(void) {
  st_string_t kept = st_keep_text(T("S1"));
  uint8_t *large = st_alloc(1 << 20);
  memset(large, 0xAA, 1 << 20);
  uint8_t *small = st_alloc(3);
  CHECK(((uintptr_t)small & 15) == 0);
  st_rewind();
  for (int i = 0; i < 1000; i++) memset(st_alloc(100), 0xBB, 100);
  CHECK_TEXT(kept, T("S1"));
  CHECK(((uint8_t *)st_alloc(16))[0] == 0);
}

int main(void) {
  RUN(base64_has_one_spelling);
  RUN(hex_and_numbers_are_read_strictly);
  RUN(what_is_written_into_xml_and_urls_is_escaped);
  RUN(json_is_strict_and_the_last_member_counts);
  RUN(texts_are_cut_between_characters);
  RUN(effects_are_performed_in_order);
  RUN(what_is_kept_outlives_what_is_not);
  return st_report();
}
