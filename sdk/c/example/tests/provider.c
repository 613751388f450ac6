// The shared cases run against the component (`strowger provider test`); here is what is easier said in C, and what a
// debugger and a sanitizer should see.
#include "test.h"

#include "provider.h"

static st_json_t config_text(void) {
  return T("{\"account\":\"ACME01\",\"api_key\":\"sealed:key\",\"signing_secret\":\"sealed:secret\"}");
}

static st_call_t call_of(st_option_string_t carrier_id) {
  return (st_call_t){.id = T("0190"), .provider_call_id = carrier_id, .caller = T("+1"), .callee = T("+2")};
}

static void settings_are_checked_and_written_in_order(void) {
  st_json_t given = T("{\"signing_secret\":\"s\",\"api_key\":\"k\",\"account\":\"ACME01\"}"), kept;
  descriptor_list_field_problem_t problems;
  CHECK(descriptor_config_loader(&given, &kept, &problems));
  CHECK_TEXT(kept, T("{\"account\":\"ACME01\",\"api_key\":\"k\",\"signing_secret\":\"s\"}"));
  st_json_t small = T("{\"signing_secret\":\"s\",\"api_key\":\"k\",\"account\":\"acme01\"}");
  CHECK(!descriptor_config_loader(&small, &kept, &problems));
  CHECK_TEXT(problems.ptr[0].field, T("account"));
}

static void markup_is_escaped(void) {
  st_json_t config = config_text();
  st_call_t call = call_of(ST_NO_TEXT);
  answer_media_address_t media = {.url = T("wss://a/?x=\"><Reject/>&y='1'")};
  answer_list_reply_t replies = {0};
  answer_answered_t answered;
  answer_interruption_t interruption;
  CHECK(answer_answer_markup(&config, &call, &media, NULL, &replies, &answered, &interruption));
  CHECK_TEXT(((st_string_t){answered.response.body.ptr, answered.response.body.len}),
             T("<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response><Stream "
               "url=\"wss://a/?x=&quot;&gt;&lt;Reject/&gt;&amp;y=&apos;1&apos;\"/></Response>"));
}

static void an_operation_is_interrupted_until_the_carrier_has_answered(void) {
  st_json_t config = config_text();
  st_call_t call = call_of(st_some(T("ET/1")));
  calling_list_reply_t none = {0};
  st_hang_up_outcome_t outcome;
  st_interruption_t interruption;
  CHECK(!calling_hang_up(&config, &call, &none, &outcome, &interruption));
  const st_request_t *request = st_asked(&interruption);
  CHECK(request && st_equal(request->method, T("DELETE")));
  if (request) CHECK_TEXT(request->url, T("https://api.example-telecom.example/v1/accounts/ACME01/calls/ET%2F1"));

  st_reply_t gone = st_answers(404, T(""));
  calling_list_reply_t replies = {&gone, 1};
  CHECK(calling_hang_up(&config, &call, &replies, &outcome, &interruption));
  CHECK(outcome == ST_HANG_UP_OUTCOME_ALREADY_ENDED);

  st_reply_t twice[] = {gone, gone};
  calling_list_reply_t too_many = {twice, 2};
  CHECK(!calling_hang_up(&config, &call, &too_many, &outcome, &interruption));
  CHECK(interruption.tag == ST_INTERRUPTION_FAILED && interruption.val.failed.kind == ST_FAILURE_KIND_INTERNAL);
}

static media_list_media_event_t hear(st_string_t text) {
  media_message_t message = {.tag = MEDIA_MESSAGE_TEXT, .val = {.text = text}};
  media_list_media_event_t events;
  media_method_leg_deserialize_frame(st_last_leg, &message, &events);
  return events;
}

static void a_leg_remembers_its_stream_when_everything_else_is_gone(void) {
  st_json_t config = config_text();
  st_call_t call = call_of(ST_NO_TEXT);
  media_constructor_leg(&config, &call);
  media_media_frame_t mark = {.tag = MEDIA_MEDIA_FRAME_MARK, .val = {.mark = T("m\"1")}};
  media_list_message_t messages;
  media_frame_problem_t problem;
  CHECK(!media_method_leg_serialize_frame(st_last_leg, &mark, &messages, &problem));
  CHECK(problem == MEDIA_FRAME_PROBLEM_NOT_STARTED);

  media_list_media_event_t events =
      hear(T("{\"event\":\"start\",\"stream\":\"S1\",\"call\":\"ET-1\",\"format\":\"l16\"}"));
  CHECK(events.len == 1 && events.ptr[0].tag == MEDIA_MEDIA_EVENT_STARTED);
  st_rewind();
  events = hear(T("{\"event\":\"media\",\"payload\":\"AQI=\",\"seq\":7}"));
  CHECK(events.len == 1 && events.ptr[0].tag == MEDIA_MEDIA_EVENT_AUDIO && events.ptr[0].val.audio.sequence.val == 7);
  st_rewind();
  CHECK(media_method_leg_serialize_frame(st_last_leg, &mark, &messages, &problem));
  CHECK_TEXT(messages.ptr[0].val.text, T("{\"event\":\"mark\",\"stream\":\"S1\",\"name\":\"m\\\"1\"}"));
}

int main(void) {
  RUN(settings_are_checked_and_written_in_order);
  RUN(markup_is_escaped);
  RUN(an_operation_is_interrupted_until_the_carrier_has_answered);
  RUN(a_leg_remembers_its_stream_when_everything_else_is_gone);
  return st_report();
}
