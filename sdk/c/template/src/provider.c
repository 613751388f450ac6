// {{display_name}} as a Strowger provider.
//
// A carrier that is made up, small and whole: JSON webhooks that an HMAC signs, XML that opens the media socket, JSON
// messages with base64 audio. Put your carrier's words in the place of its words, one function after the other; cases/ says
// what each of them does, and README.md how to try that out.
#include "strowger.h"

// ---- what the carrier is ------------------------------------------------------------------------------------------

void descriptor_spec(descriptor_provider_spec_t *ret) {
  st_field_t account = {.name = T("account"), .label = T("Account"), .kind = ST_FIELD_TYPE_TEXT, .required = true};
  st_field_t secret = {.name = T("signing_secret"),
                       .label = T("Signing secret"),
                       .kind = ST_FIELD_TYPE_PASSWORD,
                       .required = true,
                       .sensitive = true};
  descriptor_route_t status = {T("status"), DESCRIPTOR_ROUTE_PURPOSE_CALLBACK, T("POST"), T("status/{call}")};
  descriptor_wire_format_t pcmu = {DESCRIPTOR_ENCODING_PCMU, 8000};
  *ret = (descriptor_provider_spec_t){
      .name = T("{{name}}"),
      .display_name = T("{{display_name}}"),
      .version = T("0.1.0"),
      .connectivity = DESCRIPTOR_CONNECTIVITY_API,
      .fields = ST_LIST(descriptor_list_field_t, account, secret),
      .account_id_field = T("account"),
      .media = {.formats = ST_LIST(descriptor_list_wire_format_t, pcmu), .frame_ms = 20},
      .routes = ST_LIST(descriptor_list_route_t, status),
      // Hosts that requests go to, once there are some: ST_LIST(st_list_string_t, T("api.example.com")).
      .egress_hosts = {0},
      .webhook_proof = DESCRIPTOR_PROOF_POLICY_REQUIRED,
  };
}

// What every other function gets as `config`. A secret is a reference that stands for it.
bool descriptor_config_loader(descriptor_json_t *credentials, descriptor_json_t *ret, descriptor_list_field_problem_t *err) {
  yyjson_val *given = st_json(*credentials);
  st_string_t account, secret;
  if (!st_json_text(given, "account", &account) || !st_json_text(given, "signing_secret", &secret)) {
    descriptor_field_problem_t problem = {T("account"), T("Enter the account and its signing secret.")};
    *err = ST_LIST(descriptor_list_field_problem_t, problem);
    return false;
  }
  st_object_t config = st_object();
  st_put_text(&config, "account", account);
  st_put_text(&config, "signing_secret", secret);
  *ret = st_write(&config);
  return true;
}

// ---- what the carrier posts ---------------------------------------------------------------------------------------

static yyjson_val *read_body(const webhook_webhook_t *webhook) {
  return st_json((st_string_t){webhook->body.ptr, webhook->body.len});
}

bool webhook_recognise(webhook_webhook_t *webhook, webhook_recognition_t *ret) {
  st_string_t signature, event, account, call, from, to;
  TRY(st_header(webhook, T("x-signature"), &signature));
  yyjson_val *body = read_body(webhook);
  TRY(st_json_text(body, "event", &event) && st_json_text(body, "account", &account) && st_json_text(body, "call", &call));
  if (st_equal(event, T("incoming"))) {
    TRY(st_json_text(body, "from", &from) && st_json_text(body, "to", &to));
    ret->tag = WEBHOOK_RECOGNITION_INBOUND_CALL;
    ret->val.inbound_call = (webhook_inbound_call_t){
        .provider_call_id = call, .caller = from, .callee = to, .account_id = st_some(account)};
    return true;
  }
  ret->tag = WEBHOOK_RECOGNITION_EVENT;
  ret->val.event = (webhook_call_reference_t){call, st_some(account)};
  return st_equal(event, T("status"));
}

bool webhook_verify_signature(webhook_json_t *config, webhook_webhook_t *webhook, webhook_list_proof_t *ret,
                              webhook_rejection_t *err) {
  st_string_t signature, secret;
  st_list_u8_t expected;
  if (!st_header(webhook, T("x-signature"), &signature) || !st_read_hex(signature, &expected) || expected.len != 32) {
    *err = (webhook_rejection_t){T("signature-missing"), T("The webhook has no x-signature of 64 hexadecimal digits.")};
    return false;
  }
  if (!st_json_text(st_json(*config), "signing_secret", &secret)) {
    *err = (webhook_rejection_t){T("secret-missing"), T("The configuration has no signing secret; save it again.")};
    return false;
  }
  // The runtime has the secret, and computes what is described here.
  webhook_check_t hmac = st_hmac(WEBHOOK_HASH_SHA256, secret, webhook->body, expected);
  *ret = ST_LIST(webhook_list_proof_t, st_proof(T("hmac"), ST_CHECKS(hmac)));
  return true;
}

static bool read_status(st_string_t word, st_call_status_t *status) {
  if (st_equal(word, T("ringing"))) *status = ST_CALL_STATUS_RINGING;
  else if (st_equal(word, T("answered"))) *status = ST_CALL_STATUS_IN_PROGRESS;
  else if (st_equal(word, T("ended"))) *status = ST_CALL_STATUS_COMPLETED;
  else if (st_equal(word, T("failed"))) *status = ST_CALL_STATUS_FAILED;
  else return false;
  return true;
}

