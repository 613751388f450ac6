// Unit tests, natively: `make test`. The cases in cases/ run against the component: `strowger provider test .`
#include "test.h"

static st_webhook_t webhook(st_string_t body) {
  st_header_t signature = {T("X-Signature"), T("00")};
  return (st_webhook_t){.method = T("POST"), .headers = ST_LIST(st_list_header_t, signature), .body = st_bytes(body)};
}

static void a_call_comes_in(void) {
  st_webhook_t post = webhook(T("{\"event\":\"incoming\",\"account\":\"A1\",\"call\":\"C1\",\"from\":\"+1\",\"to\":\"+2\"}"));
  webhook_recognition_t recognition;
  CHECK(webhook_recognise(&post, &recognition));
  CHECK(recognition.tag == WEBHOOK_RECOGNITION_INBOUND_CALL);
  CHECK_TEXT(recognition.val.inbound_call.callee, T("+2"));
}

static void what_cannot_be_read_is_not_ours(void) {
  st_webhook_t post = webhook(T("{\"event\":\"incoming\""));
  webhook_recognition_t recognition;
  CHECK(!webhook_recognise(&post, &recognition));
}

int main(void) {
  RUN(a_call_comes_in);
  RUN(what_cannot_be_read_is_not_ours);
  return st_report();
}
