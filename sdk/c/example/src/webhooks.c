// What Example Telecom posts: whose it is, whether it is genuine, what it says.
#include "provider.h"

// How old a webhook may be, or how far ahead the carrier's clock.
#define AGE_MAX_MS 300000
// A signature is claimed for longer than its webhook may be believed.
#define CLAIMED_FOR_MS 600000
// What the contract keeps of a cause.
#define CAUSE_CHARACTERS_MAX 100

yyjson_val *read_object(st_list_u8_t body) {
  yyjson_val *root = st_json((st_string_t){body.ptr, body.len});
  return yyjson_is_obj(root) ? root : NULL;
}

static st_option_string_t member(yyjson_val *object, const char *name) {
  st_option_string_t text = {0};
  text.is_some = st_json_text(object, name, &text.val);
  return text;
}

bool webhook_recognise(webhook_webhook_t *webhook, webhook_recognition_t *ret) {
  st_string_t signature, event, account, call, from, to;
  if (!st_header(webhook, T("x-example-signature"), &signature)) return false;
  yyjson_val *body = read_object(webhook->body);
  TRY(st_json_text(body, "event", &event) && st_json_text(body, "account", &account) && st_json_text(body, "call", &call));
  if (st_equal(event, T("call.incoming"))) {
    TRY(st_json_text(body, "from", &from) && st_json_text(body, "to", &to));
    *ret = (webhook_recognition_t){.tag = WEBHOOK_RECOGNITION_INBOUND_CALL,
                                   .val = {.inbound_call = {.provider_call_id = call,
                                                            .caller = from,
                                                            .callee = to,
                                                            .caller_country = member(body, "from_country"),
                                                            .callee_country = member(body, "to_country"),
                                                            .account_id = st_some(account)}}};
    return true;
  }
  *ret = (webhook_recognition_t){.tag = WEBHOOK_RECOGNITION_EVENT, .val = {.event = {call, st_some(account)}}};
  return st_starts_with(event, T("call."));
}

// `timestamp` is in seconds, `now_ms` in milliseconds, both of Unix time. Twelve digits last for 30 000 years.
static bool is_recent(st_string_t timestamp, uint64_t now_ms) {
  uint64_t seconds;
  if (timestamp.len > 12 || !st_read_number(timestamp, &seconds)) return false;
  uint64_t then_ms = seconds * 1000;
  return (now_ms > then_ms ? now_ms - then_ms : then_ms - now_ms) <= AGE_MAX_MS;
}

static bool rejected(webhook_rejection_t *rejection, st_string_t code, st_string_t message) {
  *rejection = (webhook_rejection_t){code, message};
  return false;
}

// The carrier signs the time, the URL and the body. What can be told without the secret is told here; the runtime computes
// the rest.
bool webhook_verify_signature(webhook_json_t *kept, webhook_webhook_t *webhook, webhook_list_proof_t *ret,
                              webhook_rejection_t *err) {
  st_string_t timestamp, signature;
  config config;
  st_interruption_t unread;
  st_io_t io = {.interruption = &unread};
  if (!read_config(&io, kept, &config)) return rejected(err, unread.val.failed.code, unread.val.failed.message);
  if (!st_header(webhook, T("x-example-timestamp"), &timestamp) ||
      !st_header(webhook, T("x-example-signature"), &signature)) {
    return rejected(err, T("signature-missing"), T("The webhook has no signature."));
  }
  if (!is_recent(timestamp, webhook->received_at)) {
    return rejected(err, T("timestamp-expired"), T("The webhook is older than five minutes, or from the future."));
  }
  st_list_u8_t expected;
  if (!st_read_hex(signature, &expected) || expected.len != 32) {
    return rejected(err, T("signature-malformed"), T("The signature is not 64 hexadecimal digits."));
  }
  webhook_check_t hmac = st_hmac(WEBHOOK_HASH_SHA256, config.signing_secret, webhook->body, expected);
  webhook_segment_t before = {.tag = WEBHOOK_SEGMENT_BYTES,
                              .val = {.bytes = st_bytes(st_join(timestamp, T("."), webhook->url, T(".")))}};
  webhook_segment_t body = {.tag = WEBHOOK_SEGMENT_BYTES, .val = {.bytes = webhook->body}};
  hmac.val.hmac.message = ST_LIST(webhook_list_segment_t, before, body);
  webhook_check_t once = st_once(st_lower(signature), CLAIMED_FOR_MS);
  *ret = ST_LIST(webhook_list_proof_t, st_proof(T("hmac"), ST_CHECKS(hmac, once)));
  return true;
}

bool read_status(st_string_t word, st_call_status_t *status) {
  static const struct {
    const char *word;
    st_call_status_t status;
  } words[] = {
      {"queued", ST_CALL_STATUS_INITIATED},     {"ringing", ST_CALL_STATUS_RINGING},
      {"in-progress", ST_CALL_STATUS_IN_PROGRESS}, {"completed", ST_CALL_STATUS_COMPLETED},
      {"busy", ST_CALL_STATUS_BUSY},            {"no-answer", ST_CALL_STATUS_NO_ANSWER},
      {"failed", ST_CALL_STATUS_FAILED},        {"canceled", ST_CALL_STATUS_CANCELED},
  };
  for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
    if (st_equal(word, st_text(words[i].word))) {
      *status = words[i].status;
      return true;
    }
  }
  return false;
}

st_option_u64_t read_duration_ms(yyjson_val *object, const char *name) {
  uint64_t seconds;
  if (!st_json_number(object, name, &seconds) || seconds > UINT32_MAX) return (st_option_u64_t){0};
  return (st_option_u64_t){true, seconds * 1000};
}

// One that cannot be read is answered so that the carrier notices.
bool webhook_handle_callback(webhook_json_t *kept, st_string_t *route, webhook_call_t *call, webhook_webhook_t *webhook,
                             webhook_list_reply_t *replies, webhook_callback_outcome_t *ret, webhook_interruption_t *err) {
  (void)route, (void)call;
  st_io_t io = ST_IO(replies, err);
  config config;
  TRY(read_config(&io, kept, &config));
  yyjson_val *body = read_object(webhook->body);
  *ret = (webhook_callback_outcome_t){.response = {.status = body ? 204 : 400}};
  st_string_t word;
  st_status_event_t status = {0};
  if (st_json_text(body, "status", &word) && read_status(word, &status.status)) {
    status.duration_ms = read_duration_ms(body, "duration_s");
    status.cause = member(body, "cause");
    status.cause.val = st_cut(status.cause.val, CAUSE_CHARACTERS_MAX);
    status.cause.is_some = status.cause.val.len > 0;
    ret->events = ST_LIST(st_list_call_event_t, (st_call_event_t){.tag = ST_CALL_EVENT_STATUS, .val = {.status = status}});
  }
  return st_finished(&io);
}