bool webhook_handle_callback(webhook_json_t *config, st_string_t *route, webhook_call_t *call, webhook_webhook_t *webhook,
                             webhook_list_reply_t *replies, webhook_callback_outcome_t *ret, webhook_interruption_t *err) {
  (void)config, (void)route, (void)call;
  st_io_t io = ST_IO(replies, err);
  st_string_t word;
  st_call_event_t event = {.tag = ST_CALL_EVENT_STATUS};
  *ret = (webhook_callback_outcome_t){.response = {.status = 204}};
  if (st_json_text(read_body(webhook), "status", &word) && read_status(word, &event.val.status.status)) {
    ret->events = ST_LIST(st_list_call_event_t, event);
  }
  return st_finished(&io);
}

// ---- what answers a call, or refuses it -----------------------------------------------------------------------------

static st_response_t markup(st_string_t element, st_string_t attribute, st_string_t value) {
  return st_respond(200, T("application/xml"),
                    st_join(T("<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response><"), element, T(" "), attribute, T("=\""),
                            st_xml(value), T("\"/></Response>")));
}

bool answer_answer_markup(answer_json_t *config, answer_call_t *call, answer_media_address_t *media,
                          answer_webhook_t *webhook, answer_list_reply_t *replies, answer_answered_t *ret,
                          answer_interruption_t *err) {
  (void)config, (void)call, (void)webhook;
  st_io_t io = ST_IO(replies, err);
  *ret = (answer_answered_t){.response = markup(T("Stream"), T("url"), media->url)};
  return st_finished(&io);
}

void answer_rejection_markup(answer_rejection_reason_t reason, answer_response_t *ret) {
  bool is_busy = reason == ANSWER_REJECTION_REASON_AT_CAPACITY;
  *ret = markup(T("Reject"), T("reason"), is_busy ? T("busy") : T("rejected"));
}

bool answer_reject_call(answer_json_t *config, answer_call_t *call, answer_rejection_reason_t reason,
                        answer_list_reply_t *replies, answer_response_t *ret, answer_interruption_t *err) {
  (void)config, (void)call;
  st_io_t io = ST_IO(replies, err);
  answer_rejection_markup(reason, ret);
  return st_finished(&io);
}

// ---- the media socket ---------------------------------------------------------------------------------------------

// The media of one call: what it has to remember between messages.
struct media_leg_t {
  bool is_started;
};

media_own_leg_t media_constructor_leg(media_json_t *config, media_call_t *call) {
  (void)config, (void)call;
  return media_leg_new(st_keep(sizeof(media_leg_t)));
}

void media_leg_destructor(media_leg_t *leg) { (void)leg; }

static media_media_event_t read_start(media_leg_t *leg, yyjson_val *message) {
  st_string_t call;
  if (!st_json_text(message, "call", &call)) return st_malformed(T("a field is missing or wrong"));
  leg->is_started = true;
  return (media_media_event_t){.tag = MEDIA_MEDIA_EVENT_STARTED, .val = {.started = {.provider_call_id = st_some(call)}}};
}

static media_media_event_t read_audio(yyjson_val *message) {
  st_string_t text;
  st_list_u8_t payload;
  if (!st_json_text(message, "payload", &text)) return st_malformed(T("a field is missing or wrong"));
  return st_read_base64(text, &payload) ? st_audio(payload) : st_malformed(T("the payload is not base64"));
}

void media_method_leg_deserialize_frame(media_borrow_leg_t self, media_message_t *message, media_list_media_event_t *ret) {
  if (message->tag == MEDIA_MESSAGE_BINARY) {
    *ret = st_event(st_malformed(T("a binary message")));
    return;
  }
  yyjson_val *read = st_json(message->val.text);
  st_string_t event = {0};
  st_json_text(read, "event", &event);
  if (!read) *ret = st_event(st_malformed(T("not JSON")));
  else if (st_equal(event, T("start"))) *ret = st_event(read_start(self, read));
  else if (st_equal(event, T("media"))) *ret = st_event(read_audio(read));
  else if (st_equal(event, T("stop"))) *ret = st_event((media_media_event_t){.tag = MEDIA_MEDIA_EVENT_STOPPED});
  else *ret = (media_list_media_event_t){0};
}

bool media_method_leg_serialize_frame(media_borrow_leg_t self, media_media_frame_t *frame, media_list_message_t *ret,
                                      media_frame_problem_t *err) {
  bool is_audio = frame->tag == MEDIA_MEDIA_FRAME_AUDIO;
  *err = self->is_started ? MEDIA_FRAME_PROBLEM_UNSUPPORTED : MEDIA_FRAME_PROBLEM_NOT_STARTED;
  TRY(self->is_started && (is_audio || frame->tag == MEDIA_MEDIA_FRAME_CLEAR));
  st_object_t message = st_object();
  st_put_text(&message, "event", is_audio ? T("media") : T("clear"));
  if (is_audio) st_put_text(&message, "payload", st_base64(frame->val.audio));
  *ret = st_text_message(st_write(&message));
  return true;
}
