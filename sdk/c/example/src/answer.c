// The XML that answers a call, or refuses it.
#include "provider.h"

static st_response_t markup(st_string_t element, st_string_t attribute, st_string_t value) {
  return st_respond(200, T("application/xml"),
                    st_join(T("<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response><"), element, T(" "), attribute, T("=\""),
                            st_xml(value), T("\"/></Response>")));
}

// The carrier's identifier of an outbound call becomes known for good when it is answered.
static bool identified(const st_call_t *call, const answer_webhook_t *webhook, st_string_t *id) {
  if (!webhook || !st_json_text(read_object(webhook->body), "call", id) || id->len == 0) return false;
  return !call->provider_call_id.is_some || !st_equal(call->provider_call_id.val, *id);
}

bool answer_answer_markup(answer_json_t *kept, answer_call_t *call, answer_media_address_t *media,
                          answer_webhook_t *webhook, answer_list_reply_t *replies, answer_answered_t *ret,
                          answer_interruption_t *err) {
  st_io_t io = ST_IO(replies, err);
  config config;
  TRY(read_config(&io, kept, &config));
  *ret = (answer_answered_t){.response = markup(T("Stream"), T("url"), media->url)};
  st_string_t id;
  if (identified(call, webhook, &id)) {
    st_call_event_t event = {.tag = ST_CALL_EVENT_IDENTIFIED, .val = {.identified = id}};
    ret->events = ST_LIST(answer_list_call_event_t, event);
  }
  return st_finished(&io);
}

// Strangers learn nothing but whether to try again.
void answer_rejection_markup(answer_rejection_reason_t reason, answer_response_t *ret) {
  st_string_t word = T("rejected");
  if (reason == ANSWER_REJECTION_REASON_UNKNOWN_NUMBER) word = T("unallocated");
  if (reason == ANSWER_REJECTION_REASON_AT_CAPACITY) word = T("busy");
  if (reason == ANSWER_REJECTION_REASON_QUOTA || reason == ANSWER_REJECTION_REASON_UNAVAILABLE) word = T("unavailable");
  *ret = markup(T("Reject"), T("reason"), word);
}

bool answer_reject_call(answer_json_t *kept, answer_call_t *call, answer_rejection_reason_t reason,
                        answer_list_reply_t *replies, answer_response_t *ret, answer_interruption_t *err) {
  (void)call;
  st_io_t io = ST_IO(replies, err);
  config config;
  TRY(read_config(&io, kept, &config));
  answer_rejection_markup(reason, ret);
  return st_finished(&io);
}
